"""The GPUs of a host: how many and which, their links, their clocks, and the sockets they hang at."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.doctor.bounds import SLOWED, load_seconds, pcie_rate
from slipway.doctor.measured import GpuState, HostMeasured, PcieLink
from slipway.doctor.types import Check, NoAnswer, judged
from slipway.errors import SizingError
from slipway.gpus import find_gpu
from slipway.plan_types import Plan


def judge_gpus(plan: Plan, host: HostMeasured) -> Iterator[Check]:
    """Nothing where the plan serves from the CPU. GPUs are in the order of their PCI addresses, as nvidia-smi has
    them."""
    if plan.host.gpu is None or not plan.engine.gpus_per_replica:
        return
    yield from _which(plan, host)
    weights = plan.model.size / plan.engine.gpus_per_replica
    for index, link in enumerate(host.links):
        state = next((state for state in host.states.gpus if state.index == index), None)
        yield _link(host.name, index, link, state, weights)
    if host.states.gpus:
        for state in host.states.gpus:
            yield _clock(host.name, state)
    else:
        why = host.states.said or "nvidia-smi said nothing"
        yield NoAnswer(why, "The driver is part of the release: ask again after `pulumi up`").check(
            host.name, "GPU clocks"
        )
    if plan.engine.gpus_per_replica > 1:
        yield _sockets(plan, host)


def _which(plan: Plan, host: HostMeasured) -> Iterator[Check]:
    expected = plan.host.gpu.expected if plan.host.gpu is not None else None
    count = expected.count if expected is not None and expected.count is not None else _used(plan)
    yield judged(
        host.name,
        "GPUs",
        host.gpu_devices >= count,
        found=f"{host.gpu_devices} on the PCI bus",
        wanted=str(count),
        fix="See `lspci -d 10de:` there; lower slipway:engine.gpus, or take another host",
    )
    if expected is None or expected.name is None or not host.gpu_names:
        return
    others = sorted({name for name in host.gpu_names if not _is(name, expected.name)})
    yield judged(
        host.name,
        "kind of GPU",
        not others,
        found=", ".join(others) or host.gpu_names[0],
        wanted=expected.name,
        fix="Plan with the GPU that is there: what was sized for another does not hold",
    )


def _used(plan: Plan) -> int:
    return max((gpu + 1 for replica in plan.replicas for gpu in replica.gpus), default=0)


def _is(found: str, expected: str) -> bool:
    """Whether nvidia-smi's name is of the expected GPU: by the catalogue, else by its words."""
    try:
        return find_gpu(found).name == find_gpu(expected).name
    except SizingError:
        return expected.lower() in found.lower()


def _link(host: str, index: int, link: PcieLink, state: GpuState | None, weights: float) -> Check:
    """Width at any time; speed by what the port can do, and by the link itself only while the GPU works: an idle one
    lets its link fall to the lowest speed, to save power."""
    name = f"PCIe of GPU {index}"
    if link.width is None or link.max_width is None or link.speed is None or link.max_speed is None:
        return Check(host, name, "not asked", "the machine does not say, as many virtual ones do not")
    works = state is not None and (state.utilization or 0) > 0
    speed = link.speed if works else min(link.max_speed, link.port_speed or link.max_speed)
    whole = link.width >= link.max_width and speed >= link.max_speed
    now, best = pcie_rate(speed, link.width), pcie_rate(link.max_speed, link.max_width)
    more = load_seconds(weights, now) - load_seconds(weights, best)
    idle = "" if works else f", now {link.speed:g} as it is idle"
    return judged(
        host,
        name,
        whole,
        found=f"{link.width} lanes at {speed:g} GT/s{idle}",
        wanted=f"{link.max_width} lanes at {link.max_speed:g} GT/s, all that it can",
        fix="Put it into another slot, or look at the riser and the firmware's link settings",
        cost="" if whole else f"{now / 1e9:.1f} of {best / 1e9:.1f} GB/s: weights take {more:.1f} s more to load",
    )


def _clock(host: str, state: GpuState) -> Check:
    name = f"clocks of GPU {state.index}"
    if state.reasons is None:
        return Check(host, name, "not asked", "the GPU does not say, as virtual ones do not")
    why = [text for bit, text in SLOWED.items() if state.reasons & bit]
    at = f"{state.clock} of {state.max_clock} MHz" if state.clock and state.max_clock else "no clock said"
    heat = f", {state.temperature} °C" if state.temperature is not None else ""
    factor = state.max_clock / state.clock if state.clock and state.max_clock else None
    return judged(
        host,
        name,
        not why,
        found=f"{at}{heat}" + (f": {'; '.join(why)}" if why else ""),
        wanted="not slowed",
        fix="Look after cooling and power of the machine; slipway:driver can set a lower power limit",
        cost=f"prompts take up to {factor:.1f} times as long" if why and factor else "",
    )


def _sockets(plan: Plan, host: HostMeasured) -> Check:
    nodes = {index: link.node for index, link in enumerate(host.links)}
    across = [
        replica.index for replica in plan.replicas if len({nodes.get(gpu, -1) for gpu in replica.gpus} - {-1}) > 1
    ]
    return judged(
        host.name,
        "NUMA",
        not across,
        found=", ".join(f"GPU {index} at node {node}" for index, node in nodes.items()) or "not said",
        wanted="GPUs of one replica at one node",
        fix="Take fewer GPUs a replica, or a machine whose GPUs have links of their own (NVLink)",
        cost="without NVLink, what its GPUs tell each other crosses the sockets; no figure is known" if across else "",
    )
