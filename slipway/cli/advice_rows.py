"""Advice as rows of text, the same for the terminal and for the page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from slipway.advice.texts import count, euro, gib, seconds, share
from slipway.advice.types import Advice, EngineChoice, Option, TuningOption
from slipway.estimates import Range
from slipway.gpus import Gpu
from slipway.offers import Offer
from slipway.units import about_bytes
from slipway.workload import FullWorkload

NONE = "\N{EN DASH}"
"""where there is no figure"""


@dataclass(frozen=True)
class Segment:
    """One part of a GPU's memory, bytes. `kind` names its colour."""

    kind: str
    name: str
    size: Range


def place(offer: Offer) -> str:
    """Where an offer is to be had: "aws g6.xlarge, eu-central-1"."""
    return f"{offer.provider} {offer.instance}" + (f", {offer.region}" if offer.region else "")


def hardware(offer: Offer, gpus: int) -> str:
    """What requests run on: "2 × L4", or "16 vCPUs" where `gpus` is 0."""
    return f"{gpus} × {offer.gpu}" if gpus else count(offer.vcpus, "vCPU")


def total_memory(option: Option) -> int:
    """Bytes of one GPU, or of the instance where the CPU serves."""
    device = option.setup.device
    return device.usable if isinstance(device, Gpu) else device.memory


def segments(option: Option) -> tuple[Segment, ...]:
    """What fills one GPU, from the weights on; the last one is what the engine leaves alone."""
    fit = option.fit
    spare = max(0.0, total_memory(option) - fit.usable.mid)
    found = (
        Segment("weights", "weights", fit.weights),
        Segment("activations", "activations", fit.activations),
        Segment("libraries", "engine and libraries", fit.libraries),
        Segment("graphs", "CUDA graphs", fit.graphs),
        Segment("kv", "KV cache", fit.kv_available.at_least(0)),
        Segment("spare", "left alone", Range.exact(spare)),
    )
    return tuple(segment for segment in found if segment.size.high > 0)


def tuning_segments(option: TuningOption) -> tuple[Segment, ...]:
    """What fills one GPU while it trains."""
    fit = option.fit
    spare = max(0.0, fit.usable.mid - fit.total.mid)
    found = (
        Segment("weights", "weights", fit.weights),
        Segment("gradients", "gradients", fit.gradients),
        Segment("optimizer", "optimizer states", fit.optimizer),
        Segment("activations", "activations", fit.activations),
        Segment("libraries", "CUDA and allowances", fit.overhead),
        Segment("spare", "free", Range.exact(spare)),
    )
    return tuple(segment for segment in found if segment.size.high > 0)


def spread(size: Range) -> str:
    """Bytes with their bounds, where these differ: "9.9 GiB (9.1 to 10.4)"."""
    low, mid, high = gib(size.low), gib(size.mid), gib(size.high)
    return mid if low == high else f"{mid} ({low.removesuffix(' GiB')} to {high.removesuffix(' GiB')})"


def summary(advice: Advice) -> tuple[str, ...]:
    """The three lines, for where the model is named already."""
    return tuple(line.removeprefix(f"{advice.model}: ") for line in advice.summary)


def prices(option: Option) -> tuple[tuple[str, str], ...]:
    """Names and values of everything that an option costs."""
    costs = option.costs
    found: list[tuple[str, float | None]] = [
        ("a month", costs.per_month),
        (f"a million tokens{'' if costs.tokens == 'generated' else ' of prompts'}", costs.per_million_tokens),
        ("a month, spot", costs.spot_per_month),
        ("a month, with bursts", costs.burst_per_month),
        ("a month, off-peak", costs.off_peak_per_month),
    ]
    return tuple((name, euro(value)) for name, value in found if value is not None)


def ranking(option: Option) -> tuple[str, ...]:
    """One row: offer, hardware, hosts, at once, time per token, first token, € a month, € a million tokens, idle."""
    best, choice, costs = option.capacity.best, option.choice, option.costs
    return (
        place(option.offer),
        hardware(option.offer, choice.gpus),
        f"{option.hosts} × {choice.replicas}",
        NONE if best is None else str(best.batch),
        NONE if best is None or not best.per_token.mid else seconds(best.per_token.mid),
        NONE if best is None else seconds(best.first_token.mid),
        euro(costs.per_month),
        NONE if costs.per_million_tokens is None else euro(costs.per_million_tokens),
        share(costs.idle_share),
    )


TUNING = ("offer", "runs on", "memory a GPU", "of", "an hour", "an hour, spot")


def tuning(option: TuningOption) -> tuple[str, ...]:
    """One row of a fine-tuning's ranking."""
    return (
        place(option.offer),
        hardware(option.offer, option.gpus),
        spread(option.fit.total),
        gib(option.fit.usable.mid),
        euro(option.per_hour),
        NONE if option.spot_per_hour is None else euro(option.spot_per_hour),
    )


RANKING = (
    "offer", "runs on", "hosts × replicas", "at once", "a token", "first token", "a month", "1M tokens", "idle",
)  # fmt: skip


def settings(choice: EngineChoice) -> Iterator[tuple[str, str, str]]:
    """Name, value and arithmetic of each setting."""
    fraction = choice.memory_fraction
    rows = {
        "engine": choice.engine,
        "gpus": str(choice.gpus),
        "tensor_parallel": str(choice.tensor_parallel),
        "replicas": str(choice.replicas),
        "max_model_len": f"{choice.max_model_len} tokens",
        "max_num_seqs": str(choice.max_num_seqs),
        "max_num_batched_tokens": NONE if choice.max_num_batched_tokens is None else str(choice.max_num_batched_tokens),
        "memory_fraction": NONE if fraction is None else f"{fraction:g}",
        "kv_dtype": choice.kv_dtype,
        "shm_bytes": about_bytes(choice.shm_bytes),
        "health_deadline": seconds(choice.health_deadline),
        "stream_timeout": seconds(choice.stream_timeout),
        "concurrency": f"{choice.concurrency} a replica",
        "queue": str(choice.queue),
        "queue_timeout": seconds(choice.queue_timeout),
        "scale_up_waiting": f"above {choice.scale_up_waiting:g} waiting a replica",
        "scale_up_kv": f"above {share(choice.scale_up_kv)} of the KV cache",
        "cold_start": seconds(choice.cold_start),
    }
    for name, value in rows.items():
        yield name.replace("_", " "), value, choice.why.get(name, "")


def workload(advice: Advice) -> Iterator[tuple[str, str, str]]:
    """Name and value of everything that was sized for, and why where nobody gave it."""
    full = advice.workload
    assumed = {item.name: item.why for item in advice.workload.assumed}
    rows = [
        ("purpose", full.purpose, ("purpose",)),
        ("mode", full.mode, ("mode",)),
        ("busiest hour", f"{full.peak:.3g} requests/s", ("requests_per_second", "profile")),
        ("on average", f"{full.mean:.3g} requests/s", ("profile",)),
        ("prompt", f"{full.prompt_mean} tokens, p95 {full.prompt_p95}", ("prompt.mean", "prompt.p95")),
        ("answer", _answer(full), ("output.mean", "output.p95")),
        ("context", f"{full.context} tokens", ("context",)),
        ("first token", seconds(full.first_token), ("first_token",)),
        ("each token", seconds(full.per_token), ("per_token",)),
        ("whole answer", seconds(full.end_to_end or math.inf), ("end_to_end",)),
        ("at once", NONE if full.concurrency is None else str(full.concurrency), ("concurrency",)),
        ("idle", f"{share(full.idle_share)} of the hours", ("idle_share",)),
        ("complexity", full.complexity, ("complexity",)),
    ]
    if full.purpose != "inference":
        rows = [row for row in rows if row[0] in ("purpose", "context", "complexity")]
    for name, value, keys in rows:
        whys = [assumed[key] for key in keys if key in assumed]
        yield name, value, "assumed: " + "; ".join(dict.fromkeys(whys)) if whys else ""


def _answer(full: FullWorkload) -> str:
    return f"{full.output_mean} tokens, p95 {full.output_p95}" if full.output_mean else "no tokens"
