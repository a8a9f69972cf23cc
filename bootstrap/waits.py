"""Every wait and retry of the bootstrap engine, by name, with its deadline and the reason for it.

A policy is a value; `Waits` runs it. It alone knows the clock and the cancel event, so that a test can hand in one
that does not sleep.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import tenacity
from tenacity.wait import wait_base

from slipway.errors import CancelledError

T = TypeVar("T")


@dataclass(frozen=True)
class Policy:
    """How long to wait for what, and how often to look. `deadline` is in seconds, `attempts` counts tries."""

    name: str
    reason: str
    deadline: float
    pause: wait_base
    attempts: int | None = None


SSH_UP = Policy(
    "SSH_UP",
    "a machine that was just booted takes seconds (a container), up to minutes (bare metal) until sshd answers",
    deadline=120,
    pause=tenacity.wait_exponential(multiplier=0.1, exp_base=1.6, max=3),
)
SSH_KEY = Policy(
    "SSH_KEY",
    "cloud-init writes authorized_keys some seconds after sshd answers; sshd fines those who knock too often",
    deadline=10,
    pause=tenacity.wait_fixed(4),
    attempts=3,
)
APT_LOCK = Policy(
    "APT_LOCK",
    "cloud images run apt-daily and unattended-upgrades at first boot, which hold dpkg's lock for minutes",
    deadline=600,
    pause=tenacity.wait_exponential(multiplier=0.5, exp_base=1.5, max=5),
)
DPKG_INTERRUPTED = Policy(
    "DPKG_INTERRUPTED",
    "a host that lost power in mid-install has half-configured packages; one `dpkg --configure -a` repairs most, and "
    "a second one those whose dependencies were repaired by the first",
    deadline=900,
    pause=tenacity.wait_fixed(1),
    attempts=2,
)
MIRROR = Policy(
    "MIRROR",
    "a mirror in mid-sync answers 5xx or with a hash mismatch for a minute or so; a proxy drops connections",
    deadline=300,
    pause=tenacity.wait_exponential(multiplier=2, exp_base=2, max=30),
    attempts=5,
)
REBOOT = Policy(
    "REBOOT",
    "servers with many GPUs and much memory take up to fifteen minutes through their firmware",
    deadline=1200,
    pause=tenacity.wait_exponential(multiplier=0.5, exp_base=1.5, max=5),
)
UNIT_START = Policy(
    "UNIT_START",
    "a unit that just started may fail within its first second; dockerd takes a few to load its images",
    deadline=60,
    pause=tenacity.wait_fixed(0.5),
)

SPARE = Policy(
    "SPARE",
    "a host that somebody has just started again, or undrained, is back within a minute unless its model is large",
    deadline=60,
    pause=tenacity.wait_fixed(3),
)
READY = Policy(
    "READY",
    "an engine that was started reads its model first; whoever waits says how long that may take",
    deadline=120,
    pause=tenacity.wait_fixed(1),
)


class Retry(Exception):  # noqa: N818  it is a verdict, not an error: it never leaves this module's callers
    """Raised by a tried function: not yet. `error` is what the caller gets once the policy gives up."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass
class Waits:
    """Runs policies against a clock. `cancel` ends every wait at once with `CancelledError`."""

    cancel: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] | None = None
    """in place of waiting on `cancel`, for tests"""

    def pause(self, seconds: float) -> None:
        """Sleeps, unless cancelled."""
        if self.sleep is None:
            self.cancel.wait(seconds)
        else:
            self.sleep(seconds)
        self.check()

    def check(self, where: str = "run") -> None:
        """Raises `CancelledError` when the run was cancelled."""
        if self.cancel.is_set():
            raise CancelledError("stopped", where=where, fix="The next `up` goes on from there.")

    def until(
        self,
        policy: Policy,
        attempt: Callable[[], T],
        *,
        deadline: float | None = None,
        on_wait: Callable[[Exception, float], object] | None = None,
    ) -> T:
        """Calls `attempt` until it returns. It raises `Retry(error)` for "not yet"; past the policy's deadline (or the
        one given, in seconds) or its attempts that `error` is raised. `on_wait` hears each error and seconds waited."""
        limit = policy.deadline if deadline is None else deadline
        started = self.clock()

        def give_up(state: tenacity.RetryCallState) -> bool:
            if policy.attempts is not None and state.attempt_number >= policy.attempts:
                return True
            return self.clock() - started >= limit

        def tell(state: tenacity.RetryCallState) -> None:
            raised = state.outcome.exception() if state.outcome else None
            if on_wait and isinstance(raised, Retry):
                on_wait(raised.error, self.clock() - started)

        self.check()
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Retry),
            stop=give_up,
            wait=policy.pause,
            sleep=self.pause,
            before_sleep=tell,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except Retry as last:
            raise last.error from None
