"""Policies against a clock that does not sleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from bootstrap import waits as module
from bootstrap.waits import Policy, Retry, Waits
from slipway.errors import CancelledError
from tests.bootstrap.conftest import FakeClock

POLICIES = [value for value in vars(module).values() if isinstance(value, Policy)]


def failing(times: int, then: str = "done") -> Callable[[], str]:
    count = iter(range(times))

    def attempt() -> str:
        if next(count, None) is None:
            return then
        raise Retry(ValueError("not yet"))

    return attempt


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_policy_has_its_name_reason_and_deadline(policy: Policy) -> None:
    assert getattr(module, policy.name) is policy
    assert len(policy.reason) > 30
    assert 0 < policy.deadline <= 1200


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_policy_gives_up_with_the_last_error(policy: Policy, waits: Waits, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="not yet"):
        waits.until(policy, failing(10**6))
    longest = 30
    assert clock.now <= policy.deadline + longest


def test_returns_what_the_attempt_returns(waits: Waits, clock: FakeClock) -> None:
    heard: list[float] = []
    assert waits.until(module.SSH_UP, failing(3), on_wait=lambda _, waited: heard.append(waited)) == "done"
    assert len(clock.slept) == len(heard) == 3


def test_other_errors_pass_at_once(waits: Waits, clock: FakeClock) -> None:
    def attempt() -> None:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        waits.until(module.SSH_UP, attempt)
    assert clock.slept == []


def test_cancel_wakes_a_real_wait() -> None:
    cancel = threading.Event()
    threading.Timer(0.1, cancel.set).start()
    started = time.monotonic()
    with pytest.raises(CancelledError, match="The next `up` goes on"):
        Waits(cancel).pause(30)
    assert time.monotonic() - started < 30
