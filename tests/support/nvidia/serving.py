"""A real host with STUB GPUs that serves: what a release asks of it, and stubs of its service's units.

The engine has the GPUs while it runs and starts only where nvidia-smi works; the proxy says on /ready what the real one
would. Both are units with the real names, so that a roll-out lets them go and takes them up as it does the real ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.host import HostReport, converge_host, read_host
from bootstrap.log import Log, NullLog
from bootstrap.machines import MachineSpec, MachineState, create, remove
from bootstrap.machines.fleet import new_key, way_in
from bootstrap.operations.gpu.archive import KEY_PATH
from bootstrap.pki import KeyPair
from bootstrap.serving import HOLD
from bootstrap.session import Command
from bootstrap.ssh import SshSession, connect
from slipway.desired import Connection, Drain, ExpectedGpus, GpuDesired, HostDesired, Package, Serving
from tests.support.nvidia.archive import NvidiaArchive
from tests.support.nvidia.machine import StubGpu, describe_gpus
from tools import bases, cache

OLD, NEW, TOOLKIT = "580.126.20", "620.70.06", "1.19.1-1"
DRIVER_PACKAGES = (
    "firmware-nvidia-gsp", "libcuda1", "libnvidia-cfg1", "libnvidia-ml1", "libnvidia-ptxjitcompiler1",
    "nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-kernel-support", "nvidia-modprobe", "nvidia-persistenced",
)  # fmt: skip
TOOLKIT_PACKAGES = (
    "libnvidia-container-tools", "libnvidia-container1", "nvidia-container-toolkit", "nvidia-container-toolkit-base",
)  # fmt: skip
ENGINE, PROXY = "slipway-engine-0.service", "slipway-proxy.service"
READY = "http://127.0.0.1:8443/ready"
SERVING = Serving(drain=Drain(settle=0.5, deadline=5.0), ready=READY, deadline=30.0)

_ENGINE = f"""[Unit]
Description=STUB of an engine
Requires=docker.service
After=docker.service
ConditionPathExists=!{HOLD}
[Service]
ExecStartPre=/usr/bin/nvidia-smi -L
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
_PROXY = """[Unit]
Description=STUB of the proxy
[Service]
ExecStart=/usr/local/lib/slipway/stub-proxy
[Install]
WantedBy=multi-user.target
"""
_LISTEN = f"""#!/usr/bin/perl
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1:8443", Listen => 5, ReuseAddr => 1) or die $!;
while (my $client = $server->accept) {{
  while (<$client>) {{ last if /^\\r?$/ }}
  my $up = !-s "/run/slipway/drain" && system("systemctl -q is-active {ENGINE}") == 0;
  print $client "HTTP/1.0 ", ($up ? "200 OK" : "503 Service Unavailable"), "\\r\\n\\r\\n";
  close $client;
}}
"""
_DRAIN = """#!/bin/sh
# STUB of the drain command: the flag is a file that is not empty
mkdir -p /run/slipway
case "$1" in on) echo on >/run/slipway/drain ;; off) : >/run/slipway/drain ;; esac
"""
_STREAMS = "#!/bin/sh\n# STUB: how many requests are open\ncat /run/slipway/streams 2>/dev/null || echo 0\n"


def gpu_release(
    archive: NvidiaArchive, driver: str, plain: tuple[Package, ...], serving: Serving, **gpu: object
) -> HostDesired:
    """What a release with that driver asks of a host whose apt reads `archive`; `gpu` are fields of `GpuDesired`.

    `plain` are the packages that are not NVIDIA's.
    """
    packages = [Package(name=name, version=f"{driver}-1") for name in DRIVER_PACKAGES]
    packages += [Package(name=name, version=TOOLKIT) for name in TOOLKIT_PACKAGES]
    values = {
        "archive": "nvidia", "driver": driver, "branch": driver[:3], "modules": "open", "cuda": "13.0",
        # The host's Docker is Debian 12's, which knows no CDI.
        "devices": "runtime", "toolkit": TOOLKIT, "packages": packages,
        "key": archive.key, "key_fingerprint": archive.fingerprint,
        "sources": archive.sources(KEY_PATH).strip().split("\n\n"),
        "expected": ExpectedGpus(count=2, name="H100", compute_capability="9.0", memory_mib=81559),
    }  # fmt: skip
    return HostDesired(
        release=f"r{driver}",
        os="debian:12",
        packages=plain,
        serving=serving,
        gpu=GpuDesired.model_validate(values | gpu),
    )


def mirrored(shell: Callable[[str], str], *names: str) -> tuple[Package, ...]:
    """The newest version that a host's mirrors have of each package; `shell` runs a script there."""
    listing = shell(f"apt-get update -qq >&2; apt-cache madison {' '.join(names)}")
    found: dict[str, str] = {}
    for line in listing.splitlines():
        name, version, _ = (part.strip() for part in line.split("|"))
        found.setdefault(name, version)
    return tuple(Package(name=name, version=found[name]) for name in names)


@dataclass(frozen=True)
class ServingMachine:
    """A booted system container that serves with the old driver, and what its apt reads."""

    state: MachineState
    key: KeyPair
    host_key: KeyPair
    archive: NvidiaArchive
    plain: tuple[Package, ...]

    @property
    def connection(self) -> Connection:
        return way_in(self.state, self.key.private, self.host_key.public)

    def connect(self, log: Log | None = None, deadline: float = 60.0, **options: Any) -> SshSession:
        """`log` hears what commands print while they run."""
        return connect(self.connection, log or NullLog(), threading.Event(), deadline=deadline, **options)

    def shell(self, script: str) -> str:
        """Runs a script over a connection of its own; returns what it printed."""
        with self.connect() as session:
            return session.run(Command(script, why="arrange a host", deadline=120)).stdout.strip()

    def release(self, driver: str, **gpu: object) -> HostDesired:
        return gpu_release(self.archive, driver, self.plain, SERVING, **gpu)

    def converge(self, desired: HostDesired, log: Log | None = None) -> HostReport:
        cancel = threading.Event()
        with self.connect() as session:
            return converge_host(session, desired, log or NullLog(), cancel)

    def drift(self, desired: HostDesired) -> dict[str, str]:
        with self.connect() as session:
            return {drift.pin: drift.found for drift in read_host(session, desired)}

    def serves(self) -> bool:
        return self.shell(f"curl -s -o /dev/null -m 5 -w '%{{http_code}}' {READY} || true") == "200"


@contextmanager
def serving_machine(folder: Path, log: Log | None = None) -> Iterator[ServingMachine]:
    """Boots a machine whose state is `folder` (`…/<stack>/<name>`), and brings it to the old driver, serving."""
    says = log or NullLog()
    key, host_key = new_key(), new_key()
    base = Path(bases.ensure("bookworm")["tree"])
    spec = MachineSpec(
        folder.name, folder.parent.name, "nspawn", key.public, host_key.public, host_key.private, base, folder
    )
    archive = NvidiaArchive(cache.folder("stubs", ""))
    state = create(spec, says, threading.Event())
    try:
        bare = ServingMachine(state, key, host_key, archive, ())
        gateway = bare.shell("ip -4 route show default | awk '{print $3}'")
        with archive.serve(gateway):
            describe_gpus(bare, [StubGpu(), StubGpu()])
            machine = ServingMachine(state, key, host_key, archive, mirrored(bare.shell, "docker.io", "curl"))
            machine.converge(machine.release(OLD), says)
            _install_service(machine)
            yield machine
    finally:
        remove(state, says)


def _install_service(machine: ServingMachine) -> None:
    folder = "/usr/local/lib/slipway"
    files = {
        f"/etc/systemd/system/{ENGINE}": (_ENGINE, 0o644),
        f"/etc/systemd/system/{PROXY}": (_PROXY, 0o644),
        f"{folder}/stub-proxy": (_LISTEN, 0o755),
        f"{folder}/drain": (_DRAIN, 0o755),
        f"{folder}/streams": (_STREAMS, 0o755),
    }
    with machine.connect() as session:
        for path, (content, mode) in files.items():
            session.put(path, content.encode(), mode)
        session.run(
            Command(
                f"systemctl daemon-reload && systemctl enable -q --now {ENGINE} {PROXY}\n"
                f"until [ \"$(curl -s -o /dev/null -w '%{{http_code}}' {READY})\" = 200 ]; do sleep 0.2; done",
                "start the stubs of a service",
                deadline=60,
            )
        )
