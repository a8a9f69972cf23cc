"""Proof that a container has the GPUs: it sees those of the host, and they compute as fast as they should.

A container of an engine's image is run by its digest, with the rights that the engine has and no others. It sees the
GPUs once a boot. They are measured once a driver and image, and only while no engine has them; what could not be run is
an error, never a result.
"""

from __future__ import annotations

import json
from importlib import resources

from bootstrap.facts import Facts
from bootstrap.facts.containers import MEASURED_PATH, SEEN_PATH
from bootstrap.facts.gpu_model import Gpu
from bootstrap.operations.gpu.driver import live
from bootstrap.operations.gpu.settings import unresolved
from bootstrap.operations.step import Run, Steps
from bootstrap.session import Command, quote
from slipway.desired import GpuDesired, HostDesired, Image
from slipway.errors import SizingError
from slipway.gpus import find_gpu

SEE_DEADLINE = 300.0
"""seconds: the first container of an image of 30 GB is slow to begin"""
MEASURE_DEADLINE = 900.0
"""seconds: importing torch from a cold disk takes two minutes, a GPU two seconds"""
WITH_TORCH = ("engine-vllm", "engine-sglang")
"""images that have Python and torch: what they compute with is what the GPUs are measured with"""

LEAST_MEMORY = 0.98
LEAST_BANDWIDTH = 0.6
LEAST_FLOPS = 0.3
"""of the catalogue's figures. A sound card copies at 0.75 to 0.93 of its bandwidth and multiplies at 0.4 to 0.75 of its
fp16 figure, by what is published of them; below these something is wrong with it: its memory, its power, its clocks"""


def see_gpus(facts: Facts, desired: HostDesired) -> Steps:
    gpu, image = desired.gpu, _engine(desired)
    if gpu is None or not _ready(facts, desired):
        return Steps("no GPU that a container could see")
    if image is None:
        return Steps("no image of an engine is wanted, through which one could look")
    wanted = f"{_has(facts.smi.gpus)} by {gpu.devices} in {image.reference}"
    if facts.containers.seen == wanted:
        return Steps("a container has seen the GPUs since the boot")
    run, has = _run(gpu, image, "--entrypoint nvidia-smi"), quote(_has(facts.smi.gpus))
    script = f"""\
said=$({run} -L 2>&1) || {{ printf 'a container of {image.name} cannot look for GPUs: %s\\n' "$said"; exit 1; }}
gpus=$(printf '%s\\n' "$said" | sed -n 's/^GPU .*(UUID: \\(GPU-[^)]*\\)).*/\\1/p' | sort | tr '\\n' ' ')
has="${{gpus}}and $(printf '%s\\n' "$said" | grep -c '^ *MIG ') slices"
[ "$has" = {has} ] || {{ printf 'a container of {image.name} sees %s; the host has %s\\n' "$has" {has}; exit 1; }}
mkdir -p {SEEN_PATH.rsplit("/", 1)[0]} && printf '%s\\n' {quote(wanted)} >{SEEN_PATH}"""
    look = Command(script, f"let a container of {image.name} see the GPUs", deadline=SEE_DEADLINE)
    return Steps("no container has seen the GPUs since the boot", (Run(look),))


def measure_gpus(facts: Facts, desired: HostDesired) -> Steps:
    gpu, image = desired.gpu, _engine(desired)
    if gpu is None or not _ready(facts, desired):
        return Steps("no GPU that could be measured")
    if image is None or image.name not in WITH_TORCH:
        return Steps("no image is wanted that has something to measure a GPU with")
    wanted = f"{_has(facts.smi.gpus)} with driver {facts.driver.loaded}"
    if facts.containers.measured == wanted:
        return Steps("the GPUs were measured with this driver")
    if any(name.startswith("slipway-engine-") and unit.active in _BUSY for name, unit in facts.units.items()):
        return Steps("engines have the GPUs, which are measured when these are stopped for the next driver")
    limits = quote(f"EXPECTED={json.dumps(_limits(facts.smi.gpus, gpu))}")
    run = _run(gpu, image, f"--interactive --env {limits} --env HOME=/tmp --tmpfs /tmp --entrypoint python3")
    script = f"{run} - || exit\nprintf '%s\\n' {quote(wanted)} >{MEASURED_PATH}"
    program = resources.files("bootstrap.operations.gpu").joinpath("measure.py").read_bytes()
    why = f"measure the GPUs in a container of {image.name}"
    measure = Command(script, why, stdin=program, deadline=MEASURE_DEADLINE, stream=True)
    return Steps("the GPUs were not measured with this driver", (Run(measure),))


_BUSY = ("active", "activating", "deactivating", "reloading")


def _ready(facts: Facts, desired: HostDesired) -> bool:
    return bool(facts.smi.gpus) and live(facts, desired) and unresolved(facts) is None


def _engine(desired: HostDesired) -> Image | None:
    return next((image for image in desired.images if image.name.startswith("engine-")), None)


def _has(gpus: tuple[Gpu, ...]) -> str:
    """The GPUs of a host, as the script puts together what a container sees."""
    slices = sum(len(gpu.mig_devices) for gpu in gpus)
    return f"{''.join(f'{uuid} ' for uuid in sorted(gpu.uuid for gpu in gpus))}and {slices} slices"


def _run(gpu: GpuDesired, image: Image, more: str) -> str:
    """Runs a program of the image with every GPU, as templates/host/engine.service.j2 runs the engine."""
    devices = (
        "--device nvidia.com/gpu=all"
        if gpu.devices == "cdi"
        else "--runtime nvidia --env NVIDIA_VISIBLE_DEVICES=all --env NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    )
    rights = "--user 65532:65532 --read-only --cap-drop ALL --security-opt no-new-privileges"
    return f"docker run --rm --pull never --network none {rights} {devices} {more} {quote(image.reference)}"


def _limits(gpus: tuple[Gpu, ...], wanted: GpuDesired) -> list[dict[str, float]]:
    """For each GPU what it must reach at least: bytes, bytes a second, operations a second. Nothing is asked of one
    that the catalogue does not know, and no speed of one that may draw less power. Of GPUs that are cut a program sees
    one slice, which has no figures."""
    if any(gpu.mig_devices for gpu in gpus):
        return [{}]
    return [_least(gpu, wanted) for gpu in gpus]


def _least(gpu: Gpu, wanted: GpuDesired) -> dict[str, float]:
    try:
        known = find_gpu(gpu.name)
    except SizingError:
        return {}
    least = {"memory": LEAST_MEMORY * known.usable, "bandwidth": LEAST_BANDWIDTH * known.bandwidth}
    return least | ({"flops": LEAST_FLOPS * known.flops["fp16"]} if wanted.power_limit is None else {})
