"""Which offers hold a fine-tuning: judged by memory alone, since how long it runs is a matter of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slipway import offers as prices
from slipway.advice.texts import count, euro, gib
from slipway.advice.types import Advice, Device, Rejection, TuningOption
from slipway.architectures.types import Architecture
from slipway.gpus import Gpu
from slipway.memory.tuning import TrainingFit, training_fit
from slipway.offers import Offer
from slipway.workload import FullWorkload

BATCH = 1
"""sequences at once on a GPU: the least, as gradients of more can be added up over steps"""

RELAX = "Take LoRA or QLoRA, shorter sequences, or allow larger GPUs"


def advise_tuning(architecture: Architecture, workload: FullWorkload, offers: Sequence[Offer]) -> Advice:
    """Every offer whose GPUs hold the fine-tuning, cheapest an hour first; the rest with what is missing."""
    found: list[TuningOption] = []
    rejections: list[Rejection] = []
    nearest: tuple[float, Rejection] | None = None
    for offer in offers:
        last: TrainingFit | None = None
        for gpus, last in _tries(architecture, workload, offer):
            if last.fits:
                found.append(_option(offer, gpus, last))
                break
        else:
            over = last.total.high / last.usable.low if last else float("inf")
            why = _missed(last) if last else "fine-tuning here runs on GPUs, and this has none"
            rejections.append(Rejection(offer, why))
            if nearest is None or over < nearest[0]:
                nearest = over, rejections[-1]
    found.sort(key=lambda item: (item.per_hour, item.gpus, item.offer.instance))
    why = "gradients and optimizer states want a GPU's memory and speed"
    return Advice(
        model=architecture.name,
        workload=workload,
        device=Device("gpu", (), why),
        options=(),
        rejections=tuple(rejections),
        several=None,
        summary=_summary(architecture.name, workload, found, nearest[1] if nearest else None),
        tuning=tuple(found),
    )


def _tries(architecture: Architecture, workload: FullWorkload, offer: Offer) -> Iterator[tuple[int, TrainingFit]]:
    """One GPU, two, four, … of the offer."""
    if offer.gpu is None or workload.purpose == "inference":
        return
    gpu = prices.device(offer)
    assert isinstance(gpu, Gpu)  # noqa: S101 - the offer names one
    gpus = 1
    while gpus <= offer.gpus:
        fit = training_fit(
            architecture, gpu, gpus=gpus, method=workload.purpose, batch=BATCH, sequence=workload.context
        )
        yield gpus, fit
        gpus *= 2


def _option(offer: Offer, gpus: int, fit: TrainingFit) -> TuningOption:
    spot = None if offer.spot is None else prices.euro(offer.spot, offer.currency)
    return TuningOption(offer, gpus, fit, prices.euro(offer.price, offer.currency), spot)


def _missed(fit: TrainingFit) -> str:
    return f"{gib(fit.total.high)} > {gib(fit.usable.low)} usable a GPU"


def _summary(
    model: str, workload: FullWorkload, found: Sequence[TuningOption], nearest: Rejection | None
) -> tuple[str, str, str]:
    method = {"full": "all weights", "lora": "LoRA", "qlora": "QLoRA"}.get(workload.purpose, workload.purpose)
    if not found:
        near = f"nearest is {nearest.offer.provider} {nearest.offer.instance}: {nearest.why}" if nearest else "no offer"
        return f"{model}: no offer holds fine-tuning {method}", near, RELAX
    best = found[0]
    spot = f", {euro(best.spot_per_hour)} when it may be taken away" if best.spot_per_hour is not None else ""
    offer = best.offer
    holding = "1 offer holds it" if len(found) == 1 else f"{len(found)} offers hold it"
    return (
        f"{model}: fine-tune {method} on {count(best.gpus, 'GPU')} of {offer.provider} {offer.instance} ({offer.gpu})",
        f"{gib(best.fit.total.mid)} of {gib(best.fit.usable.mid)} a GPU, sequences of {workload.context} tokens",
        f"{euro(best.per_hour)} an hour{spot}; {holding}",
    )
