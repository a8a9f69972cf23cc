"""Advice in three lines: what, why, and at what cost; or that nothing does it, and what to relax."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.advice.search import HOSTS, MEMORY, TARGET, Miss
from slipway.advice.texts import count, euro, gib, seconds
from slipway.advice.types import Device, Option, Several
from slipway.offers import Offer
from slipway.workload import FullWorkload

RELAX = {
    HOSTS: "Allow more hosts, or expect fewer requests",
    TARGET: "Allow more time, shorten prompts, or take a smaller or quantised model",
    MEMORY: "Shorten the context, take a quantised model, or allow larger GPUs",
}


def summary(
    model: str, workload: FullWorkload, device: Device, chosen: Option, several: Several | None
) -> tuple[str, str, str]:
    """Of the option that was chosen."""
    offer, choice, fit = chosen.offer, chosen.choice, chosen.fit
    on = f"{offer.gpus} × {offer.gpu}" if choice.gpus else f"{offer.vcpus} vCPUs"
    parallel = f" over {choice.tensor_parallel} GPUs each" if choice.tensor_parallel > 1 else ""
    what = (
        f"{model}: {device.verdict.upper()}, {count(chosen.hosts, 'host')} {offer.provider} {offer.instance} ({on}), "
        f"{choice.engine}, {count(choice.replicas, 'replica')} a host{parallel}, {euro(chosen.costs.per_month)} a month"
    )
    best = chosen.capacity.best
    carries = ""
    if best is not None:
        first = seconds(best.first_token.mid)
        speed = (
            f"first token {first}, {seconds(best.per_token.mid)} a token" if workload.output_mean else f"{first} each"
        )
        carries = f"carries {choice.concurrency} at once a replica, {speed}; "
    memory = f"weights {gib(fit.weights.mid)} of {gib(fit.usable.mid)}, {gib(fit.kv_available.low)} for requests"
    reason = several.why if several is not None and several.gpus > 1 else device.why
    assumed = ", ".join(f"{item.name} {item.value}" for item in workload.assumed)
    return what, f"{carries}{memory}", f"{reason}." + (f" Assumed: {assumed}" if assumed else "")


def nothing(model: str, missed: Sequence[tuple[Offer, Miss]]) -> tuple[str, str, str]:
    """Of no option: the nearest miss, which is the first, and what would have to give."""
    offer, miss = missed[0]
    first = f"{model}: none of {count(len(missed), 'offer')} meets every target"
    second = f"nearest is {offer.provider} {offer.instance}: {miss.what}"
    return first, second, RELAX.get(miss.stage, "Name another model, other GPUs or other providers")
