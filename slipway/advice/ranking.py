"""Every offer that meets the targets, cheapest first; and every other one, with the first thing that it misses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from slipway import cost, memory, speed
from slipway.advice.choice import choose
from slipway.advice.search import Candidate, Miss, Search
from slipway.advice.types import Option
from slipway.cpus import Cpu
from slipway.gpus import Gpu
from slipway.offers import Offer, spans_sockets


@dataclass(frozen=True)
class Ranked:
    """A candidate with its price, euro a month."""

    candidate: Candidate
    monthly: float

    @property
    def order(self) -> tuple[float, int, int, str]:
        """The price, then how little it is."""
        offer, hosts = self.candidate.offer, self.candidate.hosts
        return self.monthly, hosts * offer.gpus, hosts * offer.memory, offer.instance


def ranked(search: Search, offers: Iterable[Offer]) -> tuple[list[Ranked], list[tuple[Offer, Miss]]]:
    """Candidates by price, the smaller first where prices are equal; and what each of the other offers misses."""
    found: list[Ranked] = []
    missed: list[tuple[Offer, Miss]] = []
    stored = search.architecture.weight_bytes
    for offer in offers:
        candidate = search.on(offer)
        if isinstance(candidate, Miss):
            missed.append((offer, candidate))
        else:
            found.append(Ranked(candidate, cost.monthly(offer, candidate.hosts, stored)))
    found.sort(key=lambda item: item.order)
    return found, missed


def option(search: Search, found: Candidate, *, shown: bool) -> Option:
    """One candidate as an option. Only those that are shown get a curve and reasons."""
    architecture, workload, measured = search.architecture, search.workload, found.measured
    fit, best, replicas = measured.fit, measured.best, measured.replicas
    assert fit is not None and best is not None and replicas is not None  # noqa: S101, PT018 - it is a candidate
    choice = choose(architecture, workload, found, search.fixed, explained=shown)
    costs = cost.costs(
        found.offer,
        found.hosts,
        workload,
        host_rate=best.requests_per_second.mid * found.per_host,
        cold_start=choice.cold_start,
        stored=architecture.weight_bytes,
        explained=shown,
    )
    return Option(
        offer=found.offer,
        setup=measured.setup,
        fit=fit,
        capacity=search.capacity(measured),
        replicas=replicas,
        hosts=found.hosts,
        costs=costs,
        curve=speed.curve(architecture, measured.setup, fit, workload) if shown else (),
        choice=choice,
        notes=_notes(search, found) if shown else (),
    )


def _notes(search: Search, found: Candidate) -> tuple[str, ...]:
    notes: list[str] = list(search.architecture.notes)
    device = found.measured.setup.device
    if isinstance(device, Gpu):
        remark = memory.weight_only(search.architecture, device)
        notes += [remark] if remark else []
    else:
        notes += _cpu_notes(found.offer, device)
    if search.workload.mode == "batch" and found.offer.spot is not None:
        notes.append("batch work can be begun again, so that a spot price is worth having")
    return tuple(notes)


def _cpu_notes(offer: Offer, device: Cpu) -> list[str]:
    notes: list[str] = []
    if device.guaranteed is not None and device.guaranteed < device.bandwidth:
        own, drawn = device.guaranteed / 1e9, device.bandwidth / 1e9
        notes.append(
            f"with busy neighbours a token may take {drawn / own:.1f} times as long: of {drawn:.0f} GB/s that its "
            f"cores draw, {own:.0f} are its own"
        )
    if spans_sockets(offer):
        notes.append(
            f"its CPUs are of several sockets, and llama.cpp is faster on one, which this counts on: set "
            f'slipway:engine.threads to {device.cores} and slipway:engine.args to ["--numa", "isolate"]'
        )
    return notes
