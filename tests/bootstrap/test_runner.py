"""How apt and dpkg fail, in their own words, and what the runner makes of it."""

from __future__ import annotations

import pytest

from bootstrap.operations import Put, Run, Send
from bootstrap.runner import Runner
from bootstrap.session import Command, Result, failure
from bootstrap.testing import FakeSession, RecordingLog
from bootstrap.waits import Waits
from slipway.desired import HostDesired
from slipway.errors import CancelledError, CommandError, DeadlineError, DiskFullError, PackageError, SlipwayError
from tests.bootstrap.conftest import FakeClock

LOCKED = Result(
    100,
    "",
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)\nN: Be aware",
)
LISTS_LOCKED = Result(
    100,
    "",
    "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 9 (apt-get)\nE: Unable to lock directory",
)
DPKG_LOCKED = Result(2, "", "dpkg: error: dpkg frontend lock was locked by another process with pid 77\nNote: removing")
INTERRUPTED = Result(
    100, "", "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. "
)  # fmt: skip
HASH = Result(100, "", "E: Failed to fetch http://m.example/x  Hash Sum mismatch")
BUSY = Result(100, "", "Err:1 http://m.example bookworm InRelease\n  503  Service Unavailable [IP: 192.0.2.1 80]\nE: x")
GONE = Result(100, "", "E: Version '20.10' for 'docker.io' was not found")
UNKNOWN = Result(100, "", "E: Unable to locate package docker.io")
NO_FIT = Result(
    100,
    "The following packages have unmet dependencies:\n libcuda1 : Depends: nvidia-alternative (= 535.261.03-1) but "
    "535.309.01 is to be installed",
    "E: Unable to correct problems, you have held broken packages.",
)
FULL = Result(100, "", "E: You don't have enough free space in /var/cache/apt/archives/.")
DPKG_FULL = Result(
    100, "", "dpkg: error processing archive x.deb (--unpack):\n cannot copy extracted data: No space left on device"
)
OTHER = Result(1, "", "E: something else")
APT = Run(Command("apt-get install docker.io=20.10", "install docker.io 20.10"), apt=True)


def run(session: FakeSession, desired: HostDesired, waits: Waits) -> RecordingLog:
    log = RecordingLog()
    Runner(session, desired, log, waits).act(APT)
    return log


@pytest.mark.parametrize(
    ("locked", "holder"),
    [
        (LOCKED, "process 812 (unattended-upgr)"),
        (LISTS_LOCKED, "process 9 (apt-get)"),
        (DPKG_LOCKED, "process 77"),
    ],
    ids=["dpkg-frontend", "lists", "dpkg"],
)
def test_a_lock_is_waited_for_and_its_holder_named(
    locked: Result, holder: str, desired: HostDesired, waits: Waits, clock: FakeClock
) -> None:
    session = FakeSession(answers=[("apt-get", [locked, locked, Result(0)])])
    log = run(session, desired, waits)
    assert len(session.commands) == 3
    assert len(clock.slept) == 2
    assert f"lock is held by {holder}; waiting" in log.text


def test_a_lock_that_stays_is_an_error(desired: HostDesired, waits: Waits, clock: FakeClock) -> None:
    session = FakeSession(answers=[("apt-get", LOCKED)])
    with pytest.raises(DeadlineError, match=r"h1: apt's or dpkg's lock is held by process 812 .*ps -fp 812"):
        run(session, desired, waits)
    assert 600 <= clock.now < 620


def test_cancel_ends_the_wait_for_a_lock(desired: HostDesired, waits: Waits) -> None:
    def locked(_: Command) -> Result:
        waits.cancel.set()
        return LOCKED

    with pytest.raises(CancelledError):
        run(FakeSession(answers=[("apt-get", locked)]), desired, waits)


def test_an_interrupted_dpkg_is_repaired(desired: HostDesired, waits: Waits) -> None:
    session = FakeSession(answers=[("--configure -a", Result(0)), ("apt-get", [INTERRUPTED, Result(0)])])
    run(session, desired, waits)
    assert ["--configure -a" in script for script in session.scripts] == [False, True, False]


def test_a_dpkg_that_cannot_be_repaired_is_an_error(desired: HostDesired, waits: Waits) -> None:
    broken = Result(1, "", "dpkg: error processing package x (--configure): exit status 1")
    session = FakeSession(answers=[("--configure -a", broken), ("apt-get", INTERRUPTED)])
    with pytest.raises(CommandError, match="finish what dpkg began"):
        run(session, desired, waits)
    assert sum("--configure -a" in script for script in session.scripts) == 2


@pytest.mark.parametrize("hiccup", [HASH, BUSY], ids=["hash", "503"])
def test_a_mirror_is_asked_again(hiccup: Result, desired: HostDesired, waits: Waits, clock: FakeClock) -> None:
    session = FakeSession(answers=[("apt-get update", Result(0)), ("apt-get install", [hiccup, hiccup, Result(0)])])
    log = run(session, desired, waits)
    assert [script.split()[1] for script in session.scripts] == ["install", "update", "install", "update", "install"]
    assert "the mirror failed" in log.text
    assert len(clock.slept) == 2


def test_a_mirror_that_stays_broken_is_an_error(desired: HostDesired, waits: Waits) -> None:
    session = FakeSession(answers=[("apt-get update", Result(0)), ("apt-get install", BUSY)])
    with pytest.raises(CommandError, match="503  Service Unavailable"):
        run(session, desired, waits)
    assert sum("install" in script for script in session.scripts) == 5


@pytest.mark.parametrize(
    ("result", "kind", "said"),
    [
        (GONE, PackageError, "the mirrors do not have docker.io 20.10. Run `slipway lock`"),
        (UNKNOWN, PackageError, "the mirrors do not have docker.io. Run `slipway lock`"),
        (NO_FIT, PackageError, "nvidia-alternative (= 535.261.03-1)"),
        (FULL, DiskFullError, "/dev/vda1  100%"),
        (DPKG_FULL, DiskFullError, "/dev/vda1  100%"),
        (OTHER, CommandError, "E: something else"),
    ],
    ids=["version", "package", "dependencies", "apt-full", "dpkg-full", "other"],
)
def test_what_waiting_does_not_mend_is_said_at_once(
    result: Result, kind: type[SlipwayError], said: str, desired: HostDesired, waits: Waits, clock: FakeClock
) -> None:
    session = FakeSession(answers=[("df -h", "/dev/vda1  100%"), ("apt-get", result)])
    with pytest.raises(kind) as raised:
        run(session, desired, waits)
    assert said in str(raised.value)
    assert str(raised.value).startswith("h1: ")
    assert clock.slept == []


def test_a_module_that_is_not_built_says_why(desired: HostDesired, waits: Waits) -> None:
    """apt's last lines are triggers, and what puts the old package back takes the log of the build along."""
    log = "/var/lib/dkms/nvidia-current/535.309.01/build/make.log"
    out = "\n".join([f"Consult {log} for more information.", *["Processing triggers for libc-bin"] * 20])
    failed = Result(100, out, "E: Sub-process /usr/bin/dpkg returned an error code (1)")
    said = Result(0, "nv.c:7:1: error: unknown type name\n")
    session = FakeSession(answers=[("apt-get", failed), (f"error:' {log}", said)])
    with pytest.raises(CommandError, match=r"error code \(1\)\nThe build said:\nnv.c:7:1: error: unknown type name\."):
        run(session, desired, waits)


def test_a_full_disk_is_shown_for_files_too(desired: HostDesired, waits: Waits) -> None:
    class Full(FakeSession):
        def put(self, path: str, *_: object) -> None:
            raise failure(
                self.name, Command("", f"write {path}", secret=True), Result(1, "", "No space left on device")
            )

    runner = Runner(Full(answers=[("df -h", "/dev/vda1  100%")]), desired, RecordingLog(), waits)
    with pytest.raises(DiskFullError, match=r"no space left while: write /etc/x\n/dev/vda1  100%"):
        runner.act(Put("/etc/x", "secret"))


def test_an_archive_that_is_not_here_is_an_error(desired: HostDesired, waits: Waits) -> None:
    class Strict(FakeSession):
        def upload(self, local: object, *_: object) -> None:
            raise FileNotFoundError(2, "No such file or directory", str(local))

    runner = Runner(Strict(), desired, RecordingLog(), waits)
    with pytest.raises(CommandError, match=r"h1: /cache/engine.tar cannot be read: No such file"):
        runner.act(Send("/cache/engine.tar", "/var/lib/x.tar", "f00d"))
