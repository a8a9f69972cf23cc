"""The GPU stack against its pins. nvidia-smi alone is no proof: it is one of several witnesses that must agree."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.facts import Facts
from bootstrap.facts.gpu_model import Gpu, Xid
from bootstrap.operations.gpu.archive import wanted_files
from bootstrap.operations.gpu.settings import (
    FABRIC_UNIT,
    PERSISTENCE_UNIT,
    SCRIPT_PATH,
    SETTINGS,
    SETTINGS_PATH,
    SETTINGS_UNIT,
    script_content,
    unresolved,
    unset,
)
from bootstrap.operations.wanted import held, in_the_way
from bootstrap.verify.check import Check, Drift, equal, rendered
from slipway.desired import GpuDesired, HostDesired
from slipway.errors import SizingError
from slipway.gpus import find_gpu

BY_APPLICATIONS = {13, 31, 43, 45, 63, 68, 69, 94, 109}
"""Xids that a program on the GPU causes, or that the GPU got over without harm to others; all else is the GPU's, its
driver's or its links'. https://docs.nvidia.com/deploy/xid-errors/"""
MEMORY_TOLERANCE = 0.02
"""drivers keep more or less of the memory to themselves: totals of one model differ by up to this share"""


def verify_gpu(facts: Facts, desired: HostDesired) -> tuple[Check, ...]:
    """Every check of the GPU stack; none where no GPU is wanted."""
    if desired.gpu is None:
        return ()
    checks = [*_driver(facts, desired.gpu), *_gpus(facts, desired.gpu), *_fabric(facts)]
    if desired.gpu.runs:
        checks.append(equal("gpu.cdi", "every GPU resolves", unresolved(facts) or "every GPU resolves"))
        checks += [*_containers(facts, desired.gpu), *_settings(facts, desired.gpu)]
    checks += [rendered(path, text, facts.files.get(path)) for path, text in wanted_files(facts, desired).items()]
    others = ", ".join(in_the_way(facts, desired))
    checks.append(equal("gpu.packages", "of one driver", f"of another driver: {others}" if others else "of one driver"))
    if desired.gpu.mode == "adopt":
        names = (name for name in held(facts, desired) if name in facts.packages)
        checks += [
            equal(f"holds.{name}", "held", "held" if facts.packages[name].hold else "not held") for name in names
        ]
    return tuple(checks)


def lost_gpus(facts: Facts) -> tuple[Drift, ...]:
    """GPUs that the host converged with and has no more. Another GPU in its place is no fault, but is said."""
    before = (facts.receipt or {}).get("gpus", ())
    now = {gpu.uuid for gpu in facts.smi.gpus}
    others = ", ".join(sorted(now - set(before))) or "no other GPU"
    return tuple(Drift(f"gpu.{uuid}", "there", f"gone; {others} is there") for uuid in before if uuid not in now)


def _driver(facts: Facts, gpu: GpuDesired) -> Iterator[Check]:
    driver = facts.driver
    built = ", ".join(f"{each.version} {each.state}" for each in driver.dkms)
    missing = f"none for the kernel that runs; DKMS says: {built or 'nothing'}"
    since = driver.moved or None
    yield equal("gpu.module.installed", gpu.driver, driver.installed or missing, since)
    flavour = driver.flavour if gpu.runs else driver.installed_flavour
    yield equal("gpu.module.flavour", gpu.modules, flavour or "none")
    yield equal("gpu.library", gpu.driver, driver.library or "not there", since)
    off = driver.nouveau_blacklisted or gpu.mode == "adopt"
    yield equal("gpu.nouveau", "kept off", "loaded" if driver.nouveau else "kept off" if off else "free to load")
    if gpu.runs:
        yield from _running(facts, gpu)


def _running(facts: Facts, gpu: GpuDesired) -> Iterator[Check]:
    smi = facts.smi
    yield equal("gpu.module", gpu.driver, facts.driver.loaded or "not loaded")
    yield equal("gpu.nvidia-smi", "answers", "answers" if smi.state == "ok" else f"{smi.state}: {smi.said}".strip(": "))
    unit = facts.units.get(PERSISTENCE_UNIT)
    yield equal(f"gpu.{PERSISTENCE_UNIT}", "active", unit.active if unit else "not there")


def _containers(facts: Facts, gpu: GpuDesired) -> Iterator[Check]:
    """Whether Docker can give GPUs to containers; one that does not run, or cannot be asked, has a check of its own."""
    docker = facts.docker
    if docker.active != "active" or not docker.version:
        return
    if gpu.devices == "cdi":
        found = "takes CDI devices" if docker.cdi else f"Docker {docker.version} does not"
        yield equal("gpu.docker", "takes CDI devices", found)
        return
    runtime = "nvidia" if "nvidia" in docker.runtimes else ", ".join(docker.runtimes) or "none"
    yield equal("gpu.docker", "has runtime nvidia", f"has runtime {runtime}")
    yield equal(
        "gpu.runtime", "writes devices", "is told to hook them in" if facts.containers.hooked else "writes devices"
    )


def _settings(facts: Facts, gpu: GpuDesired) -> Iterator[Check]:
    """What sets the GPUs at each boot: there where settings are asked for, and gone where none are."""
    script = script_content(gpu)
    if script is None:
        left = any(path in facts.files for path in (SCRIPT_PATH, SETTINGS_PATH))
        yield equal(f"gpu.{SETTINGS_UNIT}", "not there", "there" if left else "not there")
        return
    unit = facts.units.get(SETTINGS_UNIT)
    yield equal(f"gpu.{SETTINGS_UNIT}", "active", unit.active if unit else "not there")
    yield equal(f"gpu.{SETTINGS_UNIT}.boot", "enabled", (unit.enabled if unit else "") or "not enabled")
    yield rendered(SCRIPT_PATH, script, facts.files.get(SCRIPT_PATH))
    yield rendered(SETTINGS_PATH, SETTINGS, facts.files.get(SETTINGS_PATH))


def _gpus(facts: Facts, wanted: GpuDesired) -> Iterator[Check]:
    gpus, expected = facts.smi.gpus, wanted.expected
    # What is on the bus and not with the driver is a GPU lost.
    count = len(facts.pci.gpus) if expected.count is None else expected.count
    yield equal("gpu.count", str(count), str(len(gpus)))
    addresses = {gpu.address: gpu.index for gpu in gpus}
    for device in facts.pci.gpus:
        found = "with the driver" if device.address in addresses else "on the bus only"
        yield equal(f"gpu.{device.address}", "with the driver", found)
    for gpu in gpus:
        yield from _one(gpu, wanted)
    for xid in facts.xids:
        if serious(xid):
            index = addresses.get(_address(xid.address))
            where = xid.address if index is None else str(index)
            yield Check(
                "failed", f"gpu.{where}.xid", "none since boot", f"{xid.code} {xid.said}".strip(), xid.at or None
            )


def _one(gpu: Gpu, wanted: GpuDesired) -> Iterator[Check]:
    pin, expected = f"gpu.{gpu.index}", wanted.expected
    if expected.name is not None:
        yield equal(f"{pin}.name", expected.name, expected.name if named(expected.name, gpu.name) else gpu.name)
    if expected.compute_capability is not None:
        yield equal(f"{pin}.compute_capability", expected.compute_capability, gpu.compute_capability)
    if expected.memory_mib is not None:
        near = abs(gpu.memory_mib - expected.memory_mib) <= MEMORY_TOLERANCE * expected.memory_mib
        want = f"{expected.memory_mib} MiB"
        yield equal(f"{pin}.memory", want, want if near else f"{gpu.memory_mib} MiB")
    yield equal(f"{pin}.persistence", "Enabled", gpu.persistence or "not there")
    yield equal(f"{pin}.settings", "as wanted", unset(gpu, wanted) or "as wanted")


def named(expected: str, printed: str) -> bool:
    """Whether nvidia-smi prints a GPU of this name, be it the catalogue's or a part of what is printed."""
    try:
        return expected in printed or find_gpu(printed).name == expected
    except SizingError:
        return False


def serious(xid: Xid) -> bool:
    """Whether the GPU, its driver or its links are at fault, not a program on it."""
    return xid.code not in BY_APPLICATIONS and "Nonfatal" not in xid.said


def _address(xid: str) -> str:
    """As sysfs writes it: the log has `0000:44:00`, sometimes with the function."""
    return xid if "." in xid else f"{xid}.0"


def _fabric(facts: Facts) -> Iterator[Check]:
    if not (facts.pci.has_nvswitch or facts.pci.nvlink5):
        return
    unit = facts.units.get(FABRIC_UNIT)
    yield equal(f"gpu.{FABRIC_UNIT}", "active", unit.active if unit else "not there")
    for gpu in facts.smi.gpus:
        # GPUs before Hopper have no state of their own: for them the unit speaks.
        if not gpu.fabric_state:
            continue
        pin, done = f"gpu.{gpu.index}.fabric", "Completed, Success"
        found = f"{gpu.fabric_state}, {gpu.fabric_status or 'no status'}"
        if gpu.fabric_state == "In Progress":
            yield Check("not_ready", pin, done, found)
        else:
            yield equal(pin, done, found)
