"""A real host converges, and goes on after every fault that a real apt, dpkg and network can have.

The tests share one host and build on each other: each adds a package to the release of the one before, so that there
is something to install, and ends with the host converged.
"""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from bootstrap.host import HostReport, converge_host, read_host, reboot_host, remove_host
from bootstrap.log import NullLog
from bootstrap.machines.spec import names_of
from bootstrap.session import Command
from bootstrap.ssh import connect
from bootstrap.testing import RecordingLog
from bootstrap.waits import Waits
from slipway.desired import HostDesired, Package
from slipway.errors import CancelledError, DiskFullError, PackageError, UnreachableError
from tests.bootstrap.conftest import RealHost

pytestmark = [pytest.mark.hosts, pytest.mark.slow]
PINNED = ["docker.io", "curl", "libcurl4"]
EXTRA = ["socat", "rsync", "lsof", "tree", "pv", "bc"]
SLOW_DPKG = "/etc/dpkg/dpkg.cfg.d/zz-slow"


@pytest.fixture(scope="module")
def versions(real_host: RealHost) -> dict[str, str]:
    """The newest version that the host's mirrors have of each package that these tests install."""
    listing = real_host.shell(f"apt-get update -qq >&2; apt-cache madison {' '.join(PINNED + EXTRA)}")
    found: dict[str, str] = {}
    for line in listing.splitlines():
        name, version, _ = (part.strip() for part in line.split("|"))
        found.setdefault(name, version)
    return found


@pytest.fixture(scope="module")
def release(versions: dict[str, str]) -> Callable[[int], HostDesired]:
    """Release number n: the first packages and n of the extra ones."""

    def make(extra: int) -> HostDesired:
        names = PINNED + EXTRA[:extra]
        packages = tuple(Package(name=name, version=versions[name]) for name in names)
        return HostDesired(release=f"r{extra}", os="debian:12", packages=packages)

    return make


def converge(host: RealHost, desired: HostDesired, log: RecordingLog | None = None) -> HostReport:
    with host.connect(deadline=60) as session:
        return converge_host(session, desired, log or RecordingLog(), threading.Event())


@contextmanager
def slow_dpkg(host: RealHost, seconds: int) -> Iterator[None]:
    """dpkg rests after each of its runs: between unpacking and configuring there is time for a fault."""
    host.shell(f"echo 'post-invoke=sleep {seconds}' > {SLOW_DPKG}")
    try:
        yield
    finally:
        host.shell(f"rm -f {SLOW_DPKG}")


def wait_until_unpacked(host: RealHost, package: str) -> None:
    status = "dpkg-query -W -f '${Status}'"
    host.shell(
        f"i=0; until {status} {package} 2>/dev/null | grep -q 'ok unpacked'; do "
        "sleep 0.1; i=$((i+1)); [ $i -lt 300 ] || exit 1; done"
    )


def test_cold_host_with_a_held_lock(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    """Somebody holds dpkg's lock (a POSIX lock, as apt's own) when we come; we wait and say who."""
    perl = (
        "use Fcntl; open F, '+>', '/var/lib/dpkg/lock-frontend'; "
        "$l = pack('s s x4 q q i x4', F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; "
        "for (1..600) { last if -e '/run/release-lock'; select(undef, undef, undef, 0.1); }"
    )
    real_host.shell(f"perl -e {shlex.quote(perl)} </dev/null >/dev/null 2>&1 & sleep 0.5")

    class ReleasingLog(RecordingLog):
        """Lets the lock go once it hears that we wait for it."""

        def progress(self, text: str) -> None:
            super().progress(text)
            if "lock is held" in text:
                real_host.shell("touch /run/release-lock")

    log = ReleasingLog()
    report = converge(real_host, release(0), log)
    assert {"packages", "holds"} <= set(report.changed)
    assert "lock is held by process" in log.text
    assert "(perl)" in log.text
    assert (report.receipt["state"], report.receipt["release"]) == ("converged", "r0")
    assert real_host.shell("docker info --format '{{.LoggingDriver}} {{.LiveRestoreEnabled}}'") == "json-file true"
    assert real_host.shell("apt-mark showhold | sort").split() == sorted(PINNED)


def test_nothing_to_do_is_one_command(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    with real_host.connect() as session:
        scripts: list[str] = []
        run = session.run

        def counting(command: Command) -> object:
            scripts.append(command.why)
            return run(command)

        session.run = counting  # type: ignore[method-assign, assignment]
        report = converge_host(session, release(0), NullLog(), threading.Event())
        assert report.changed == ()
        assert read_host(session, release(0)) == ()
    assert scripts == ["read the facts of the host"] * 2


def test_connection_dropped_in_mid_install(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    """The network goes away while dpkg works. dpkg finishes by itself; the next run waits for it, and goes on."""
    veth = names_of(Path(real_host.state.state)).veth
    with slow_dpkg(real_host, 4), real_host.connect(keepalive=1) as session, ThreadPoolExecutor(1) as pool:
        running = pool.submit(converge_host, session, release(1), NullLog(), threading.Event())
        wait_until_unpacked(real_host, "socat")
        subprocess.run(["ip", "link", "set", veth, "down"], check=True)
        try:
            with pytest.raises(UnreachableError, match=r"h1: connection to .* lost while: install socat"):
                running.result(timeout=60)
        finally:
            subprocess.run(["ip", "link", "set", veth, "up"], check=True)
        report = converge(real_host, release(1))
    assert report.receipt["release"] == "r1"
    assert report.receipt["previous"] == "r0"
    assert read(real_host, release(1)) == ()


def test_reboot_in_mid_install(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    with slow_dpkg(real_host, 4), real_host.connect() as session, ThreadPoolExecutor(1) as pool:
        old = session.run(Command("cat /proc/sys/kernel/random/boot_id", "see which boot this is")).stdout.strip()
        running = pool.submit(converge_host, session, release(2), NullLog(), threading.Event())
        wait_until_unpacked(real_host, "rsync")
        with pytest.raises(UnreachableError):
            real_host.shell("systemctl reboot --force --force; sleep 10")
        with pytest.raises(UnreachableError, match="lost while: install rsync"):
            running.result(timeout=60)
    report = converge(real_host, release(2))
    assert report.changed[0] == "dpkg-repair"
    assert report.boot_id != old
    assert report.receipt["release"] == "r2"


def test_cancel_in_mid_install_ends_with_dpkg_whole(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    cancel = threading.Event()
    with (
        slow_dpkg(real_host, 2),
        connect(real_host.connection, NullLog(), cancel) as session,
        ThreadPoolExecutor(1) as pool,
    ):
        running = pool.submit(converge_host, session, release(3), NullLog(), cancel)
        wait_until_unpacked(real_host, "lsof")
        cancel.set()
        with pytest.raises(CancelledError):
            running.result(timeout=60)
    assert real_host.shell("dpkg --audit; dpkg-query -W -f '${Status}' lsof") == "install ok installed"
    report = converge(real_host, release(3))
    assert "dpkg-repair" not in report.changed
    assert report.receipt["release"] == "r3"


def test_a_version_that_the_mirror_lacks(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    good = release(4)
    bad = good.model_copy(update={"packages": (*good.packages[:-1], Package(name="tree", version="9.9-1"))})
    with pytest.raises(PackageError) as raised:
        converge(real_host, bad)
    said = str(raised.value)
    assert "the mirrors do not have tree 9.9-1 (they have: " in said
    assert "The host keeps release r3" in said
    assert "slipway lock" in said
    assert read(real_host, release(3)) == ()


def test_a_full_disk(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    archives = "/var/cache/apt/archives"
    real_host.shell(f"mount -t tmpfs -o size=16k tmpfs {archives} && mkdir -p {archives}/partial")
    try:
        with pytest.raises(DiskFullError) as raised:
            converge(real_host, release(4))
    finally:
        real_host.shell(f"umount {archives}")
    said = str(raised.value)
    assert "no space left while: install tree" in said or "no space left" in said
    assert archives in said
    assert "The host keeps release r3" in said
    assert converge(real_host, release(4)).receipt["release"] == "r4"


def test_an_update_whose_verification_fails_goes_back(
    real_host: RealHost, release: Callable[[int], HostDesired]
) -> None:
    """The update moves packages (which only fit together moved both), and its holds are undone behind our back."""
    older = real_host.shell("apt-cache madison curl | awk '{print $3}' | tail -1")
    old = release(4)
    assert older not in {package.version for package in old.packages}, "the mirrors have one version of curl only"
    moved = tuple(Package(name=p.name, version=older if "curl" in p.name else p.version) for p in old.packages)
    new = old.model_copy(update={"release": "r5", "packages": (*moved, release(5).packages[-1])})
    real_host.shell("mv /usr/bin/apt-mark /usr/bin/apt-mark.real; ln -s /bin/true /usr/bin/apt-mark")
    try:
        with pytest.raises(
            Exception, match=r"holds ran, and is still not satisfied.*The host keeps release r4"
        ) as said:
            converge(real_host, new)
    finally:
        real_host.shell("mv /usr/bin/apt-mark.real /usr/bin/apt-mark")
    assert "moved packages were put back" in str(said.value)
    assert [drift.pin for drift in read(real_host, old) if not drift.pin.startswith("holds.")] == []
    assert converge(real_host, new).receipt["release"] == "r5"
    assert converge(real_host, old.model_copy(update={"release": "r4"})).receipt["previous"] == "r5"


def test_drift_is_found_with_its_time(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    current = release(4)
    real_host.shell("apt-mark -q unhold tree; DEBIAN_FRONTEND=noninteractive apt-get remove -qq -y tree")
    real_host.shell("echo '{}' > /etc/docker/daemon.json")
    drifts = {drift.pin: drift for drift in read(real_host, current)}
    assert sorted(drifts) == ["docker.settings", "files./etc/docker/daemon.json", "packages.tree"]
    assert drifts["packages.tree"].found == "not installed"
    assert converge(real_host, current).changed == ("docker-config", "packages", "holds", "docker")
    assert read(real_host, current) == ()


def test_reboot_and_remove(real_host: RealHost, release: Callable[[int], HostDesired]) -> None:
    converge(real_host, release(4))
    with real_host.connect() as session:
        new = reboot_host(session, NullLog(), Waits())
        assert session.run(Command("cat /proc/sys/kernel/random/boot_id", "look")).stdout.strip() == new
        remove_host(session, release(4), NullLog(), threading.Event())
    left = real_host.shell(
        "apt-mark showhold; ls /var/lib/slipway /etc/apt/apt.conf.d | grep -E 'receipt|slipway$' || true"
    )
    assert left == ""
    assert real_host.shell("dpkg-query -W -f '${Status}' docker.io") == "install ok installed"


def read(host: RealHost, desired: HostDesired) -> tuple[object, ...]:
    with host.connect() as session:
        return read_host(session, desired)
