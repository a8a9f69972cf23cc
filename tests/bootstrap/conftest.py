"""What the tests of the bootstrap engine share: a release to ask for, and a clock that does not sleep."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bootstrap.log import NullLog
from bootstrap.machines import MachineSpec, MachineState, create, remove
from bootstrap.machines.fleet import KeyPair, new_key, way_in
from bootstrap.session import Command
from bootstrap.ssh import SshSession, connect
from bootstrap.waits import Waits
from slipway.desired import Connection, HostDesired, Image, Package
from tools import bases


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


@dataclass(frozen=True)
class RealHost:
    """A booted system container and the way in."""

    state: MachineState
    key: KeyPair
    host_key: KeyPair

    @property
    def connection(self) -> Connection:
        return way_in(self.state, self.key.private, self.host_key.public)

    def connect(self, **options: Any) -> SshSession:
        return connect(self.connection, NullLog(), threading.Event(), **options)

    def shell(self, script: str) -> str:
        """Runs a script over a connection of its own; returns what it printed."""
        with self.connect(deadline=30) as session:
            return session.run(Command(script, why="arrange a test", deadline=120)).stdout.strip()


@contextmanager
def booted(folder: Path) -> Iterator[RealHost]:
    """A new machine, whose state is `folder` (`…/<stack>/<name>`)."""
    base = Path(bases.ensure("bookworm")["tree"])
    key, host_key = new_key(), new_key()
    spec = MachineSpec(
        folder.name, folder.parent.name, "nspawn", key.public, host_key.public, host_key.private, base, folder
    )
    state = create(spec, NullLog(), threading.Event())
    try:
        yield RealHost(state, key, host_key)
    finally:
        remove(state, NullLog())


@pytest.fixture(scope="session")
def real_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHost]:
    """One machine for all tests that need a real one; each leaves it usable for the next."""
    with booted(tmp_path_factory.mktemp("hosts") / "test" / "h1") as host:
        yield host
