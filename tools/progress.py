"""Running a build step that takes a while: its output is kept for the case that it fails, a line now and then says that
it lives.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from slipway.errors import SlipwayError

EVERY = 15.0
"""Seconds between two signs of life: seldom enough for a log file, often enough for somebody who waits."""


def say(text: str) -> None:
    """One line for the user, on standard error: standard output is for what a command was asked for."""
    print(text, file=sys.stderr, flush=True)


def run(
    argv: Sequence[str], what: str, *, cwd: Path | None = None, env: Mapping[str, str] | None = None, fix: str = ""
) -> None:
    """Run `argv` to its end, saying now and then that `what` goes on.

    Raises SlipwayError with the last lines of the output when it fails or cannot be started.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        except FileNotFoundError:
            raise SlipwayError(f"{argv[0]} is not installed", where=what, fix=fix or f"Install {argv[0]}") from None
        while True:
            try:
                code = process.wait(EVERY)
                break
            except subprocess.TimeoutExpired:
                say(f"  {what}: {time.monotonic() - started:.0f} s")
            except BaseException:  # Ctrl-C reached the child too; what it was building is thrown away
                process.terminate()
                process.wait()
                raise
        if code != 0:
            output.seek(0)
            tail = b"\n    ".join(output.read().splitlines()[-20:]).decode(errors="replace")
            raise SlipwayError(
                f"{argv[0]} ended with {code}; its last lines:\n    {tail}\n", where=what, fix=fix or "Run it again"
            )
