"""What the tests of the bootstrap engine share: a release to ask for, and a clock that does not sleep."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from bootstrap.waits import Waits
from slipway.desired import HostDesired, Image, Package


@dataclass
class FakeClock:
    """Time that passes only when somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def waits(clock: FakeClock) -> Waits:
    return Waits(threading.Event(), clock=clock, sleep=clock.sleep)


@pytest.fixture
def desired() -> HostDesired:
    return HostDesired(
        release="2026.10",
        os="debian:12",
        packages=(Package(name="docker.io", version="20.10"), Package(name="curl", version="7.88")),
        images=(Image(name="engine", reference="sha256:aa", archive="/cache/engine.tar", archive_sha256="f00d"),),
    )
