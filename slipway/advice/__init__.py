"""CPU or GPU, which one, how many, at what cost: the decision with its reasons."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from slipway import gpus as known_gpus
from slipway.advice import summary
from slipway.advice.criteria import Side, device
from slipway.advice.ranking import Ranked, option, ranked
from slipway.advice.search import TARGET, Miss, Search, fastest_first
from slipway.advice.several import several
from slipway.advice.types import Advice, Fixed, Rejection
from slipway.architectures.types import Architecture
from slipway.errors import SizingError
from slipway.memory.types import Engine
from slipway.offers import Offer
from slipway.speed.curve import alone
from slipway.workload import Served, Workload, assume

SHOWN = 5
"""options that get a curve and reasons"""

__all__ = ["SHOWN", "Advice", "Fixed", "advise"]


def advise(
    architecture: Architecture,
    workload: Workload,
    offers: Sequence[Offer],
    *,
    engine: Engine | None = None,
    engine_version: str | None = None,
    providers: Collection[str] | None = None,
    gpus: Collection[str] | None = None,
    fixed: Fixed | None = None,
    shown: int = SHOWN,
) -> Advice:
    """Which of `offers` serves the model as the workload asks, cheapest first, with reasons for the first `shown`.

    `providers` and `gpus` narrow the offers down; naming GPUs leaves out CPUs. Without `engine`, llama.cpp serves from
    CPUs and vLLM from GPUs. `fixed` is what somebody decided already. Where nothing meets the targets, the answer has
    no options, and says what each offer misses. Raises SizingError for a workload that contradicts itself, an unknown
    GPU, or when no offer is left to judge.
    """
    full = assume(workload, Served(architecture.task, architecture.context))
    allowed = _allowed(offers, providers, gpus)
    if full.purpose != "inference":
        # Few ask for it.
        from slipway.advice.tuning import advise_tuning  # noqa: PLC0415

        return advise_tuning(architecture, full, allowed)
    search = Search(architecture, full, engine, engine_version, fixed or Fixed())
    found, missed = ranked(search, allowed)
    missed.sort(key=lambda item: item[1].near)
    options = tuple(option(search, item.candidate, shown=index < shown) for index, item in enumerate(found))
    verdict = device(architecture, full, *_sides(search, allowed, found, missed))
    chosen = (
        several(architecture, full, found[0].candidate, asked=search.fixed.tensor_parallel is not None)
        if found
        else None
    )
    return Advice(
        model=architecture.name,
        workload=full,
        device=verdict,
        options=options,
        rejections=tuple(Rejection(offer, miss.what) for offer, miss in missed),
        several=chosen,
        summary=summary.summary(architecture.name, full, verdict, options[0], chosen)
        if options
        else summary.nothing(architecture.name, missed),
    )


def _allowed(
    offers: Sequence[Offer], providers: Collection[str] | None, gpus: Collection[str] | None
) -> tuple[Offer, ...]:
    names = None if gpus is None else {known_gpus.find_gpu(name).name for name in gpus}
    left = fastest_first(
        offer
        for offer in offers
        if (providers is None or offer.provider in providers)
        and (names is None or (offer.gpu is not None and known_gpus.find_gpu(offer.gpu).name in names))
    )
    if not left:
        asked = [f"of {' or '.join(sorted(providers))}"] if providers is not None else []
        asked += [f"with {' or '.join(sorted(names))}"] if names is not None else []
        have = ", ".join(sorted({offer.provider for offer in offers})) or "none"
        what = " ".join(["there is no offer", *asked])
        raise SizingError(what, where="offers", fix=f"Name others, or add your own; offers are there of {have}")
    return left


def _sides(
    search: Search, offers: Sequence[Offer], ranked: Sequence[Ranked], missed: Sequence[tuple[Offer, Miss]]
) -> tuple[Side | None, Side | None]:
    """The best CPU, and the GPU that does it cheapest, or comes nearest."""
    on_cpu = [offer for offer in offers if offer.gpu is None or search.fixed.gpus == 0]
    cpu = gpu = None
    if on_cpu:
        best = max(on_cpu, key=search.cpu_rank)
        cheapest = next((item for item in ranked if item.candidate.measured.setup.gpus == 0), None)
        cpu = _side(search, cheapest.candidate.offer if cheapest else best, cheapest)
    found = next((item for item in ranked if item.candidate.measured.setup.gpus > 0), None)
    if found is not None:
        gpu = _side(search, found.candidate.offer, found)
    else:
        nearest = [(offer, miss) for offer, miss in missed if offer.gpu is not None and search.fixed.gpus != 0]
        if nearest:
            gpu = _side(search, nearest[0][0], None)
    return cpu, gpu


def _side(search: Search, offer: Offer, cheapest: Ranked | None) -> Side:
    measured = cheapest.candidate.measured if cheapest else search.largest(offer)
    held = measured.miss is None or measured.miss.stage <= TARGET
    one = alone(search.architecture, measured.setup, search.workload) if held else None
    return Side(offer, measured, one, cheapest)
