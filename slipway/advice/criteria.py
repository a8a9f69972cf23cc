"""Does this need a GPU at all? Five criteria, each with the figure by which it leans, and the verdict.

A CPU is judged on the best one among the offers, a GPU on the cheapest that does it: a GPU has to earn its price and
its complexity, so where both meet every target, the cheaper one wins, and the CPU where they cost the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from slipway.advice.ranking import Ranked
from slipway.advice.search import MEMORY, TARGET, Measured, Miss, targets
from slipway.advice.texts import count, euro, gib, seconds, share
from slipway.advice.types import Criterion, Device
from slipway.architectures.types import Architecture
from slipway.offers import Offer
from slipway.speed.types import Point
from slipway.workload import FullWorkload

LONG_IDLE = 0.5
"""more hours without requests than with"""

PINS = ("kernel", "driver", "CUDA", "container toolkit")
"""what a GPU adds to the things that have to stay at versions that go together"""


@dataclass(frozen=True)
class Side:
    """The best that CPUs, or GPUs, can do: what was measured, one request alone, and the cheapest that meets all."""

    offer: Offer
    measured: Measured
    alone: Point | None
    """None where not even the weights fit"""
    cheapest: Ranked | None


def device(architecture: Architecture, workload: FullWorkload, cpu: Side | None, gpu: Side | None) -> Device:
    """CPU or GPU, from what the best of each can do. A side is None where no offer has it."""
    criteria = (
        _latency(workload, cpu),
        _concurrency(workload, cpu, gpu),
        _size(architecture, cpu, gpu),
        _steadiness(workload, cpu, gpu),
        _complexity(workload),
    )
    verdict, why = _verdict(criteria, cpu, gpu)
    return Device(verdict, criteria, why)


def _cheapest(side: Side | None) -> Ranked | None:
    return None if side is None else side.cheapest


def _verdict(criteria: tuple[Criterion, ...], cpu: Side | None, gpu: Side | None) -> tuple[Literal["cpu", "gpu"], str]:
    on_cpu, on_gpu = _cheapest(cpu), _cheapest(gpu)
    if on_cpu and on_gpu:
        both = f"{_priced(on_cpu)} {{}} {_priced(on_gpu)}; both meet every target"
        if on_cpu.monthly <= on_gpu.monthly:
            return "cpu", both.format("≤")
        return "gpu", both.format(">")
    if on_cpu:
        missed = "no GPU is to be had" if gpu is None else f"no GPU meets every target: {_missed(gpu)}"
        return "cpu", f"{_priced(on_cpu)} meets every target; {missed}"
    decisive = [found for found in criteria if found.decisive and found.leans == "gpu"]
    if on_gpu:
        missed = decisive[0].figure if decisive else "no CPU is to be had" if cpu is None else _missed(cpu)
        return "gpu", f"{_priced(on_gpu)} meets every target; no CPU does: {missed}"
    why = "neither a CPU nor a GPU of these offers meets every target"
    return "gpu" if decisive or cpu is None else "cpu", why


def _priced(found: Ranked) -> str:
    hosts, offer = found.candidate.hosts, found.candidate.offer
    return f"{count(hosts, 'host')} {offer.instance} at {euro(found.monthly)} a month"


def _missed(side: Side) -> str:
    return side.measured.miss.what if side.measured.miss else "too few hosts"


def _latency(workload: FullWorkload, cpu: Side | None) -> Criterion:
    if cpu is None or cpu.alone is None:
        return Criterion("latency", "either", False, "no CPU to judge by", "no offered CPU holds the model")
    where = f"one request alone on the CPU of {cpu.offer.instance}, its prompt of {workload.prompt_p95} tokens included"
    held = targets(cpu.alone, workload)
    for name, have, most in held:
        if have > most:
            return Criterion("latency", "gpu", True, f"{name} {seconds(have)} > {seconds(most)}", where)
    name, have, most = max(held, key=lambda item: (item[1] / item[2], item[1]))
    why = where + ("; nobody waits for it" if math.isinf(most) else "")
    return Criterion("latency", "cpu", False, f"{name} {seconds(have)} ≤ {seconds(most)}", why)


def _concurrency(workload: FullWorkload, cpu: Side | None, gpu: Side | None) -> Criterion:
    """By Little's law as many are in work at once as come in the time that one takes."""
    if cpu is None or cpu.measured.best is None:
        return Criterion("concurrency", "either", False, "no CPU to judge by", "no offered CPU meets the targets alone")
    best = cpu.measured.best
    at_once = max(float(workload.concurrency or 0), workload.peak * best.end_to_end.mid)
    on_cpu, on_gpu = cpu.cheapest, _cheapest(gpu)
    figure = f"{at_once:.1f} at once {{}} {best.batch} that one {cpu.offer.instance} carries"
    if at_once <= best.batch:
        why = f"{workload.peak:.3g} requests/s × {seconds(best.end_to_end.mid)} each"
        return Criterion("concurrency", "cpu", False, figure.format("≤"), why)
    if on_cpu is None or on_gpu is None:
        why = "one CPU host does not carry the load"
        return Criterion("concurrency", "gpu", on_cpu is None and gpu is not None, figure.format(">"), why)
    dearer = on_cpu.monthly > on_gpu.monthly
    why = f"{_priced(on_cpu)} {'>' if dearer else '≤'} {_priced(on_gpu)}"
    return Criterion("concurrency", "gpu" if dearer else "cpu", dearer, figure.format(">"), why)


def _size(architecture: Architecture, cpu: Side | None, gpu: Side | None) -> Criterion:
    weights = gib(architecture.weight_bytes)
    if cpu is not None and _stage(cpu) == MEMORY:
        what = cpu.measured.miss.what if cpu.measured.miss else ""
        return Criterion("size", "gpu", True, what, f"the largest CPU host offered, {cpu.offer.instance}, is too small")
    if cpu is None or cpu.alone is None:
        return Criterion("size", "either", False, f"weights {weights}", "no offered CPU is to be judged by")
    if gpu is not None and _stage(gpu) == MEMORY:
        what = gpu.measured.miss.what if gpu.measured.miss else ""
        return Criterion("size", "cpu", True, what, f"the largest GPU host offered, {gpu.offer.instance}, is too small")
    reads = f"a token reads {gib(architecture.active_bytes)} of {weights}"
    slow = _stage(cpu) == TARGET
    why = "each token reads the weights that it is multiplied with once" + (
        ", and a CPU is too slow for the targets" if slow else ", and a CPU is fast enough for that"
    )
    return Criterion("size", "gpu" if slow else "cpu", False, reads, why)


def _stage(side: Side) -> int | None:
    miss: Miss | None = side.measured.miss
    return None if miss is None or side.cheapest is not None else miss.stage


def _steadiness(workload: FullWorkload, cpu: Side | None, gpu: Side | None) -> Criterion:
    on_cpu, on_gpu = _cheapest(cpu), _cheapest(gpu)
    idle = workload.idle_share
    busy = workload.mean / workload.peak if workload.peak else 0.0
    if idle > LONG_IDLE:
        paid = f"a GPU would stand idle for {euro(idle * on_gpu.monthly)} a month" if on_gpu else "a GPU would idle"
        against = f", a CPU for {euro(idle * on_cpu.monthly)}" if on_cpu else "; scale to zero, or burst"
        return Criterion(
            "steadiness", "cpu", False, f"idle {share(idle)} > {share(LONG_IDLE)} of the hours", paid + against
        )
    figure = f"idle {share(idle)} ≤ {share(LONG_IDLE)} of the hours, mean {share(busy)} of the peak"
    if busy >= LONG_IDLE:
        return Criterion("steadiness", "either", False, figure, "steady: what is rented is used")
    return Criterion("steadiness", "cpu", False, figure, "uneven: what the peak needs stands half empty on average")


def _complexity(workload: FullWorkload) -> Criterion:
    figure = f"{len(PINS)} more things at versions that go together > 0 on a CPU"
    names = ", ".join(PINS)
    if workload.complexity == "low":
        return Criterion("complexity", "cpu", False, figure, f"little is to be looked after, and a GPU adds {names}")
    why = f"{names}: within what a team with {workload.complexity} tolerance looks after"
    return Criterion("complexity", "either", False, figure, why)
