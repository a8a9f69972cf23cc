"""Running contenders as commands, and leaving nothing behind however a benchmark ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bootstrap.paths import state_dir
from slipway.errors import SlipwayError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
TAIL = 25
"""lines of a failed contender's output that its error carries"""

PATIENCE = 60.0
"""seconds that an interrupted contender has to end"""


class BenchError(SlipwayError):
    """The comparison would not be fair, or a contender failed: there is no figure then."""


@dataclass(frozen=True)
class Timed:
    """What a command left: seconds from its start to its end, and its output."""

    seconds: float
    stdout: str
    stderr: str


def timed(
    what: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    stdin: bytes | None = None,
) -> Timed:
    """Runs a command to its end. Raises BenchError with its last lines when it fails.

    It gets a process group of its own, which is ended when the benchmark is interrupted.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source.write(stdin or b"")
        source.seek(0)
        begun = time.monotonic()
        process = subprocess.Popen(
            list(map(str, argv)),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=source,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            status = process.wait()
        except BaseException:
            _end(process)
            raise
        seconds = time.monotonic() - begun
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if status != 0:
        tail = "\n    ".join("\n".join(texts).splitlines()[-TAIL:])
        raise BenchError(f"exit status {status}; its last lines:\n    {tail}\n", where=what, fix="Put that right.")
    return Timed(seconds, texts[0], texts[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does, so that Pulumi can let go of its stack; then for good."""
    for number in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
            return


@contextmanager
def workspace() -> Iterator[Path]:
    """A folder in the state folder, removed at the end."""
    parent = state_dir(ROOT) / "bench"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=""))
    try:
        yield folder
    finally:
        with suppress(FileNotFoundError):  # the last machine takes the empty folders above it along
            shutil.rmtree(folder)
        with suppress(OSError):
            parent.rmdir()


def need_root(what: str) -> None:
    """Raises BenchError for anyone but root."""
    if os.geteuid() != 0:
        raise BenchError(f"{what} needs root", where="bench", fix="Run it as root (`sudo --preserve-env=PATH make …`).")


def run_main(main: Callable[[], None]) -> None:
    """Runs a benchmark's main function; a foreseeable fault or an interrupt ends in one sentence."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        main()
    except SlipwayError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("bench: stopped; what it had booted and written is removed", file=sys.stderr)
        sys.exit(130)
