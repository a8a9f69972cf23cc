"""Errors of commands, the fakes, and the folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.log import NullLog, PrintLog
from bootstrap.paths import cache_dir, state_dir
from bootstrap.session import Command, Result, failure
from bootstrap.testing import FakeSession, RecordingLog
from slipway.errors import CommandError, DiskFullError


def test_failure_carries_the_last_lines() -> None:
    output = "\n".join(f"line {number}" for number in range(40))
    error = failure("h1", Command("x", "do it"), Result(3, output))
    assert isinstance(error, CommandError)
    assert "line 39" in str(error)
    assert "line 20" not in str(error)
    assert str(error).startswith("h1: exit status 3 from: do it")


def test_failure_of_a_secret_command_shows_nothing() -> None:
    assert "hunter2" not in str(failure("h1", Command("x", "do it", secret=True), Result(1, "", "hunter2")))


def test_no_space_is_an_error_of_its_own() -> None:
    assert isinstance(
        failure("h1", Command("x", "w"), Result(1, "", "cat: write: No space left on device")), DiskFullError
    )


def test_fake_session_records_and_answers_in_order() -> None:
    session = FakeSession(answers=[("one", ["1", "2"]), ("bad", Result(1, "", "no"))], default=None)
    assert [session.run(Command("one", "w")).stdout for _ in range(3)] == ["1", "2", "2"]
    with pytest.raises(CommandError, match="no"):
        session.run(Command("bad", "w"))
    with pytest.raises(AssertionError, match="no answer for: other"):
        session.run(Command("other", "w"))
    session.put("/a", b"x", 0o600)
    assert session.files["/a"].mode == 0o600
    assert session.scripts == ["one", "one", "one", "bad", "other"]


def test_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SLIPWAY_STATE", "SLIPWAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/u")
    assert state_dir(tmp_path) == tmp_path / ".slipway"
    assert cache_dir() == Path("/home/u/.cache/slipway")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_dir() == Path("/x/slipway")
    monkeypatch.setenv("SLIPWAY_CACHE", "/c")
    monkeypatch.setenv("SLIPWAY_STATE", "/s")
    assert (cache_dir(), state_dir(tmp_path)) == (Path("/c"), Path("/s"))


def test_logs(capsys: pytest.CaptureFixture[str]) -> None:
    for log in (PrintLog(), NullLog(), RecordingLog()):
        log.info("a")
        log.warning("b")
        log.progress("c")
    assert capsys.readouterr() == ("", "a\nwarning: b\nc\n")


def test_ssh_loads_nothing_that_it_never_uses() -> None:
    program = (
        "import sys, bootstrap.ssh; print([name for name in ('invoke', 'yaml', 'unittest') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
