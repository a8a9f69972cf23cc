"""What is written into a machine before it boots: its name, its network, its keys. Pure: values in, files out."""

from __future__ import annotations

import base64
import uuid
from dataclasses import dataclass

from bootstrap.machines.spec import MachineSpec

MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "networking.service",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
)
"""What a throw-away machine has no use for: it would hold apt's lock, or have sshd wait."""
MASKED_IN_CONTAINERS = ("console-getty.service", "systemd-udevd.service", "systemd-pstore.service")

SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PermitRootLogin prohibit-password
UseDNS no
MaxSessions 50
MaxStartups 100
"""


@dataclass(frozen=True)
class GuestNetwork:
    """The one interface of a machine. `address` with its prefix, as networkd takes it."""

    interface: str
    address: str
    gateway: str
    nameservers: tuple[str, ...]


@dataclass(frozen=True)
class GuestFile:
    """A file, or a symbolic link when `link` is set."""

    path: str
    content: str = ""
    mode: int = 0o644
    link: str | None = None


def guest_files(spec: MachineSpec, network: GuestNetwork, *, container: bool) -> tuple[GuestFile, ...]:
    """All files of a machine. Its id is derived from the host key: new machine, new id; same disk, same id."""
    machine_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{spec.state.absolute()} {spec.host_key_public}").hex
    masked = MASKED_UNITS + (MASKED_IN_CONTAINERS if container else ())
    return (
        GuestFile("/etc/hostname", f"{spec.name}\n"),
        GuestFile("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {spec.name}\n::1 localhost ip6-localhost\n"),
        GuestFile("/etc/machine-id", f"{machine_id}\n", 0o444),
        GuestFile("/etc/resolv.conf", "".join(f"nameserver {server}\n" for server in network.nameservers)),
        GuestFile(
            "/etc/systemd/network/10-slipway.network",
            f"[Match]\nName={network.interface}\n\n"
            f"[Network]\nAddress={network.address}\nGateway={network.gateway}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
        ),
        _enable("systemd-networkd.service"),
        _enable("ssh.service"),
        *(GuestFile(f"/etc/systemd/system/{unit}", link="/dev/null") for unit in masked),
        GuestFile("/etc/ssh/sshd_config.d/10-slipway.conf", SSHD),
        GuestFile("/etc/ssh/ssh_host_ed25519_key", _one_newline(spec.host_key_private), 0o600),
        GuestFile("/etc/ssh/ssh_host_ed25519_key.pub", _one_newline(spec.host_key_public)),
        GuestFile("/root/.ssh/authorized_keys", _one_newline(spec.authorized_key), 0o600),
    )


def host_key_blob(line: str) -> bytes:
    """The key itself in an OpenSSH public key line. ValueError when it is none."""
    words = line.split()
    if len(words) < 2 or words[0] != "ssh-ed25519":
        raise ValueError(f"not an ssh-ed25519 public key line: {line[:40]!r}")
    return base64.b64decode(words[1], validate=True)


def _enable(unit: str) -> GuestFile:
    return GuestFile(f"/etc/systemd/system/multi-user.target.wants/{unit}", link=f"/lib/systemd/system/{unit}")


def _one_newline(text: str) -> str:
    return text.rstrip("\n") + "\n"
