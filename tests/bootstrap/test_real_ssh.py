"""The SSH session against a real sshd: keys, deadlines, cancel, root without a terminal, large files."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from bootstrap.log import NullLog
from bootstrap.machines.fleet import new_key
from bootstrap.session import Command
from bootstrap.ssh import connect, fingerprint
from bootstrap.testing import RecordingLog
from bootstrap.waits import Waits
from slipway.errors import (
    AuthenticationError,
    CancelledError,
    CommandError,
    DeadlineError,
    DiskFullError,
    HostKeyError,
    UnreachableError,
)
from tests.bootstrap.conftest import RealHost

pytestmark = [pytest.mark.hosts, pytest.mark.slow]
HASTY = 30.0


def processes(host: RealHost, mark: str) -> str:
    return host.shell(f"ps -eo args | grep '[s]leep {mark}' || true")


def test_wrong_host_key_names_both_fingerprints(real_host: RealHost) -> None:
    other = new_key().public.strip()
    with pytest.raises(HostKeyError) as raised:
        connect(real_host.connection.model_copy(update={"host_key": other}), NullLog(), threading.Event())
    said = str(raised.value)
    assert fingerprint(other) in said
    assert fingerprint(real_host.host_key.public) in said
    assert "Nothing was sent to it" in said


def test_host_key_of_another_type_is_wrong_too(real_host: RealHost) -> None:
    key = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY="
    with pytest.raises(HostKeyError, match="the host offers no ecdsa-sha2-nistp256 host key"):
        connect(real_host.connection.model_copy(update={"host_key": key}), NullLog(), threading.Event())


def test_no_known_host_key_is_refused(real_host: RealHost) -> None:
    with pytest.raises(HostKeyError, match="no host key is known"):
        connect(real_host.connection.model_copy(update={"host_key": None}), NullLog(), threading.Event())


def test_accept_new_pins_on_first_sight(real_host: RealHost) -> None:
    log = RecordingLog()
    new = real_host.connection.model_copy(update={"host_key": None, "host_key_policy": "accept-new"})
    with connect(new, log, threading.Event()) as session:
        assert session.pinned_host_key == " ".join(real_host.host_key.public.split()[:2])
        session.reconnect(HASTY)
    assert "accepted on first sight" in log.text
    pinned = new.model_copy(update={"host_key": new_key().public})
    with pytest.raises(HostKeyError):
        connect(pinned, log, threading.Event())


def test_refused_key(real_host: RealHost) -> None:
    stranger = real_host.connection.model_copy(update={"private_key": new_key().private})
    hasty = Waits(sleep=lambda _: None)
    with pytest.raises(AuthenticationError, match=r"the host refuses our key ssh-ed25519 SHA256:.*authorized_keys"):
        connect(stranger, NullLog(), hasty.cancel, waits=hasty)


def test_unreadable_key(real_host: RealHost) -> None:
    with pytest.raises(AuthenticationError, match="the private key given for it cannot be read"):
        connect(real_host.connection.model_copy(update={"private_key": "x"}), NullLog(), threading.Event())


def test_host_that_is_down(real_host: RealHost) -> None:
    down = real_host.connection.model_copy(update={"port": 1})
    started = time.monotonic()
    with pytest.raises(UnreachableError, match=r"h1: no SSH at .*:1: connection refused\. Check that the host is up"):
        connect(down, NullLog(), threading.Event(), deadline=1)
    assert time.monotonic() - started < 40


def test_root_without_a_terminal(real_host: RealHost) -> None:
    public = real_host.key.public.strip()
    real_host.shell(
        "id ops 2>/dev/null || useradd -m -s /bin/bash ops; mkdir -p ~ops/.ssh; "
        f"echo '{public}' > ~ops/.ssh/authorized_keys; chown -R ops ~ops/.ssh; rm -f /etc/sudoers.d/ops"
    )
    ops = real_host.connection.model_copy(update={"user": "ops"})
    with connect(ops, NullLog(), threading.Event()) as session:
        with pytest.raises(AuthenticationError, match=r"user 'ops' may not become root.*NOPASSWD"):
            session.run(Command("id -u", "see who we are"))
        real_host.shell("echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops")
        assert session.run(Command("id -u; cat", "see who we are", stdin=b"told")).stdout == "0\ntold"
        session.put("/etc/put-by-ops", b"x", 0o640, "root:65532")
        with pytest.raises(DeadlineError):
            session.run(Command("sleep 3111", "oversleep", deadline=0.5))
    assert real_host.shell("stat -c '%a %u:%g' /etc/put-by-ops") == "640 0:65532"
    assert processes(real_host, "3111") == ""


def test_stdin_exit_status_and_both_streams(real_host: RealHost) -> None:
    with real_host.connect() as session:
        result = session.run(Command("cat; echo err >&2; exit 3", "w", stdin=b"x" * 5_000_000, check=False))
        assert (result.exit, len(result.stdout), result.stderr) == (3, 5_000_000, "err\n")
        with pytest.raises(CommandError, match=r"h1: exit status 4 from: try it:\nbecause"):
            session.run(Command("echo because >&2; exit 4", "try it"))
        assert session.run(Command("kill -9 $$", "w", check=False)).exit == 137


def test_secrets_are_masked_everywhere(real_host: RealHost) -> None:
    log = RecordingLog()
    with connect(real_host.connection, log, threading.Event()) as session:
        session.mask("hunter2")
        result = session.run(Command("read x; echo got $x; ps -eo args", "w", stdin=b"hunter2\n", stream=True))
        with pytest.raises(CommandError) as raised:
            session.run(Command("cat; exit 1", "w", stdin=b"hunter2"))
    assert result.stdout.startswith("got [secret]")
    assert "got [secret]" in log.text
    assert "hunter2" not in log.text + str(raised.value) + result.stdout


def test_a_deadline_ends_the_whole_process_group(real_host: RealHost) -> None:
    with real_host.connect() as session, pytest.raises(DeadlineError, match=r"not done after 0.5 s: oversleep"):
        session.run(Command("sleep 3222 & echo begun; sleep 3222", "oversleep", deadline=0.5))
    assert processes(real_host, "3222") == ""


def test_cancel_ends_a_command_at_once(real_host: RealHost) -> None:
    cancel = threading.Event()
    with connect(real_host.connection, NullLog(), cancel) as session:
        timer = threading.Timer(0.3, cancel.set)
        timer.start()
        started = time.monotonic()
        with pytest.raises(CancelledError):
            session.run(Command("sleep 3333 & sleep 3333", "oversleep"))
        timer.join()
    assert time.monotonic() - started < 30
    assert processes(real_host, "3333") == ""


def test_cancel_lets_an_uninterruptible_command_finish(real_host: RealHost) -> None:
    cancel = threading.Event()
    with connect(real_host.connection, NullLog(), cancel) as session:
        timer = threading.Timer(0.3, cancel.set)
        timer.start()
        assert session.run(Command("sleep 1; echo whole", "w", interruptible=False)).stdout == "whole\n"
        timer.join()
        with pytest.raises(CancelledError):
            session.run(Command("true", "w"))


def test_a_lost_connection_says_what_was_under_way(real_host: RealHost) -> None:
    with real_host.connect() as session:
        cut = "until pgrep -f 'sleep 3444$' && kill $(pgrep -f '^sshd: root@notty' | head -1); do sleep 0.1; done"
        timer = threading.Timer(0, real_host.shell, [cut])
        timer.start()
        with pytest.raises(
            UnreachableError, match=r"h1: connection to .* lost while: wait for it \(connection closed\)"
        ):
            session.run(Command("sleep 3444", "wait for it", deadline=8))
        timer.join()
    real_host.shell("until ! pgrep -f 'sleep 3444$'; do sleep 0.2; done")
    assert processes(real_host, "3444") == "", "the host itself ends a command whose connection is gone"


def test_a_full_disk_is_named(real_host: RealHost) -> None:
    real_host.shell("mkdir -p /mnt/small; mountpoint -q /mnt/small || mount -t tmpfs -o size=64k tmpfs /mnt/small")
    with real_host.connect() as session, pytest.raises(DiskFullError, match="no space left while: fill it"):
        session.run(Command("head -c 1M /dev/zero > /mnt/small/x", "fill it"))
    real_host.shell("umount /mnt/small")


def test_upload_resumes_and_is_checked(real_host: RealHost, tmp_path: Path) -> None:
    local, remote, seen = tmp_path / "file", "/var/tmp/up/file", list[int]()
    local.write_bytes(os.urandom(8 << 20))
    digest = hashlib.sha256(local.read_bytes()).hexdigest()
    part = f"{remote}.{digest[:16]}.part"
    with real_host.connect() as session:
        session.upload(local, remote, digest, lambda done, _: seen.append(done))
        assert seen[-1] == 8 << 20
        session.upload(local, remote, digest, lambda done, _: seen.append(-done))
        assert min(seen) > 0, "a file that is there is not sent again"
        session.run(Command(f"head -c 5M {remote} > {part}; rm {remote}", "break off"))
        seen.clear()
        session.upload(local, remote, digest, lambda done, _: seen.append(done))
        assert seen == [6 << 20, 7 << 20, 8 << 20]
        session.run(Command(f"head -c 5M /dev/zero > {part}; rm {remote}", "damage"))
        session.upload(local, remote, digest)
        assert session.run(Command(f"sha256sum < {remote}; rm -r /var/tmp/up", "look")).stdout.startswith(digest)
        with pytest.raises(CommandError, match=r"arrived at .* with digest .*, expected 00"):
            session.upload(local, remote, "00" * 32)
        assert session.run(Command("ls /var/tmp/up; rm -r /var/tmp/up", "look")).stdout == ""
