"""Every offer that meets the targets, cheapest first; and every other one, with the first thing that it misses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slipway import cost, memory, speed
from slipway.advice.choice import choose
from slipway.advice.search import Candidate, Miss, Search
from slipway.advice.types import EngineChoice, Option
from slipway.cost import Costs
from slipway.gpus import Gpu
from slipway.offers import Offer


@dataclass(frozen=True)
class Ranked:
    """A candidate with its settings and its price."""

    candidate: Candidate
    choice: EngineChoice
    costs: Costs

    @property
    def order(self) -> tuple[float, int, int, str]:
        """The price, then how little it is."""
        offer, hosts = self.candidate.offer, self.candidate.hosts
        return self.costs.per_month, hosts * offer.gpus, hosts * offer.memory, offer.instance


def ranked(search: Search, offers: Iterable[Offer]) -> tuple[list[Ranked], list[tuple[Offer, Miss]]]:
    """Candidates by price, the smaller first where prices are equal; and what each of the other offers misses."""
    found: list[Ranked] = []
    missed: list[tuple[Offer, Miss]] = []
    for offer in offers:
        candidate = search.on(offer)
        if isinstance(candidate, Miss):
            missed.append((offer, candidate))
        else:
            found.append(_priced(search, candidate, explained=False))
    found.sort(key=lambda item: item.order)
    return found, missed


def option(search: Search, item: Ranked, *, shown: bool) -> Option:
    """One candidate as an option. Only those that are shown get a curve and reasons."""
    if shown:
        item = _priced(search, item.candidate, explained=True)
    found = item.candidate
    measured = found.measured
    fit, replicas = measured.fit, measured.replicas
    assert fit is not None and replicas is not None  # noqa: S101, PT018 - it is a candidate
    return Option(
        offer=found.offer,
        setup=measured.setup,
        fit=fit,
        capacity=speed.capacity(search.architecture, measured.setup, fit, search.workload),
        replicas=replicas,
        hosts=found.hosts,
        costs=item.costs,
        curve=speed.curve(search.architecture, measured.setup, fit, search.workload) if shown else (),
        choice=item.choice,
        notes=_notes(search, found) if shown else (),
    )


def _priced(search: Search, found: Candidate, *, explained: bool) -> Ranked:
    choice = choose(search.architecture, search.workload, found, search.fixed, explained=explained)
    best = found.measured.best
    costs = cost.costs(
        found.offer,
        found.hosts,
        search.workload,
        host_rate=best.requests_per_second.mid * found.per_host if best else None,
        cold_start=choice.cold_start,
        stored=search.architecture.weight_bytes,
        explained=explained,
    )
    return Ranked(found, choice, costs)


def _notes(search: Search, found: Candidate) -> tuple[str, ...]:
    notes: list[str] = list(search.architecture.notes)
    device = found.measured.setup.device
    remark = memory.weight_only(search.architecture, device) if isinstance(device, Gpu) else None
    if remark:
        notes.append(remark)
    if search.workload.mode == "batch" and found.offer.spot is not None:
        notes.append("batch work can be begun again, so that a spot price is worth having")
    return tuple(notes)
