"""Erlang's C against sums and a simulation, and the number of replicas that follows."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import SizingError
from slipway.estimates import Range
from slipway.speed import lead_utilisation, replicas
from slipway.speed.queueing import BURST, FULL, FULL_BATCH, erlang_c, wait
from slipway.speed.types import Capacity, Point
from tests.slipway.speed.cases import load


def serving(places: int = 8, seconds: float = 4.0, first: float = 0.2) -> Capacity:
    exact = Range.exact
    point = Point(
        batch=places,
        per_token=exact(0.02),
        first_token=exact(first / 2),
        first_token_p95=exact(first),
        end_to_end=exact(seconds),
        end_to_end_p95=exact(2 * seconds),
        tokens_per_second=exact(200 * places / seconds),
        requests_per_second=exact(places / seconds),
    )
    return Capacity(point, point, "KV cache")


def textbook(places: int, load: Fraction) -> float:
    """By the formula as books print it, in exact numbers."""
    full = load**places / math.factorial(places) * places / (places - load)
    others = sum((load**count / math.factorial(count) for count in range(places)), Fraction(0))
    return float(full / (others + full))


def simulated(places: int, rate: float, service: float, share: float, seed: int) -> tuple[float, float]:
    """Share of customers that wait, and the quantile of their waits, of a queue played through."""
    draw = random.Random(seed)
    free, now, waits = [0.0] * places, 0.0, []
    for _ in range(200_000):
        now += draw.expovariate(rate)
        start = max(now, heapq.heappop(free))
        heapq.heappush(free, start + draw.expovariate(1 / service))
        waits.append(start - now)
    settled = sorted(waits[20_000:])
    return sum(each > 0 for each in settled) / len(settled), settled[int(share * len(settled))]


@given(st.integers(1, 60), st.fractions(Fraction(1, 1000), Fraction(999, 1000)))
def test_erlang_c_is_the_textbooks_sum(places: int, share: Fraction) -> None:
    assert erlang_c(places, float(share * places)) == pytest.approx(
        textbook(places, share * places), rel=1e-6, abs=1e-15
    )


@pytest.mark.parametrize(
    ("places", "rate", "service"), [(1, 0.6, 1.0), (4, 3.2, 1.0), (16, 1.4, 10.0), (50, 48.0, 1.0)]
)
def test_waits_against_a_simulation(places: int, rate: float, service: float) -> None:
    waiting, quantile = simulated(places, rate, service, 0.95, seed=7)
    assert erlang_c(places, rate * service) == pytest.approx(waiting, rel=0.1, abs=0.01)
    assert wait(places, rate, service) == pytest.approx(quantile, rel=0.15, abs=0.02 * service)


@given(st.integers(1, 20_000), st.floats(0, 2))
def test_erlang_c_is_a_probability_at_any_size(places: int, share: float) -> None:
    assert 0 <= erlang_c(places, share * places) <= 1


@given(st.integers(1, 500), st.floats(0.01, 0.98), st.floats(0, 0.01))
def test_more_load_waits_more_and_more_places_less(places: int, share: float, more: float) -> None:
    at = share * places
    assert erlang_c(places, at) <= erlang_c(places, at + more * places) * (1 + 1e-9)
    assert erlang_c(places + 1, at) <= erlang_c(places, at) * (1 + 1e-9)
    assert wait(places + 1, at, 1.0) <= wait(places, at, 1.0) * (1 + 1e-9)


@dataclass(frozen=True)
class Case:
    name: str
    rate: float
    count: int
    more: dict[str, object] = field(default_factory=dict)
    places: int = 8
    seconds: float = 4.0


CASES = (
    Case("next to nothing takes one", 1e-6, 1),
    Case("none at all takes one", 0.0, 1),
    # 9 × 1.3 × 4 = 46.8 at once ÷ (8 × 0.9)
    Case("by the load", 9.0, 7, {"first_token": 100.0}),
    Case("by who may wait: not at all", 0.2, 3, {"first_token": 0.2}, places=1, seconds=2.0),
    Case("by how many come at once", 1.0, 5, {"concurrency": 40}),
    # 19 ÷ (2 × 0.95)
    Case("batch work by throughput alone", 19.0, 10, {"mode": "batch"}),
    Case("batch work may wait for the night", 0.0, 1, {"mode": "batch", "profile": (45.6,) + (0.0,) * 23}),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_how_many_replicas(case: Case) -> None:
    found = replicas(serving(case.places, case.seconds), load(rate=case.rate, **case.more))
    assert found.count == case.count
    assert found.why


def test_waiting_decides_where_places_are_few() -> None:
    impatient, patient = (replicas(serving(places=1), load(rate=1.0, first_token=limit)) for limit in (0.5, 60.0))
    assert impatient.count > patient.count
    assert impatient.wait_p95 <= 0.3
    assert patient.wait_p95 <= 59.8


def test_no_batch_within_the_targets_is_an_error_that_says_which() -> None:
    nothing = Capacity(serving().knee, None, "first token")
    with pytest.raises(SizingError, match="first token"):
        replicas(nothing, load())


@given(st.floats(0.001, 5000), st.floats(0, 500), st.integers(1, 300), st.floats(0.1, 120), st.floats(0.2, 30))
def test_more_requests_never_take_fewer_replicas_and_all_limits_hold(
    rate: float, more: float, places: int, seconds: float, limit: float
) -> None:
    able = serving(places, seconds)
    few, many = (replicas(able, load(rate=each, first_token=limit)) for each in (rate, rate + more))
    assert few.count <= many.count
    for found, at in ((few, rate), (many, rate + more)):
        assert found.utilisation == pytest.approx(at * seconds / (found.count * places))
        assert found.utilisation * BURST <= FULL * (1 + 1e-6)
        assert found.wait_p95 <= limit - 0.2 + 1e-9
        assert found.headroom == pytest.approx(1 / found.utilisation - 1)


@given(st.floats(0.001, 5000), st.integers(1, 300), st.floats(0.1, 120))
def test_one_replica_less_would_break_a_limit(rate: float, places: int, seconds: float) -> None:
    asked = load(rate=rate)
    count = replicas(serving(places, seconds), asked).count - 1
    if count:
        full = rate * BURST * seconds > count * places * FULL * (1 - 1e-9)
        assert full or wait(count * places, rate * BURST, seconds) > asked.first_token - 0.2


def test_batch_work_keeps_a_little_aside() -> None:
    found = replicas(serving(), load(rate=1.9, mode="batch"))
    assert (found.count, found.wait_p95) == (1, 0.0)
    assert found.utilisation == pytest.approx(FULL_BATCH)


def test_a_cold_start_brings_the_next_replica_forward() -> None:
    rising = load(profile=(1.0,) * 12 + (37.0,) * 12)
    assert lead_utilisation(rising, 13.0, 0.0) == 1
    assert lead_utilisation(rising, 13.0, 100.0) == pytest.approx(1 - 0.01 * BURST * 100 / 13)
    assert lead_utilisation(rising, 13.0, 1e9) == 0
    assert "start it when" in replicas(serving(), rising, cold_start=300).why[-1]
    assert "steady" in replicas(serving(), load(), cold_start=300).why[-1]
