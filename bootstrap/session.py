"""A session is a way to act on one host as root. The runner and the service engine know no other.

`ssh.connect` makes the real one, `testing.FakeSession` the one that tests drive.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from slipway.errors import CommandError, DiskFullError, HostError

TAIL_LINES = 12
"""lines of a failed command's output that its error carries: apt says what went wrong in the last few"""

NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|have enough free space|not enough free space")
"""what any program says when write() gives ENOSPC or EDQUOT (errno(3)), and what apt says before it downloads"""

Progress = Callable[[int, int], None]
"""called with bytes done and bytes in total"""


@dataclass(frozen=True)
class Command:
    """One shell script for /bin/sh, run as root, and the sentence why.

    `deadline` is in seconds; past it the whole remote process group is ended and `DeadlineError` raised.
    `stdin` is how secrets travel; `secret` keeps the output out of the log and of errors. `check` turns an exit status
    other than 0 into `CommandError`. `stream` sends each line of output to the log as it comes. A command that is not
    `interruptible` (a dpkg transaction, say) is let finish when the run is cancelled: the cancel takes effect after it.
    """

    script: str
    why: str
    stdin: bytes | None = None
    deadline: float = 60.0
    secret: bool = False
    check: bool = True
    stream: bool = False
    interruptible: bool = True


@dataclass(frozen=True)
class Result:
    """What a command left: exit status, output decoded as UTF-8 (bad bytes replaced), seconds it took."""

    exit: int
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0

    @property
    def output(self) -> str:
        """Both streams, errors last."""
        return "\n".join(part.rstrip("\n") for part in (self.stdout, self.stderr) if part.strip())


class Session(Protocol):
    """One host, as root. Every method raises `UnreachableError` when the connection is lost on the way."""

    @property
    def name(self) -> str:
        """The host's name, for errors and logs."""

    def run(self, command: Command) -> Result:
        """Runs to the end; raises `CommandError`, `DeadlineError`, `DiskFullError` or `CancelledError`."""

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        """Writes one small file whole: readers see the old one or the new one. The content never shows in argv."""

    def upload(self, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> None:
        """Sends one large file; goes on where a broken transfer stopped; the host checks the digest (hex)."""

    def mask(self, secret: str) -> None:
        """Keeps `secret` out of everything that this session logs or raises from now on."""

    def reconnect(self, deadline: float) -> None:
        """Drops the connection and waits for a new one for at most `deadline` seconds, after a reboot for example."""

    def until_lost(self, deadline: float) -> None:
        """Waits, for at most `deadline` seconds, until this connection is gone, because the host goes down."""

    def close(self) -> None:
        """Lets go of the host; may be called twice."""


def failure(host: str, command: Command, result: Result) -> HostError:
    """The error for a command that ended with `result`: what, where, what to do, and its last lines."""
    tail = "" if command.secret else "\n".join(result.output.splitlines()[-TAIL_LINES:])
    if NO_SPACE.search(result.output):
        return DiskFullError(
            f"no space left while: {command.why}" + (f"\n{tail}" if tail else ""),
            where=host,
            fix="Free some (`df -h` there shows where it is full), or give it a larger disk, then run `up` again.",
        )
    said = f":\n{tail}" if tail else ""
    return CommandError(
        f"exit status {result.exit} from: {command.why}{said}",
        where=host,
        fix="Put right what it says, then run `up` again; it goes on from there.",
    )


def quote(*words: str) -> str:
    """Words as one line of shell, each quoted where it must be."""
    return shlex.join(words)
