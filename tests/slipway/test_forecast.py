"""A roll-out before it is begun: what changes, how long it takes, what stays up."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.desired import Image, Package, Window
from slipway.forecast import Forecast, forecast
from slipway.gates import completion_deadline, health_deadline
from slipway.plan import make_plan
from slipway.plan_types import HostPlan, Plan
from slipway.releases import Lock, compute_lock, load_lock, load_release
from slipway.rollout import Policy, plan_waves
from slipway.settings import Settings
from slipway.windows import open_until
from tests.slipway.stack_files import BUILT, settings
from tests.slipway.test_cli import World
from tests.slipway.test_releases import resolved
from tests.support.golden import check_golden

R580, R620 = "r580-2026.11-ubuntu-24.04", "r620-2026.11-ubuntu-24.04"
DOC = Path(__file__).parents[2] / "docs" / "rollouts.md"
NOW = datetime.fromisoformat("2026-11-26T12:00+02:00")
NIGHTS = Window(cron="0 2 * * 1-5", seconds=4 * 3600, zone="Europe/Helsinki")
FLEET = """\
config:
  slipway:provider: ssh
  slipway:release: RELEASE
  slipway:ssh:
    host_key_policy: accept-new
    inventory:
      - {name: gpu-1, address: 192.0.2.11, domain: rack-a}
      - {name: gpu-2, address: 192.0.2.12, domain: rack-a}
      - {name: gpu-3, address: 192.0.2.13, domain: rack-a}
      - {name: gpu-4, address: 192.0.2.14, domain: rack-b}
      - {name: gpu-5, address: 192.0.2.15, domain: rack-b}
      - {name: gpu-6, address: 192.0.2.16, domain: rack-b}
  slipway:model:
    {name: some/model, source: "hf://some/model@0123456789012345678901234567890123456789/model.safetensors",
     sha256: "SHA256", size: 27GB, context: 8192}
  slipway:engine: {name: vllm, gpus: 2, replicas: 2}
  slipway:rollout:
    wave: "50%"
    bake: 10m
    windows: [{cron: "0 2 * * 1-5", duration: 2h, zone: Europe/Helsinki}]
""".replace("RELEASE", R580).replace("SHA256", "a" * 64)


def gpu_lock(name: str) -> Lock:
    """As `slipway lock` would write it, with every package at a version that goes with the release."""
    release = load_release(name)
    digit = "5" if name == R580 else "6"
    return compute_lock(release, resolved(release), {"engine-vllm": "sha256:" + digit * 64})


def gpu_plan(name: str) -> Plan:
    return make_plan(settings(base=FLEET.replace(R580, name)), load_release(name), gpu_lock(name), BUILT, stack="prod")


@pytest.fixture(scope="module")
def local() -> tuple[Settings, Plan]:
    asked = settings()
    return asked, make_plan(asked, load_release("local-2026.11"), load_lock("local-2026.11"), BUILT)


def moved(plan: Plan, *, packages: bool = False, image: str | None = None) -> Plan:
    """The plan of another release, where packages move, or one image does."""
    host = plan.host
    wanted = tuple(Package(name=item.name, version=item.version + "+1") for item in host.packages)
    images = tuple(
        Image(name=item.name, reference="sha256:new") if item.name == image else item for item in host.images
    )
    changed = host.model_copy(update={"packages": wanted if packages else host.packages, "images": images})
    return replace(plan, release="next", host=changed)


def of_hosts(plan: Plan, count: int, policy: Policy, windows: tuple[Window, ...] = ()) -> Plan:
    names = [f"h{index}" for index in range(count)]
    hosts = tuple(HostPlan(name, 0) for name in names)
    return replace(plan, hosts=hosts, waves=plan_waves(names, policy), windows=windows)


def names(found: Forecast) -> list[str]:
    return [step.name for step in found.steps]


def test_the_same_release_changes_nothing(local: tuple[Settings, Plan]) -> None:
    asked, plan = local
    found = forecast(plan, plan, asked, NOW)
    assert (found.changes, found.steps, found.waves, found.seconds) == ((), (), (), 0)
    assert found.arithmetic == "nothing on a host changes"


def test_packages_take_a_drain_and_a_start(local: tuple[Settings, Plan]) -> None:
    asked, plan = local
    found = forecast(plan, moved(plan, packages=True), asked, NOW)
    assert {change.kind for change in found.changes} == {"package"}
    assert len(found.changes) == len(plan.host.packages)
    assert names(found) == ["drain", "install", "load"]
    assert found.steps[0].seconds == plan.drain.settle + plan.drain.deadline + plan.engine.stop_seconds
    assert found.steps[-1].seconds == health_deadline(asked, plan.model.size).seconds
    assert found.reboot.startswith("no: without a GPU driver")
    assert found.notes == (
        "nothing serves while wave 0 changes: it holds every host. "
        "Add hosts, or make waves smaller by slipway:rollout.wave",
    )


def test_an_image_takes_the_services_own_drain(local: tuple[Settings, Plan]) -> None:
    asked, plan = local
    found = forecast(plan, moved(plan, image="engine-llama-cpp"), asked, NOW)
    assert [(change.kind, change.name, change.new) for change in found.changes] == [
        ("image", "engine-llama-cpp", "sha256:new")
    ]
    assert names(found) == ["images", "drain", "load", "first answer"]
    assert found.steps[-1].seconds == completion_deadline(asked, plan.model.size).seconds
    both = forecast(plan, moved(plan, packages=True, image="proxy"), asked, NOW)
    assert names(both) == ["drain", "install", "images", "load", "drain again", "load again", "first answer"]


def test_a_driver_takes_its_build_and_a_reboot() -> None:
    found = forecast(gpu_plan(R580), gpu_plan(R620), settings(base=FLEET), NOW)
    said = {change.name: (change.old, change.new) for change in found.changes if change.kind == "gpu"}
    assert said["driver"] == ("580.159.03", "620.70.06")
    assert said["CUDA"] == ("13.0", "13.5")
    assert found.reboot == "expected, once a host: module 580.159.03 is loaded, and 620.70.06 is to run"
    assert names(found)[:4] == ["drain", "install", "images", "reboot"]
    assert "6m to build the driver's modules" in found.steps[1].why


@given(st.integers(1, 40), st.integers(0, 3), st.integers(1, 10), st.floats(0, 3600), st.booleans())
def test_it_adds_up(count: int, canary: int, wave: int, bake: float, windowed: bool) -> None:
    asked = settings()
    plan = make_plan(asked, load_release("local-2026.11"), load_lock("local-2026.11"), BUILT)
    old = of_hosts(plan, count, Policy(canary, wave, bake), (NIGHTS,) if windowed else ())
    found = forecast(old, moved(old, packages=True), asked, NOW)
    each = sum(step.seconds for step in found.steps)
    bakes = sum(item.bake_seconds for item in old.waves)
    assert found.seconds == pytest.approx(each * len(old.waves) + bakes)
    assert [item.hosts for item in found.waves] == [item.hosts for item in old.waves]
    for item in found.waves:
        assert item.stays_up.hosts + len(item.hosts) == count
        assert item.stays_up.replicas == item.stays_up.hosts * len(plan.replicas)
        assert 0 <= item.stays_up.share < 1
    starts = [item.starts for item in found.waves]
    if not windowed:
        assert set(starts) == {None}
        return
    known = [start.astimezone(UTC) for start in starts if start is not None]
    assert len(known) == len(starts)
    assert all(open_until((NIGHTS,), start) is not None for start in known)
    for before, after, item in zip(known, known[1:], found.waves, strict=False):
        assert after >= before + timedelta(seconds=item.seconds)


def test_waves_wait_for_windows(local: tuple[Settings, Plan]) -> None:
    asked, plan = local
    old = of_hosts(plan, 3, Policy(1, 1, 3600), (Window(cron="0 2 * * *", seconds=3600, zone="UTC"),))
    found = forecast(old, moved(old, packages=True), asked, datetime(2026, 11, 26, 2, 30, tzinfo=UTC))
    assert [start and f"{start:%d %H:%M}" for start in (wave.starts for wave in found.waves)] == [
        "26 02:30", "27 02:00", "28 02:00",
    ]  # fmt: skip
    assert found.notes[-1].startswith("the waves need 3 windows: outside of one the next wave is refused")


def test_a_window_shorter_than_a_wave_is_said(local: tuple[Settings, Plan]) -> None:
    asked, plan = local
    old = of_hosts(plan, 2, Policy(1, 1, 0), (Window(cron="0 2 * * *", seconds=60),))
    notes = forecast(old, moved(old, packages=True), asked, NOW).notes
    assert any("more than the longest window of 1m: what began inside goes on" in note for note in notes)
    assert notes[-1] == "no window is open now"


def test_a_release_for_another_system_is_said(local: tuple[Settings, Plan]) -> None:
    asked, plan = local
    new = replace(plan, host=plan.host.model_copy(update={"os": "debian:13"}))
    assert (
        forecast(plan, new, asked, NOW).notes[0].startswith("a host of debian:12 is refused by a release for debian:13")
    )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("slipway.releases.load_lock", gpu_lock)
    return World({"stacks/Pulumi.prod.yaml": FLEET})


def test_what_is_shown(world: World, request: pytest.FixtureRequest) -> None:
    table = world.run("plan", "--stack", "prod", "--to", R620)
    data = world.run("plan", "--stack", "prod", "--to", R620, "--json")
    assert (table.exit_code, data.exit_code) == (0, 0), table.stderr + data.stderr
    shown = "".join(line.rstrip() + "\n" for line in table.stdout.splitlines())
    check_golden(
        "forecast", {"prod.txt": shown, "prod.json": data.stdout}, update=request.config.getoption("--update-golden")
    )
    assert f"```\n{shown}```\n" in DOC.read_text(encoding="utf-8"), "docs/rollouts.md shows what is printed"
    found = json.loads(data.stdout)
    assert found["waves"][1]["stays_up"] == {
        "hosts": 4,
        "of_hosts": 6,
        "replicas": 8,
        "of_replicas": 12,
        "share": 0.6667,
    }
    assert found["windows"]["next_opening"] == "2026-11-27T02:00:00+02:00"


def test_the_file_does_for_the_stack(world: World) -> None:
    by_file = world.run("plan", "stacks/Pulumi.prod.yaml", "--to", R620)
    assert by_file.stdout == world.run("plan", "--stack", "prod", "--to", R620).stdout
    assert world.run("plan", "--stack", "prod").stdout == world.run("plan", "stacks/Pulumi.prod.yaml").stdout


def test_the_plan_shows_domains_and_windows(world: World) -> None:
    shown = world.run("plan", "--stack", "prod").stdout
    assert "1: gpu-2, gpu-3 of rack-a, then 10m of watching" in shown
    assert "0 2 * * 1-5 for 2h, Europe/Helsinki" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "slipway plan: neither a stack file nor a stack is named. Write a FILE, or --stack NAME"),
        (["stacks/Pulumi.prod.yaml", "--stack", "prod"], "a stack file and a stack are named"),
        (["--stack", "prod", "--to", "r620-2026.11-ubuntu-24.4"], f"Did you mean {R620}?"),
        (
            ["--stack", "prod", "--to", "local-2026.11"],
            "with release local-2026.11: slipway:engine.name: release local-2026.11 has no image of vllm",
        ),
    ],
)
def test_what_cannot_be_planned(world: World, arguments: list[str], said: str) -> None:
    refused = world.run("plan", *arguments)
    assert refused.exit_code == 2
    assert said in refused.stderr
