"""Prices a month and a million tokens, idling, bursts, and what batch work saves off-peak."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.cost import Costs, costs
from slipway.offers import HOURS_PER_MONTH, Offer
from slipway.workload import FullWorkload, Lengths, Workload, assume

DAY = (0.0,) * 8 + (1.0,) * 8 + (4.0,) * 8


def offer(price: float = 2.0, **more: object) -> Offer:
    base = {
        "provider": "own",
        "instance": "x",
        "vcpus": 8,
        "memory": "32GiB",
        "source": "an example",
        "date": "2026-11",
    }
    return Offer.model_validate(base | {"price": price} | more)


def load(profile: Sequence[float] = DAY, mode: str = "real-time", tokens: int = 250) -> FullWorkload:
    given = Workload.model_validate({"mode": mode, "output": Lengths(mean=tokens)})
    return FullWorkload(**(assume(given).__dict__ | {"profile": tuple(profile)}))


TWO_EURO = offer()


@dataclass(frozen=True)
class Case:
    name: str
    hosts: int
    workload: FullWorkload
    expected: dict[str, float | None]
    offer: Offer = TWO_EURO
    host_rate: float | None = None
    cold_start: float = 900
    stored: float = 0


CASES = [
    Case(
        "a day with a quiet night: one stays, four work in the evening, three of them start once",
        4,
        load(),
        {
            "per_month": 4 * 2 * 730,
            "per_million_tokens": 4 * 2 * 730 / (5 / 3 * 3600 * 730 * 250 / 1e6),
            "idle_share": 1 - (5 / 3) / 4,
            "burst_per_month": (8 * 1 + 8 * 1 + 8 * 4 + 3 * 0.25) / 24 * 730 * 2,
            "spot_per_month": None,
            "off_peak_per_month": None,
        },
    ),
    Case("batch work goes to all hours", 4, load(mode="batch"), {"off_peak_per_month": 2 * 2 * 730}),
    Case(
        "nobody waits for batch work, so that nothing need stay on",
        1,
        load(mode="batch"),
        {"burst_per_month": (16 + 0.25) / 24 * 730 * 2, "off_peak_per_month": None},
    ),
    Case("a steady load has nothing to gain", 3, load((2.0,) * 24), {"burst_per_month": None, "idle_share": 0.0}),
    Case("places without use are idle", 1, load((2.0,) * 24), {"idle_share": 0.75}, host_rate=8.0),
    Case(
        "no traffic: all of it idles, and no token has a price",
        2,
        load((0.0,) * 24),
        {"idle_share": 1.0, "per_million_tokens": None, "burst_per_month": 1 * 2 * 730},
    ),
    Case(
        "dollars become euro, disks are paid, a spot price is shown",
        2,
        load(),
        {
            "per_month": 2 * 1 * 0.8789 * 730 + 2 * 0.8789 * 0.1 * 50,
            "spot_per_month": 2 * 0.5 * 0.8789 * 730 + 2 * 0.8789 * 0.1 * 50,
        },
        offer(1.0, spot=0.5, currency="USD", storage_price=0.1),
        stored=50e9,
    ),
    Case(
        "a host that is there costs nothing, and nothing is cheaper",
        2,
        load(),
        {"per_month": 0.0, "per_million_tokens": 0.0, "burst_per_month": None, "off_peak_per_month": None},
        offer(0.0),
    ),
    Case("starts outlast the quiet hours", 2, load((1.0, 4.0) * 12), {"burst_per_month": None}, cold_start=7200),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_costs(case: Case) -> None:
    found = costs(
        case.offer, case.hosts, case.workload,
        host_rate=case.host_rate, cold_start=case.cold_start, stored=case.stored, explained=True,
    )  # fmt: skip
    for name, expected in case.expected.items():
        assert getattr(found, name) == (expected if expected is None else pytest.approx(expected)), name
    assert found.per_hour == pytest.approx(found.per_month / HOURS_PER_MONTH)
    assert len(found.why) >= 2


profiles = st.lists(st.floats(0, 1000, allow_subnormal=True), min_size=24, max_size=24)
loads = st.builds(load, profiles, st.sampled_from(["real-time", "batch"]), st.integers(1, 10_000))
prices = st.builds(
    offer, st.floats(0, 200), spot=st.none() | st.floats(0, 200), currency=st.sampled_from(["EUR", "USD"]),
    storage_price=st.none() | st.floats(0, 1),
)  # fmt: skip
delays = st.floats(0, 1e5)


def found(offer: Offer, hosts: int, workload: FullWorkload, cold: float, rate: float | None = None) -> Costs:
    return costs(offer, hosts, workload, host_rate=rate, cold_start=cold, stored=1e10, explained=True)


@given(prices, st.integers(1, 500), loads, delays, st.none() | st.floats(0, 1e6))
def test_nothing_is_ever_odd(offer: Offer, hosts: int, workload: FullWorkload, cold: float, rate: float | None) -> None:
    result = found(offer, hosts, workload, cold, rate)
    assert 0 <= result.idle_share <= 1
    figures = [value for value in result.__dict__.values() if isinstance(value, float)]
    assert all(math.isfinite(value) and value >= 0 for value in figures)
    for cheaper in (result.burst_per_month, result.off_peak_per_month):
        assert cheaper is None or cheaper <= result.per_month * (1 + 1e-12)
    assert all("nan" not in line and "inf " not in line for line in result.why)


@given(prices, st.integers(1, 100), st.integers(1, 100), loads, delays)
def test_more_hosts_never_cost_less(offer: Offer, few: int, more: int, workload: FullWorkload, cold: float) -> None:
    one, two = found(offer, few, workload, cold), found(offer, few + more, workload, cold)
    assert one.per_month <= two.per_month
    assert one.idle_share <= two.idle_share + 1e-12
    if one.per_million_tokens is not None and two.per_million_tokens is not None:
        assert one.per_million_tokens <= two.per_million_tokens


@given(prices, st.integers(1, 100), loads, delays, delays)
def test_a_slower_start_never_makes_a_burst_cheaper(
    offer: Offer, hosts: int, workload: FullWorkload, one: float, more: float
) -> None:
    fast, slow = found(offer, hosts, workload, one), found(offer, hosts, workload, one + more)
    assert (fast.burst_per_month or fast.per_month) <= (slow.burst_per_month or slow.per_month) * (1 + 1e-9)
