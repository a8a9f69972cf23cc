"""What a roll-out to another release changes, in which waves and when, how long it takes at most, and what stays up.

From two plans of one stack: the one that is, and the one that is to be. Every duration shows its arithmetic. Those that
end at a deadline are that deadline; the others are assumptions, named so, and end at nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from slipway.desired import GpuDesired, HostDesired
from slipway.gates import completion_deadline, health_deadline
from slipway.plan_types import Plan, WavePlan
from slipway.settings import Settings
from slipway.units import format_duration
from slipway.windows import next_opening, open_until

PACKAGES_SECONDS = 60.0
"""seconds, assumed: apt reads its lists and puts in packages of Docker's size, from a mirror at 5 MB/s or more"""
DRIVER_SECONDS = 360.0
"""seconds: a driver's modules were built by DKMS in 6 minutes on 2 cores (`bootstrap.operations.gpu.driver`)"""
REBOOT_SECONDS = 900.0
"""seconds: servers with many GPUs and much memory take up to fifteen minutes through their firmware"""
ENGINE_IMAGE_SECONDS = 200.0
"""seconds, assumed: 10 GB, about what vLLM's and SGLang's images are to pull, at 50 MB/s"""
IMAGE_SECONDS = 20.0
"""seconds, assumed: under 1 GB at 50 MB/s, for the images beside an engine for GPUs"""

GPU_FIELDS = (
    ("driver", "driver"),
    ("cuda", "CUDA"),
    ("modules", "kernel modules"),
    ("toolkit", "container toolkit"),
    ("archive", "archive"),
    ("mode", "mode"),
)


@dataclass(frozen=True)
class Change:
    """One pin that moves; `old` or `new` is None where there is none."""

    kind: str
    """system, gpu, package or image"""
    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Step:
    """Something that each host of a wave goes through at the same time as the others. `seconds` is at most, `why`
    the arithmetic."""

    name: str
    seconds: float
    why: str


@dataclass(frozen=True)
class Capacity:
    """What serves while a wave changes: all hosts but those of the wave."""

    hosts: int
    of_hosts: int
    replicas: int
    of_replicas: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.hosts / self.of_hosts


@dataclass(frozen=True)
class WaveForecast:
    """One wave. Its hosts take `change_seconds`, then its gate watches for `bake_seconds`."""

    index: int
    domain: str | None
    hosts: tuple[str, ...]
    change_seconds: float
    bake_seconds: float
    starts: datetime | None
    """when it may begin, if each wave is started as early as windows let it; None where there are no windows"""
    stays_up: Capacity

    @property
    def seconds(self) -> float:
        return self.change_seconds + self.bake_seconds


@dataclass(frozen=True)
class Forecast:
    """A roll-out before it is begun. Without changes there are no waves."""

    stack: str
    old: str
    new: str
    changes: tuple[Change, ...]
    reboot: str
    """whether each host reboots, and why"""
    steps: tuple[Step, ...]
    """those of one host, in order"""
    waves: tuple[WaveForecast, ...]
    seconds: float
    """of all waves one after another, without waiting for windows"""
    arithmetic: str
    notes: tuple[str, ...] = ()
    """what someone should know before it begins"""


def forecast(old: Plan, new: Plan, settings: Settings, now: datetime) -> Forecast:
    """From `old`, what the hosts carry, to `new`, both plans of `settings` but for the release. `now` is aware.

    A release that changes nothing on a host has no waves: `pulumi up` then only writes the new name.
    """
    changes = (*_system_changes(old.host, new.host), *_gpu_changes(old.host.gpu, new.host.gpu),
               *_package_changes(old.host, new.host), *_image_changes(old.host, new.host))  # fmt: skip
    rebooting, reboot = _reboot(old.host.gpu, new.host.gpu)
    steps = tuple(_steps(changes, new, settings, rebooting=rebooting)) if changes else ()
    waves = tuple(_waves(new, sum(step.seconds for step in steps), now)) if changes else ()
    seconds = sum(wave.seconds for wave in waves)
    return Forecast(
        stack=new.stack,
        old=old.release,
        new=new.release,
        changes=changes,
        reboot=reboot,
        steps=steps,
        waves=waves,
        seconds=seconds,
        arithmetic=_arithmetic(waves, seconds),
        notes=(*_os_notes(old.host, new.host), *_notes(waves, new, now)),
    )


def _system_changes(old: HostDesired, new: HostDesired) -> Iterator[Change]:
    if old.os != new.os:
        yield Change("system", "os", old.os, new.os)


def _gpu_changes(old: GpuDesired | None, new: GpuDesired | None) -> Iterator[Change]:
    for field, name in GPU_FIELDS:
        before, after = getattr(old, field, None), getattr(new, field, None)
        if before != after:
            yield Change("gpu", name, before, after)


def _package_changes(old: HostDesired, new: HostDesired) -> Iterator[Change]:
    yield from _moved("package", _packages(old), _packages(new))


def _image_changes(old: HostDesired, new: HostDesired) -> Iterator[Change]:
    before = {image.name: image.reference for image in old.images}
    yield from _moved("image", before, {image.name: image.reference for image in new.images})


def _moved(kind: str, old: dict[str, str], new: dict[str, str]) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield Change(kind, name, old.get(name), new.get(name))


def _packages(host: HostDesired) -> dict[str, str]:
    """Every package that a host may get; those for NVSwitch and NVLink only where it has these."""
    gpu = host.gpu
    more = (*gpu.packages, *gpu.nvswitch_packages, *gpu.nvlink5_packages) if gpu is not None else ()
    return {package.name: package.version for package in (*host.packages, *more)}


def _reboot(old: GpuDesired | None, new: GpuDesired | None) -> tuple[bool, str]:
    if new is None:
        return False, "no: without a GPU driver nothing asks for one"
    if old is None:
        return True, f"expected, once a host: driver {new.driver} comes onto a host that may have nouveau loaded"
    if old.driver != new.driver:
        return True, f"expected, once a host: module {old.driver} is loaded, and {new.driver} is to run"
    if old.modules != new.modules:
        return True, f"expected, once a host: the {old.modules} module is loaded, and the {new.modules} one is to run"
    if (old.mig, old.ecc) != (new.mig, new.ecc):
        return True, "expected, once a host: GPUs change MIG or ECC when they start"
    return False, f"no: driver {new.driver} stays"


def _steps(changes: tuple[Change, ...], new: Plan, settings: Settings, *, rebooting: bool) -> Iterator[Step]:
    """Of one host, as `bootstrap` goes through them. A host whose packages change lets go of its traffic for them, and
    its service once more where an image of it changes."""
    packages = [change for change in changes if change.kind in ("package", "gpu", "system")]
    images = [change for change in changes if change.kind == "image" and change.new is not None]
    drain = Step(
        "drain",
        new.drain.settle + new.drain.deadline + new.engine.stop_seconds,
        f"at most {format_duration(new.drain.settle)} for load balancers to see it + "
        f"{format_duration(new.drain.deadline)} for open requests (slipway:drain.deadline) + "
        f"{format_duration(new.engine.stop_seconds)} for engines to stop",
    )
    health, completion = health_deadline(settings, new.model.size), completion_deadline(settings, new.model.size)
    if packages:
        yield drain
        yield _install(changes)
    if images:
        yield _fetch(images, gpu=new.host.gpu is not None)
    if rebooting:
        yield Step("reboot", REBOOT_SECONDS, "up to fifteen minutes through the firmware of a large server")
    if packages:
        yield Step("load", health.seconds, f"at most {health.why}")
    if images:
        if packages:
            why = "the service's own, as its images change: what open requests are left have as long again"
            yield Step("drain again", drain.seconds, why)
        else:
            yield drain
        yield Step("load again" if packages else "load", health.seconds, f"at most {health.why}")
        yield Step("first answer", completion.seconds, f"at most {completion.why}")


def _install(changes: tuple[Change, ...]) -> Step:
    count = sum(change.kind == "package" for change in changes)
    why = f"{format_duration(PACKAGES_SECONDS)} assumed for {count} package{'' if count == 1 else 's'}"
    if not any(change.kind == "gpu" and change.name in ("driver", "kernel modules") for change in changes):
        return Step("install", PACKAGES_SECONDS, why)
    why += f" + {format_duration(DRIVER_SECONDS)} to build the driver's modules, as measured on 2 cores"
    return Step("install", PACKAGES_SECONDS + DRIVER_SECONDS, why)


def _fetch(images: list[Change], *, gpu: bool) -> Step:
    large = sum(gpu and image.name.startswith("engine-") for image in images)
    small = len(images) - large
    parts = [f"{large} × {format_duration(ENGINE_IMAGE_SECONDS)}"] if large else []
    parts += [f"{small} × {format_duration(IMAGE_SECONDS)}"] if small else []
    seconds = large * ENGINE_IMAGE_SECONDS + small * IMAGE_SECONDS
    return Step("images", seconds, f"{' + '.join(parts)}, assumed at 50 MB/s")


def _waves(plan: Plan, change_seconds: float, now: datetime) -> Iterator[WaveForecast]:
    at: datetime | None = now
    for wave in plan.waves:
        if at is not None and plan.windows and open_until(plan.windows, at) is None:
            at = next_opening(plan.windows, at)
        found = WaveForecast(
            index=wave.index,
            domain=wave.domain,
            hosts=wave.hosts,
            change_seconds=change_seconds,
            bake_seconds=wave.bake_seconds,
            starts=at if plan.windows else None,
            stays_up=_stays_up(plan, wave),
        )
        yield found
        # In UTC: a sum in a zone is one on the wall, and an hour off where its clock changes in between.
        after = at.astimezone(UTC) + timedelta(seconds=found.seconds) if at is not None else None
        at = after.astimezone(at.tzinfo) if at is not None and after is not None else None


def _stays_up(plan: Plan, wave: WavePlan) -> Capacity:
    hosts, each = len(plan.hosts), len(plan.replicas)
    left = hosts - len(wave.hosts)
    return Capacity(left, hosts, left * each, hosts * each)


def _arithmetic(waves: tuple[WaveForecast, ...], seconds: float) -> str:
    if not waves:
        return "nothing on a host changes"
    each, count = waves[0].change_seconds, len(waves)
    bakes = [wave.bake_seconds for wave in waves if wave.bake_seconds]
    text = f"{count} wave{'' if count == 1 else 's'} × {format_duration(each)}"
    if bakes:
        text += f" + {len(bakes)} × {format_duration(bakes[0])} of watching"
    return f"{text} = {format_duration(seconds)}"


def _os_notes(old: HostDesired, new: HostDesired) -> Iterator[str]:
    if old.os != new.os:
        yield f"a host of {old.os} is refused by a release for {new.os}: it has to be made anew, or the release to fit"


def _notes(waves: tuple[WaveForecast, ...], plan: Plan, now: datetime) -> Iterator[str]:
    if not waves:
        return
    down = [wave.index for wave in waves if not wave.stays_up.hosts]
    if down:
        yield (
            f"nothing serves while wave {', '.join(map(str, down))} changes: it holds every host. "
            "Add hosts, or make waves smaller by slipway:rollout.wave"
        )
    if not plan.windows:
        return
    longest = max(window.seconds for window in plan.windows)
    if waves[0].change_seconds > longest:
        yield (
            f"one wave takes up to {format_duration(waves[0].change_seconds)}, more than the longest window of "
            f"{format_duration(longest)}: what began inside goes on after it closes"
        )
    nights = _nights(waves, plan)
    if nights > 1:
        yield (
            f"the waves need {nights} windows: outside of one the next wave is refused, the hosts before it keep the "
            "new release, and `pulumi up` in the next one goes on"
        )
    if open_until(plan.windows, now) is None:
        yield "no window is open now"


def _nights(waves: tuple[WaveForecast, ...], plan: Plan) -> int:
    """How many separate openings the waves begin in."""
    count, until = 0, -math.inf
    for wave in waves:
        if wave.starts is not None and wave.starts.timestamp() >= until:
            end = open_until(plan.windows, wave.starts)
            count, until = count + 1, end.timestamp() if end is not None else math.inf
    return count
