"""Processes that outlive this one, and how to know them again."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

CONSOLE_LINES = 8
LAUNCH_DEADLINE = 10.0
"""seconds; a supervisor is up in 0.1 s"""
KILL_DEADLINE = 10.0
"""seconds; a killed process is gone in milliseconds, unless the kernel has it wait for a disk"""


def launch_detached(argv: Sequence[str], console: Path) -> None:
    """Starts a process that belongs to nobody: own session, own working folder, no descriptor of ours.

    The provider plugin's standard output is how Pulumi talks to it: a machine that held it would keep `pulumi up` from
    ending. `setsid --fork` gives the process to PID 1, which collects it when it ends. One descriptor it does get, its
    number as last argument: it is to close that once it is recorded, or by dying, and only then this returns.
    """
    reader, writer = os.pipe()
    try:
        with console.open("ab") as output:
            subprocess.run(
                ["setsid", "--fork", *argv, str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                pass_fds=(writer,),
                check=True,
            )
        os.close(writer)
        writer = -1
        select.select([reader], [], [], LAUNCH_DEADLINE)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none, or only its corpse."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def running_pid(record: Path) -> int | None:
    """The process recorded in `process.json`, if it is still that one. Start times differ after a reboot, too."""
    try:
        values = json.loads(record.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return values["pid"] if started_at(values["pid"]) == values["started"] else None


def kill(pid: int) -> None:
    """Kills one process, and waits until it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    end = time.monotonic() + KILL_DEADLINE
    while started_at(pid) is not None and time.monotonic() < end:
        time.sleep(0.01)


def ssh_banner(address: str, port: int, timeout: float) -> bool:
    """Whether an SSH server introduces itself. `timeout` in seconds."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def last_lines(console: Path, count: int = CONSOLE_LINES) -> str:
    """The end of a machine's console, for an error message."""
    if not console.exists():
        return "nothing on its console"
    with console.open("rb") as file:
        file.seek(max(0, console.stat().st_size - 16_384))
        text = file.read().decode(errors="replace")
    printable = ("".join(c for c in line if c.isprintable()).strip() for line in text.splitlines())
    lines = [line for line in printable if line]
    return "\n  ".join(lines[-count:]) or "nothing on its console"
