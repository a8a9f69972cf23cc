"""Whether a host can become what is planned for it, said before anything on it is touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bootstrap.facts import Facts
from bootstrap.verify.gpu import named
from slipway.desired import HostDesired
from slipway.models import MODELS
from slipway.units import about_bytes

IMAGES = "/var/lib"
"""where Docker keeps images"""


@dataclass(frozen=True)
class Unfit:
    """Why a host cannot carry a plan, and what can be done."""

    what: str
    fix: str


def unfit(facts: Facts, desired: HostDesired) -> tuple[Unfit, ...]:
    """Everything that speaks against the host. What no fact tells is no reason: it shows when the pins are verified."""
    return (*_system(facts, desired), *_memory(facts, desired), *_disks(facts, desired), *_gpus(facts, desired))


def _system(facts: Facts, desired: HostDesired) -> Iterator[Unfit]:
    system, wanted = facts.system, desired.needs.architecture
    fix = "Install the host anew with that system, or choose a release for the one it has"
    if system.os != desired.os:
        yield Unfit(f"it runs {system.os}, but release {desired.release} is for {desired.os}", fix)
    if wanted and system.arch != wanted:
        what = f"its packages are for {system.arch}, and those of release {desired.release} for {wanted}"
        yield Unfit(what, "Take another machine, or choose a release for this one")


def _memory(facts: Facts, desired: HostDesired) -> Iterator[Unfit]:
    have, need = facts.system.memory_total, desired.needs.memory
    if have and have < need:
        what = f"it has {about_bytes(have)} of memory, and the plan needs {about_bytes(need)}"
        yield Unfit(what, "Take a larger machine, fewer replicas or a smaller model")


def _disks(facts: Facts, desired: HostDesired) -> Iterator[Unfit]:
    """By size, not by what is free: a host that was set up holds its images and weights already."""
    needs, system = desired.needs, facts.disks.get(IMAGES)
    models = facts.disks.get(MODELS, system)
    if system is None or models is None:
        return
    fix = "Take a larger disk, or put one of its own at " + MODELS
    if models == system:
        parts = f"{about_bytes(needs.system_disk)} for system and images + {about_bytes(needs.weights)} for the model"
        if system.size < needs.system_disk + needs.weights:
            yield Unfit(f"the disk of {IMAGES} has {about_bytes(system.size)}, and the plan needs {parts}", fix)
        return
    for path, disk, need, of in (
        (IMAGES, system, needs.system_disk, "system and images need"),
        (MODELS, models, needs.weights, "the model needs"),
    ):
        if disk.size < need:
            what = f"the disk of {path} has {about_bytes(disk.size)}, and {of} {about_bytes(need)}"
            yield Unfit(what, "Take a larger one")


def _gpus(facts: Facts, desired: HostDesired) -> Iterator[Unfit]:
    """Which GPUs they are, where a driver runs already and tells. How many there are, the bus tells: an operation
    refuses another number before anything else is done."""
    expected = desired.gpu.expected.name if desired.gpu is not None else None
    others = sorted({gpu.name for gpu in facts.smi.gpus if expected is not None and not named(expected, gpu.name)})
    if others:
        what = f"its GPUs are {', '.join(others)}, and the plan is for {expected}"
        yield Unfit(what, "Plan with what the host has: slipway:gpu, or slipway:offers for the provider ssh")
