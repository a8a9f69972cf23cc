"""What a machine should be, what it is, and the names it has on this computer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["nspawn", "qemu-kvm", "qemu-tcg"]
KindSetting = Literal["auto", "nspawn", "qemu-kvm", "qemu-tcg"]

SSH_PORT = 22
SERVICE_PORT = 8443
NAME_PREFIX = "slw-"


@dataclass(frozen=True)
class MachineSpec:
    """One machine to boot. Its identity is `state`: two specs with one folder are the same machine."""

    name: str
    """host name inside the machine"""
    stack: str
    kind: KindSetting
    authorized_key: str
    """OpenSSH public key line that may log in as root"""
    host_key_public: str
    """OpenSSH public key line (ed25519) that the machine's sshd shows, and the only one"""
    host_key_private: str = field(repr=False)
    """its private half, OpenSSH PEM"""
    base: Path
    """root file system tree, shared read-only by all machines"""
    state: Path
    """folder of this machine, `<root>/<stack>/<name>`; made when missing, removed with the machine"""
    cpus: int = 2
    """processors of a VM; a system container shares the computer's"""
    memory_mib: int = 2048
    """memory of a VM in MiB; a system container shares the computer's"""
    disk_gib: int = 16
    """disk of a VM in GiB (sparse); a system container shares the computer's"""
    vm_base: Path | None = None
    """folder with `vmlinuz`, `initrd.img` and `disk.img`; looked for around `base` when None"""
    forward: tuple[int, ...] = (SERVICE_PORT,)
    """TCP ports besides SSH that must be reachable from this computer"""


@dataclass(frozen=True)
class MachineState:
    """A machine that was created: where to reach it. JSON-able, free of secrets, stable while the machine lives."""

    kind: Kind
    why: str
    """one sentence: which kind was taken, and why"""
    name: str
    stack: str
    address: str
    port: int
    """TCP port of SSH at `address`"""
    ports: dict[str, int]
    """port in the machine (decimal) → port at `address`, for each of `MachineSpec.forward`"""
    state: str
    """the machine's folder, absolute"""

    def host_port(self, port: int) -> int:
        """The port at `address` behind which `port` of the machine is. KeyError when it was not asked for."""
        return self.port if port == SSH_PORT else self.ports[str(port)]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> MachineState:
        return MachineState(**values)


@dataclass(frozen=True)
class Reach:
    """Where a machine will answer, and the folder that it boots from."""

    address: str
    port: int
    ports: dict[str, int]
    base: str


@dataclass(frozen=True)
class Record:
    """What a machine's folder says of it (`machine.json`): enough to boot it again. Holds no secret."""

    fingerprint: str
    state: MachineState
    base: str
    cpus: int
    memory_mib: int

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Record:
        return Record(**{**values, "state": MachineState.from_json(values["state"])})


@dataclass(frozen=True)
class Names:
    """What a machine and its network are called on this computer.

    Interface names have at most 15 characters, and nspawn calls its own "vb-" plus the container's name: hence the
    eight hexadecimal digits in place of the machine's name.
    """

    bridge: str
    container: str
    veth: str
    cgroup: str

    @property
    def comment(self) -> str:
        """Tag on every firewall rule of the root, so that exactly these are removed."""
        return self.bridge


def names_of(folder: Path) -> Names:
    """The names of the machine in `folder`; they depend on its absolute path alone."""
    folder = folder.absolute()
    root = NAME_PREFIX + _digest(str(root_of(folder)))
    own = NAME_PREFIX + _digest(str(folder))
    return Names(bridge=root, container=own, veth=f"vb-{own}", cgroup=f"{own}-{folder.name}")


def root_of(folder: Path) -> Path:
    """The folder whose machines share one network: `<root>/<stack>/<name>`."""
    return folder.absolute().parents[1]


def fingerprint(spec: MachineSpec) -> str:
    """Changes when the machine would have to be made anew to fit `spec`."""
    inputs = {
        "name": spec.name,
        "authorized_key": spec.authorized_key.strip(),
        "host_key": spec.host_key_public.strip(),
        "base": str(spec.base.absolute()),
    }
    return _digest(json.dumps(inputs, sort_keys=True), 16)


def _digest(text: str, length: int = 8) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
