"""Maintenance windows of the Host resource, over a simulated host that real convergence works on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from bootstrap.host import converge_host, read_host, remove_host
from bootstrap.plugin.codec import UNKNOWN, Properties, decode
from bootstrap.plugin.resources.host import Host, HostEdge
from bootstrap.session import Result
from bootstrap.testing import SimulatedHost
from slipway.errors import UnreachableError
from tests.bootstrap.plugin.provider import CallError, Provider, provider

pytestmark = pytest.mark.net

WINDOWS = [{"cron": "0 2 * * 1-5", "seconds": 14400, "zone": "Europe/Helsinki"}]
NIGHT, NOON = "2026-11-26T03:00+02:00", "2026-11-26T12:00+02:00"
OLD, NEW = ({"docker.io": "20.10"}, {"docker.io": "24.0"})


@dataclasses.dataclass
class World:
    """A host, a clock, and how often somebody connected."""

    host: SimulatedHost
    time: str = NIGHT
    connected: int = 0
    served: Provider | None = None

    def connect(self, connection: Any, log: Any, cancel: Any, *, deadline: float = 120.0) -> SimulatedHost:
        self.connected += 1
        return self.host

    def now(self) -> float:
        return datetime.fromisoformat(self.time).timestamp()

    def inputs(self, release: str, windows: Any = WINDOWS) -> dict[str, Any]:
        packages = [{"name": name, "version": version} for name, version in (OLD if release == "old" else NEW).items()]
        return {
            "connection": {"name": "h1", "address": "10.0.0.1", "private_key": "a key", "host_key": "ssh-ed25519 A"},
            "desired": {"release": release, "os": "debian:12", "packages": packages},
            "windows": windows,
        }

    def install(self) -> Properties:
        """At noon: a first install does not wait."""
        assert self.served is not None
        self.time = NOON
        return self.served.create(self.inputs("old"))[1]

    def update(self, state: Properties, release: str = "new", windows: Any = WINDOWS) -> Properties:
        assert self.served is not None
        return self.served.update(state, self.inputs(release, windows), resource_id="h1")


@pytest.fixture
def world() -> Iterator[World]:
    world = World(SimulatedHost(available=[*OLD.items(), *NEW.items()]))
    edge = HostEdge(world.connect, converge_host, read_host, remove_host)
    with provider(Host(edge), now=world.now) as world.served:
        yield world


def failed_update(world: World, made: Properties) -> Properties:
    """Runs an update that fails; the state that the engine keeps of it."""
    with pytest.raises(CallError) as caught:
        world.update(made)
    assert caught.value.init_failed is not None
    return decode(caught.value.init_failed.properties)


def test_outside_of_its_windows_a_host_keeps_its_release(world: World) -> None:
    made, commands = world.install(), len(world.host.commands)
    with pytest.raises(CallError) as caught:
        world.update(made)
    assert str(caught.value) == (
        "h1: it carries old and is to get new, and no maintenance window is open; the next opens "
        "Fri 2026-11-27 02:00 Europe/Helsinki. Run `pulumi up` again then; or, to do it now, run "
        "`pulumi config rm --path 'slipway:rollout.windows'`, `pulumi up`, and put the windows back"
    )
    assert caught.value.init_failed is None, "the state stays as it was"
    assert world.host.packages["docker.io"] == "20.10"
    assert len(world.host.commands) == commands + 1, "only the receipt was read"


def test_a_preview_warns_of_a_closed_window(world: World) -> None:
    """And connects to nobody. Where the release stays, or a window is open, there is nothing to say."""
    assert world.served is not None
    made, connected = world.install(), world.connected

    def warned(release: str, windows: Any = WINDOWS) -> list[str]:
        assert world.served is not None
        before = len(world.served.sink.texts("warning").splitlines())
        world.served.update(made, world.inputs(release, windows), resource_id="h1", preview=True)
        return list(world.served.sink.texts("warning").splitlines()[before:])

    assert warned("new") == [
        "it: it carries old and is to get new, and no maintenance window is open; the next opens Fri 2026-11-27 02:00 "
        "Europe/Helsinki. `pulumi up` stops here until then, unless the host has begun with it or goes back to the "
        "release before"
    ]
    assert warned("old") == warned("new", None) == warned("new", UNKNOWN) == []
    world.time = NIGHT
    assert warned("new") == []
    assert world.connected == connected


def test_inside_a_window_it_does_not(world: World) -> None:
    made = world.install()
    world.time = NIGHT
    connected = world.connected
    assert world.update(made).values["release"] == "new"
    assert world.connected == connected + 1, "its receipt is not asked first"


@pytest.mark.parametrize("windows", [[], None])
def test_without_windows_it_does_not(world: World, windows: Any) -> None:
    assert world.update(world.install(), windows=windows).values["release"] == "new"


def test_drift_does_not_wait(world: World) -> None:
    made = world.install()
    world.host.packages["docker.io"] = "24.0"
    world.update(made, "old")
    assert world.host.packages["docker.io"] == "20.10"


def test_an_update_that_was_cut_off_goes_on(world: World) -> None:
    """The provider died with it, so that the state says nothing of it."""
    made = world.install()
    world.time = NIGHT
    world.host.fail_on("apt-get install", UnreachableError("lost", where="h1", fix=""), late=True)
    failed_update(world, made)
    world.time = NOON
    assert world.update(made).values["release"] == "new"


def test_an_update_that_failed_goes_on(world: World) -> None:
    made = world.install()
    world.time = NIGHT
    world.host.fail_on("apt-get install", Result(1, "", "boom"), late=True)
    world.host.fail_on("apt-get install", Result(1, "", "bang"))
    kept = failed_update(world, made)
    world.time = NOON
    assert world.update(kept).values["release"] == "new"


def test_a_host_that_was_put_back_waits_for_the_next_window(world: World) -> None:
    made = world.install()
    world.time = NIGHT
    world.host.fail_on("apt-get install", Result(1, "", "boom"), late=True)
    kept = failed_update(world, made)
    assert "release" not in kept.values
    world.time = NOON
    with pytest.raises(CallError, match="carries old and is to get new, and no maintenance window is open"):
        world.update(kept)
    assert world.update(kept, "old").values["release"] == "old", "to confirm what it carries does not wait"


def test_the_way_back_does_not_wait(world: World) -> None:
    made = world.install()
    world.time = NIGHT
    made = world.update(made)
    world.time = NOON
    assert world.update(made, "old").values["release"] == "old"


def test_a_first_install_that_failed_goes_on_to_any_release(world: World) -> None:
    assert world.served is not None
    world.time = NOON
    world.host.fail_on("apt-get install", Result(1, "", "boom"))
    with pytest.raises(CallError) as caught:
        world.served.create(world.inputs("old"))
    assert caught.value.init_failed is not None
    assert world.update(decode(caught.value.init_failed.properties)).values["release"] == "new"


def test_another_window_is_nothing_to_do(world: World) -> None:
    assert world.served is not None
    before = world.inputs("old")
    for windows in ([], [{**WINDOWS[0], "seconds": 60}], [*WINDOWS, {"cron": "0 0 * * 6", "seconds": 60}]):
        assert not world.served.diff(before, world.inputs("old", windows)).detailedDiff
    assert set(world.served.diff(before, world.inputs("new", [])).diffs) == {"desired"}


@pytest.mark.parametrize(
    ("windows", "failures"),
    [
        (WINDOWS, []),
        (UNKNOWN, []),
        ([{"cron": "0 2 * * *", "seconds": UNKNOWN}], []),
        ([{"cron": "0 2 * * *"}], ["windows[0].seconds"]),
        ([*WINDOWS, {**WINDOWS[0], "colour": "red"}], ["windows[1].colour"]),
    ],
)
def test_windows_are_checked(world: World, windows: Any, failures: list[str]) -> None:
    assert world.served is not None
    assert list(world.served.check(world.inputs("old", windows))[1]) == failures
