"""The errors of Slipway: sentences for the person who can act.

Every error says what is wrong, where (a config key, a file or a host) and how to put it right.

    SlipwayError                  exit 1
    ├── SettingsError             exit 2   the stack file: every problem, each with its key
    ├── ReleaseError              exit 2   a release or its lock: unknown, unreadable, inconsistent
    │   └── StaleLockError        exit 3   the lock no longer says what the release asks for
    ├── PlanError                 exit 2   settings are each right, but no plan can be made of them
    ├── SizingError               exit 2   a model, GPU, offer or workload that is unknown, damaged or contradictory
    ├── RenderError               exit 1   a template does not render
    ├── MachineError              exit 1   a local machine does not boot, or cannot be removed
    ├── HostError                 exit 4   something on, or on the way to, one host
    │   ├── UnreachableError               nothing answers, or the connection was lost
    │   ├── HostKeyError                   the host is not the one that the plan knows
    │   ├── AuthenticationError            the host refuses our key
    │   ├── CommandError                   a command failed; carries its last lines
    │   ├── DeadlineError                  a command or a wait ran past its deadline
    │   ├── PackageError                   a pinned package cannot be had
    │   ├── DiskFullError                  no space left
    │   ├── PortInUseError                 somebody else listens on a port of ours
    │   └── VerifyError                    what is there is not what was pinned
    ├── ModelError                exit 5   a model file: source, size or digest
    ├── ServiceError              exit 6   the engine does not start, or answers wrongly
    └── CancelledError            exit 130 stopped at a safe point; the next run goes on from there
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class SlipwayError(Exception):
    """Base of every foreseeable failure. `str()` is the whole sentence a user sees."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.where}: {self.what.rstrip('.')}. {self.fix}".rstrip()


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a file: the key it is at, what is wrong, and what would be right."""

    key: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.key}: {self.what.rstrip('.')}. {self.fix}".rstrip()


class SettingsError(SlipwayError):
    """A stack file with problems; all of them, not only the first."""

    exit_code = 2

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)), where=source, fix="")
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(f"{self.where}: {problem}" for problem in self.problems)


class ReleaseError(SlipwayError):
    exit_code = 2


class StaleLockError(ReleaseError):
    exit_code = 3


class PlanError(SlipwayError):
    exit_code = 2


class SizingError(SlipwayError):
    exit_code = 2


class RenderError(SlipwayError):
    pass


class MachineError(SlipwayError):
    pass


class HostError(SlipwayError):
    exit_code = 4


class UnreachableError(HostError):
    pass


class HostKeyError(HostError):
    pass


class AuthenticationError(HostError):
    pass


class CommandError(HostError):
    pass


class DeadlineError(HostError):
    pass


class PackageError(HostError):
    pass


class DiskFullError(HostError):
    pass


class PortInUseError(HostError):
    pass


class VerifyError(HostError):
    pass


class ModelError(SlipwayError):
    exit_code = 5


class ServiceError(SlipwayError):
    exit_code = 6


class CancelledError(SlipwayError):
    exit_code = 130
