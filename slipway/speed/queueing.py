"""How many replicas a request rate needs, by queueing. Seconds, requests a second.

A replica that serves up to B requests at once, each for `e2e` seconds, is B places; R replicas behind one queue are the
R × B places of an M/M/c queue. By Little's law (https://doi.org/10.1287/opre.9.3.383) rate × e2e requests are inside on
average. Erlang's C says how likely a new one has to wait, and how long (https://en.wikipedia.org/wiki/M/M/c_queue):

    P(wait > t) = C × exp(-(places ÷ e2e - rate) × t)

Answers vary less in length than an exponential does, and a replica that is not full answers faster, so that both err on
the safe side.
"""

from __future__ import annotations

import math

from slipway.errors import SizingError
from slipway.speed.types import Capacity, Replicas
from slipway.workload import FullWorkload

BURST = 1.3
"""the busiest minutes against the average of their hour; an assumption. A Poisson stream is uneven on top of it"""

FULL = 0.9
"""share of the places in use, in those minutes, above which nothing is planned; an assumption"""

FULL_BATCH = 0.95
"""the same where nobody waits; the rest is for requests that are repeated"""

SECONDS_PER_HOUR = 3600


def erlang_c(places: int, load: float) -> float:
    """How likely it is that a request finds all places taken; `load` is rate × seconds of service, below `places`.

    By 1 ÷ B = Σ c! ÷ (c - j)! ÷ load^j over j from 0 to c, and C = B ÷ (1 - load ÷ c × (1 - B)). The terms are all
    positive, nothing cancels, and the sum ends once they no longer count: thousands of places take microseconds.

    >>> round(erlang_c(1, 0.5), 6)  # one place: as likely as it is taken
    0.5
    >>> round(erlang_c(2, 1.0), 6)  # 1/3, as in the textbooks
    0.333333
    >>> erlang_c(5000, 4500.0) < 1e-9
    True
    """
    if load <= 0:
        return 0.0
    if load >= places:
        return 1.0
    total = term = 1.0
    for left in range(places, 0, -1):
        term *= left / load
        total += term
        if total > 1e18:
            return 0.0
        if term < total * 1e-17:
            break
    blocked = 1 / total
    return blocked / (1 - load / places * (1 - blocked))


def wait(places: int, rate: float, service: float, share: float = 0.95) -> float:
    """Seconds that `share` of the requests wait no longer than; infinite where more come than can be served.

    >>> wait(1, 0.0, 10.0)
    0.0
    >>> round(wait(1, 0.5, 1.0), 3)  # ln(0.5 ÷ 0.05) ÷ (1 - 0.5)
    4.605
    """
    load = rate * service
    if load >= places:
        return math.inf
    waits = erlang_c(places, load)
    if waits <= 1 - share:
        return 0.0
    return math.log(waits / (1 - share)) / (places / service - rate)


def replicas(capacity: Capacity, workload: FullWorkload, *, cold_start: float | None = None) -> Replicas:
    """The smallest number that carries the busiest hour. `cold_start`: seconds from the decision to start another
    replica until it serves, where there is an autoscaler. Raises `SizingError` where no batch meets the targets.

    Real-time: the busiest hour's rate × BURST; the first token's target less the first token of a p95 prompt is what
    95 of 100 may wait. Batch: throughput only, of the mean rate.
    """
    best = capacity.best
    if best is None:
        raise SizingError(
            f"One request alone already misses its target ({capacity.limited_by})",
            where="workload",
            fix="Loosen the target, or choose a faster GPU or a smaller model",
        )
    places, service, each = best.batch, best.end_to_end.mid, best.requests_per_second.mid
    count = needed(places, service, best.first_token_p95.mid, each, workload)
    carried = count * each
    if workload.mode == "batch":
        text = f"{workload.mean:.3g} requests/s on average ÷ ({each:.3g} a replica × {FULL_BATCH}) → {count}"
        return Replicas(count, workload.mean / carried, 0.0, _headroom(carried, workload.mean), (text,))
    rate = workload.peak * BURST
    patience = max(0.0, workload.first_token - best.first_token_p95.mid)
    by_load, by_seats = _least(places, service, workload)
    waited = wait(count * places, rate, service)
    why = [
        f"{workload.peak:.3g} requests/s × {BURST} for bursts × {service:.3g} s each = {rate * service:.3g} at once "
        f"(Little's law), over {places} places a replica at {FULL:.0%} → at least {by_load}",
        f"at {count}, 95 of 100 wait {waited:.2g} s or less (Erlang C); {patience:.3g} s may be waited",
    ]
    if by_seats > by_load:
        why.append(f"{workload.concurrency} requests at once over {places} places a replica → at least {by_seats}")
    if cold_start is not None:
        why.append(_lead(workload, carried, cold_start))
    used = workload.peak * service / (count * places)
    return Replicas(count, used, waited, _headroom(carried, workload.peak), tuple(why))


def needed(places: int, service: float, first_token: float, each: float, workload: FullWorkload) -> int:
    """The number alone, which thousands of offers are asked for: of replicas with so many places, that take `service`
    seconds a request and `first_token` to its first token (p95), and finish `each` requests a second."""
    if workload.mode == "batch":
        return max(1, math.ceil(workload.mean / (each * FULL_BATCH) - 1e-9))
    patience = max(0.0, workload.first_token - first_token)
    return _enough(max(_least(places, service, workload)), places, workload.peak * BURST, service, patience)


def _least(places: int, service: float, workload: FullWorkload) -> tuple[int, int]:
    """What the rate and the requests at once ask for at least."""
    by_load = max(1, math.ceil(workload.peak * BURST * service / (places * FULL) - 1e-9))
    return by_load, max(1, math.ceil((workload.concurrency or 0) / places))


def _enough(count: int, places: int, rate: float, service: float, patience: float) -> int:
    """The smallest number, `count` or more, at which waiting stays within patience."""
    if wait(count * places, rate, service) <= patience:
        return count
    stride = 1
    while wait((count + stride) * places, rate, service) > patience:
        count, stride = count + stride, stride * 2
    low, high = count, count + stride
    while high - low > 1:
        middle = (low + high) // 2
        if wait(middle * places, rate, service) > patience:
            low = middle
        else:
            high = middle
    return high


def _headroom(carried: float, rate: float) -> float:
    return carried / rate - 1 if rate > 0 else math.inf


def growth(profile: tuple[float, ...]) -> float:
    """Requests a second that the rate rises by in a second, between the two hours where it rises fastest. The profile
    goes round: its first hour follows its last.

    >>> growth((1.0, 37.0, 1.0))
    0.01
    """
    rises = (after - before for before, after in zip(profile, profile[1:] + profile[:1], strict=True))
    return max(0.0, *rises, 0.0) / SECONDS_PER_HOUR


def lead_utilisation(workload: FullWorkload, carried: float, cold_start: float) -> float:
    """Share of what the running replicas carry at which the next one has to be started, so that what comes while it
    starts still finds a place: 1 - growth × cold start ÷ carried, at least 0."""
    return max(0.0, 1 - growth(workload.profile) * BURST * cold_start / carried)


def _lead(workload: FullWorkload, carried: float, cold_start: float) -> str:
    rise = growth(workload.profile) * BURST * cold_start
    if rise == 0:
        return f"a replica takes {cold_start:.0f} s to start; the load is steady, so that matters when one fails"
    return (
        f"in the {cold_start:.0f} s that a replica takes to start, the load rises by up to {rise:.2g} requests/s: "
        f"start it when {lead_utilisation(workload, carried, cold_start):.0%} of {carried:.3g} requests/s are reached"
    )
