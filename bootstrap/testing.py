"""The fakes that tests drive in place of a host. They ship in the package and record what was asked of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.session import Command, Progress, Result, failure

Answer = Result | Exception | str | Callable[[Command], Result]
"""a string is the standard output of a command that succeeded; an exception is raised"""


@dataclass(frozen=True)
class FakeFile:
    """A file that was put on a fake host."""

    content: bytes
    mode: int
    owner: str


@dataclass
class FakeSession:
    """Records commands and answers them from a script.

    `answers` are pairs of a pattern (searched in the command's script) and an answer. The first pair whose pattern is
    found answers; a list of answers is used up in order, the last one staying. A command that nothing matches gets
    `default`, or, where that is None, an AssertionError, so that a test notices a command it did not expect.
    """

    name: str = "h1"
    answers: Iterable[tuple[str, Answer | list[Answer]]] = ()
    default: Answer | None = ""
    commands: list[Command] = field(default_factory=list)
    files: dict[str, FakeFile] = field(default_factory=dict)
    uploads: list[tuple[Path, str, str]] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)
    pinned_host_key: str = "ssh-ed25519 AAAAfake"
    reconnects: list[float] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self._answers: list[tuple[str, list[Answer]]] = [
            (pattern, list(answer) if isinstance(answer, list) else [answer]) for pattern, answer in self.answers
        ]

    def __enter__(self) -> FakeSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def scripts(self) -> list[str]:
        """The scripts of the commands so far, in order."""
        return [command.script for command in self.commands]

    def answer(self, pattern: str, *answers: Answer) -> None:
        """Answers commands matching `pattern` from now on, before every earlier rule."""
        self._answers.insert(0, (pattern, list(answers)))

    def run(self, command: Command) -> Result:
        self.commands.append(command)
        answer = self._find(command)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            answer = Result(0, answer)
        result = answer if isinstance(answer, Result) else answer(command)
        if command.check and result.exit != 0:
            raise failure(self.name, command, result)
        return result

    def _find(self, command: Command) -> Answer:
        for pattern, answers in self._answers:
            if re.search(pattern, command.script):
                return answers.pop(0) if len(answers) > 1 else answers[0]
        if self.default is None:
            raise AssertionError(f"{self.name}: no answer for: {command.script}")
        return self.default

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        self.files[path] = FakeFile(content, mode, owner)

    def upload(self, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> None:
        self.uploads.append((local, remote, sha256))
        if progress:
            progress(1, 1)

    def mask(self, secret: str) -> None:
        self.masked.append(secret)

    def reconnect(self, deadline: float) -> None:
        self.reconnects.append(deadline)

    def close(self) -> None:
        self.closed = True


@dataclass
class RecordingLog:
    """Keeps what was said, as (level, text)."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def info(self, text: str) -> None:
        self.lines.append(("info", text))

    def warning(self, text: str) -> None:
        self.lines.append(("warning", text))

    def progress(self, text: str) -> None:
        self.lines.append(("progress", text))

    @property
    def text(self) -> str:
        """Everything said, one line each."""
        return "\n".join(text for _, text in self.lines)
