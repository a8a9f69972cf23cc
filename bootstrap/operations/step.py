"""What an operation answers: steps and the sentence why. Values only; the runner acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bootstrap.facts import Facts
from bootstrap.session import Command
from slipway.desired import HostDesired
from slipway.errors import HostError


@dataclass(frozen=True)
class Run:
    """A command. `apt` marks those that need apt's or dpkg's locks and mirrors: the runner knows how these fail."""

    command: Command
    apt: bool = False

    def as_data(self) -> dict[str, Any]:
        return {"run": self.command.script, "why": self.command.why} | ({"apt": True} if self.apt else {})


@dataclass(frozen=True)
class Put:
    """A small file, written whole."""

    path: str
    content: str
    mode: int = 0o644

    def as_data(self) -> dict[str, Any]:
        return {"put": self.path, "mode": f"{self.mode:04o}", "content": self.content}


@dataclass(frozen=True)
class Send:
    """A large file from beside the one who runs `up`; `sha256` in hexadecimal."""

    local: str
    remote: str
    sha256: str

    def as_data(self) -> dict[str, Any]:
        return {"send": self.local, "to": self.remote, "sha256": self.sha256}


Step = Run | Put | Send

SAVED = ".slipway.save"
"""suffix of the host's own files of apt's while ours replace them; apt ignores *.save without a word"""


@dataclass(frozen=True)
class Steps:
    """What is to do, in order, and why. No steps: the sentence says why nothing is to do."""

    why: str
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class Operation:
    """A named pure function. `refresh`: what it does changes what later operations see, so facts are read again."""

    name: str
    plan: Callable[[Facts, HostDesired], Steps]
    refresh: bool = False
    stops_service: Callable[[Facts, HostDesired], bool] | None = None
    """whether what it is about to do stops containers or takes GPUs away from them; None for never"""


class Refusal(Exception):  # noqa: N818  a verdict of a pure function, which knows no host; the runner adds where
    """An operation cannot be planned: `error` is the kind, with what and how to fix it."""

    def __init__(self, error: type[HostError], what: str, fix: str) -> None:
        super().__init__(what)
        self.error = error
        self.what = what
        self.fix = fix


@dataclass
class Plan:
    """Collects steps."""

    steps: list[Step] = field(default_factory=list)

    def run(self, script: str, why: str, *, deadline: float = 60.0) -> None:
        self.steps.append(Run(Command(script, why, deadline=deadline)))

    def done(self, why: str) -> Steps:
        return Steps(why, tuple(self.steps))
