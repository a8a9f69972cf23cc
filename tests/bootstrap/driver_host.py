"""A real host that gets NVIDIA's real driver packages, as Debian's archive has them at two versions; it has no GPU.

apt, dpkg, DKMS, the compiler and the kernel's headers are the real ones, and so is the module that they build. Which
kernel runs is a stub (`tests/support/debian_kernel.py`): the machine's own is nobody's package. So nothing here says
that the module loads, or what it does with a GPU.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap.host import HostReport, converge_host, read_host
from bootstrap.log import Log, NullLog
from slipway.desired import ExpectedGpus, GpuDesired, HostDesired, Package
from slipway.releases.names import package_names
from tests.bootstrap.conftest import RealHost, booted
from tests.support.debian_kernel import run_kernel
from tools import apt

OLD, NEW = "bookworm", "bookworm-security"
"""suites with an older and a newer driver"""
NAMES = package_names("debian", "debian:12", "535", "proprietary", "12.2")
DKMS = "nvidia-kernel-dkms"

OTHERS = ("modeset", "drm", "uvm", "peermem")
ONE_MODULE = f"""\
# STUB of all modules but the first: they are not built, the first one stands in the place of each. It has no debug
# information.
MAKE[0]="${{MAKE[0]}} KCFLAGS=-g0 NV_EXCLUDE_KERNEL_MODULES='{" ".join(f"nvidia-{name}" for name in OTHERS)}'"
for i in 1 2 3 4; do BUILT_MODULE_NAME[$i]=nvidia; done
"""
"""DKMS reads it behind the package's own dkms.conf"""


@dataclass(frozen=True)
class DriverHost:
    """The host, the kernel that it says it runs, what its apt reads, and what that has: suite → package → version."""

    host: RealHost
    kernel: str
    sources: tuple[str, ...]
    has: dict[str, dict[str, str]]

    def driver(self, suite: str) -> str:
        return self.has[suite][DKMS].partition("-")[0]

    def desired(self, suite: str, count: int | None = 0) -> HostDesired:
        """The driver of `suite`; `count` GPUs are expected."""
        driver, has = self.driver(suite), self.has[OLD] | self.has[suite]
        return HostDesired(
            release=f"debian-{driver}",
            os="debian:12",
            packages=(Package(name="docker.io", version=has["docker.io"]),),
            apt_sources=self.sources,
            gpu=GpuDesired(
                archive="debian",
                driver=driver,
                branch=driver[:3],
                modules="proprietary",
                cuda="12.2",
                toolkit="",
                packages=tuple(Package(name=name, version=has[name]) for name in (*NAMES.driver, *NAMES.beside)),
                headers=f"linux-headers-{self.kernel}",
                expected=ExpectedGpus(count=count),
            ),
        )

    def converge(self, suite: str, log: Log | None = None) -> HostReport:
        with self.host.connect(deadline=60) as session:
            return converge_host(session, self.desired(suite), log or NullLog(), threading.Event())

    def drift(self, suite: str, count: int | None = 0) -> dict[str, str]:
        with self.host.connect(deadline=60) as session:
            return {drift.pin: drift.found for drift in read_host(session, self.desired(suite, count))}

    def since(self, suite: str) -> dict[str, str | None]:
        with self.host.connect(deadline=60) as session:
            return {drift.pin: drift.since for drift in read_host(session, self.desired(suite))}

    def built(self) -> list[str]:
        """What DKMS has installed; of each module that it built the name, and the version and kernel in it."""
        script = (
            "dkms status; cd /lib/modules/$(uname -r)/updates/dkms; for file in $(ls); do "
            'echo "$file $(modinfo -F version ./$file) $(modinfo -F vermagic ./$file)"; done'
        )
        return [line.rstrip() for line in self.host.shell(script).splitlines()]

    def should_be_built(self, suite: str) -> list[str]:
        driver = self.driver(suite)
        modules = sorted(f"nvidia-current{name}.ko" for name in ("", *(f"-{other}" for other in OTHERS)))
        magic = f"{self.kernel} SMP preempt mod_unload modversions"
        return [
            f"nvidia-current/{driver}, {self.kernel}, x86_64: installed",
            *(f"{name} {driver} {magic}" for name in modules),
        ]


@contextmanager
def driver_host(folder: Path, whole: bool) -> Iterator[DriverHost]:
    """Boots a host whose state is `folder` (`…/<stack>/<name>`); without `whole` it builds one module of five."""
    mirrors = apt.find_mirrors(apt.read_sources())
    sources = tuple(apt.suite_lines("bookworm", mirrors, "main contrib non-free non-free-firmware"))
    with booted(folder) as host:
        lines = "\n".join(sources)
        host.shell(f"cat > /etc/apt/sources.list <<'END'\n{lines}\nEND\napt-get update -qq")
        newest = "apt-cache depends linux-headers-cloud-amd64 | sed -n 's/.*Depends: linux-headers-//p'"
        kernel = host.shell(newest)
        run_kernel(host, kernel)
        if not whole:
            host.shell(f"mkdir -p /etc/dkms; cat > /etc/dkms/nvidia-current.conf <<'END'\n{ONE_MODULE}END")
        yield DriverHost(host, kernel, sources, _versions(host))


def _versions(host: RealHost) -> dict[str, dict[str, str]]:
    """The newest version of each package in each suite."""
    found: dict[str, dict[str, str]] = {}
    for line in host.shell(f"apt-cache madison {' '.join((*NAMES.driver, *NAMES.beside, 'docker.io'))}").splitlines():
        name, version, where = (part.strip() for part in line.split("|"))
        found.setdefault(where.split()[1].partition("/")[0], {}).setdefault(name, version)
    return found
