"""Processes that outlive this one, and how they are known again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bootstrap.machines.locks import computer_lock, folder_lock, write_json
from bootstrap.machines.processes import kill, last_lines, launch_detached, running_pid, started_at

SLEEPER = """\
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
os.close(int(sys.argv[2]))
time.sleep(60)
"""
LAUNCH = """\
import sys; from pathlib import Path; from bootstrap.machines.processes import launch_detached
launch_detached([sys.executable, "-c", sys.argv[1], sys.argv[2]], Path(sys.argv[3]))
"""


def test_a_detached_process_holds_no_pipe_of_its_launcher(tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    # capture_output reads until every holder of the pipe is gone: with the sleeper among them this takes a minute.
    argv = [sys.executable, "-c", LAUNCH, SLEEPER, str(pidfile), str(tmp_path / "log")]
    subprocess.run(argv, capture_output=True, check=True, timeout=20)
    pid = int(pidfile.read_text())
    try:
        assert started_at(pid) is not None
        assert os.getsid(pid) != os.getsid(0)
        assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
    finally:
        kill(pid)
    assert started_at(pid) is None


def test_a_launch_returns_at_once_when_the_process_dies(tmp_path: Path) -> None:
    started = time.monotonic()
    launch_detached([sys.executable, "-c", "raise SystemExit('it is broken')"], tmp_path / "log")
    assert time.monotonic() - started < 30
    assert "it is broken" in last_lines(tmp_path / "log")


def test_a_number_used_again_is_not_the_same_process(tmp_path: Path) -> None:
    record = tmp_path / "process.json"
    assert running_pid(record) is None
    write_json(record, {"pid": os.getpid(), "started": started_at(os.getpid())})
    assert running_pid(record) == os.getpid()
    write_json(record, {"pid": os.getpid(), "started": 1})
    assert running_pid(record) is None
    record.write_text("")
    assert running_pid(record) is None


def test_the_end_of_a_console_is_readable(tmp_path: Path) -> None:
    console = tmp_path / "console.log"
    assert last_lines(console) == "nothing on its console"
    console.write_bytes(b"\x1b[0mfirst\r\n\n" + b"x\n" * 20 + b"\xfflast\r\n")
    lines = last_lines(console, 2).splitlines()
    assert lines[-1].endswith("last")
    assert len(lines) == 2


@pytest.mark.parametrize("kind", ["computer", "folder"])
def test_locks_exclude_threads_of_one_process_and_leave_no_file(kind: str, tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        with computer_lock() if kind == "computer" else folder_lock(tmp_path):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_json_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert [entry.name for entry in path.parent.iterdir()] == ["x.json"]
