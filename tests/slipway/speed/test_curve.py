"""Throughput against latency, the best batch within targets, and what bounds it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.speed import alone, capacity, curve, explain
from slipway.speed.curve import Serving
from tests.slipway.speed.cases import LARGE, PATIENT, PROCESSOR, SMALL, dense, load, on, room, sparse

ON = on(max_num_seqs=256)


def test_the_curve_doubles_up_to_what_memory_allows() -> None:
    points = curve(dense(), ON, room(4), load(**PATIENT))
    most = capacity(dense(), ON, room(4), load(**PATIENT)).best
    assert most is not None
    assert [point.batch for point in points] == [1, 2, 4, 8, 16, most.batch]
    assert 16 < most.batch < 32


def test_there_is_no_curve_without_room_for_one_request() -> None:
    assert curve(dense(), ON, room(-1), load()) == ()
    full = capacity(dense(), ON, room(-1), load())
    assert (full.best, full.limited_by, full.knee.batch) == (None, "KV cache", 1)


@given(
    st.sampled_from([dense(), sparse(), dense(8, "fp8")]),
    st.sampled_from([ON, on(SMALL, max_num_seqs=64, tensor_parallel=2), on(PROCESSOR, max_num_seqs=8)]),
    st.integers(1, 8000),
    st.integers(1, 2000),
    st.floats(1, 100),
)
def test_along_the_curve_latency_and_throughput_only_rise(
    model: object, setup: object, prompt: int, output: int, kv: float
) -> None:
    asked = load(prompt=prompt, output=output, context=100_000)
    points = curve(model, setup, room(kv), asked)  # type: ignore[arg-type]
    for one, more in pairwise(points):
        for name in ("per_token", "first_token", "first_token_p95", "end_to_end", "end_to_end_p95"):
            assert getattr(one, name).mid <= getattr(more, name).mid * (1 + 1e-9), name
        assert one.requests_per_second.mid <= more.requests_per_second.mid * (1 + 1e-9)
    for point in points:
        assert 0 < point.first_token.mid <= point.first_token_p95.mid
        assert point.tokens_per_second.mid == pytest.approx(point.requests_per_second.mid * output)


@given(st.integers(1, 256), st.integers(1, 4000), st.integers(1, 1000))
def test_littles_law_holds_at_every_point(batch: int, prompt: int, output: int) -> None:
    """Requests inside = rate × time inside."""
    at = Serving(dense(), ON, load(prompt=prompt, output=output)).at(batch)
    assert at.rate * at.end_to_end == pytest.approx(batch)


def test_alone_is_the_curves_first_point() -> None:
    assert alone(dense(), ON, load()) == curve(dense(), ON, room(10), load())[0]


def test_a_prompt_of_others_stretches_the_time_between_tokens() -> None:
    short = Serving(dense(), ON, load(prompt=1)).at(32).per_token
    long = Serving(dense(), ON, load(prompt=4000)).at(32).per_token
    assert long > 1.5 * short


@dataclass(frozen=True)
class Limit:
    name: str
    kv: float
    why: str
    targets: dict[str, float] = field(default_factory=dict)
    smallest: int = 1
    largest: int = 256


LIMITS = (
    Limit("memory", 2, "KV cache", PATIENT, 4, 30),
    Limit("the engine's own bound", 2000, "batch limit", PATIENT, 256),
    Limit("time per token", 2000, "time per token", {"per_token": 0.02}, 20, 200),
    Limit("whole answer", 2000, "end to end", PATIENT | {"end_to_end": 6.0}, 2, 250),
    Limit("a target that one alone misses", 2000, "time per token", {"per_token": 0.001}, 0, 0),
    Limit("a first token that one alone misses", 2000, "first token", {"first_token": 0.001}, 0, 0),
)


@pytest.mark.parametrize("case", LIMITS, ids=lambda case: case.name)
def test_what_limits_the_batch(case: Limit) -> None:
    asked = load(**case.targets)
    found = capacity(dense(), ON, room(case.kv), asked)
    batch = found.best.batch if found.best else 0
    assert found.limited_by == case.why
    assert case.smallest <= batch <= case.largest
    serving = Serving(dense(), ON, asked)
    if batch:
        assert not serving.misses(batch)
    if case.why not in {"KV cache", "batch limit"}:
        assert serving.misses(batch + 1) == case.why


def test_a_first_token_within_reach_limits_the_batch() -> None:
    asked = load(**PATIENT)
    one, all_ = (Serving(dense(), ON, asked).at(batch).first_token_p95 for batch in (1, 256))
    found = capacity(dense(), ON, room(2000), replace(asked, first_token=(one + all_) / 2))
    assert found.limited_by == "first token"
    assert found.best is not None
    assert 1 < found.best.batch < 256


def test_many_requests_need_less_memory_each_than_a_long_one() -> None:
    """For one request its p95 must fit; many come near the mean."""
    asked = load(prompt=1000, output=1000, prompt_p95=3000, output_p95=3000, **PATIENT)
    per_token = 32 * 8 * 2 * 128 * 2 / 2**30
    almost = Serving(dense(), ON, asked)
    assert almost.most(room(5900 * per_token))[0] == 0
    assert almost.most(room(6100 * per_token))[0] == 1
    assert 80 < almost.most(room(100 * 2500 * per_token))[0] < 125


def test_past_the_knee_doubling_no_longer_pays() -> None:
    knee = capacity(dense(), ON, room(2000), load(prompt=4000, output=50, **PATIENT)).knee
    by_batch = {point.batch: point for point in curve(dense(), ON, room(2000), load(prompt=4000, output=50, **PATIENT))}

    def growth(batch: int) -> tuple[float, float]:
        one, two = by_batch[batch], by_batch[batch * 2]
        return (
            math.log(two.requests_per_second.mid / one.requests_per_second.mid),
            math.log(two.end_to_end.mid / one.end_to_end.mid),
        )

    assert 1 <= knee.batch < 256
    throughput, latency = growth(knee.batch)
    assert throughput < latency / 2
    if knee.batch > 1:
        throughput, latency = growth(knee.batch // 2)
        assert throughput >= latency / 2


def test_an_embedding_model_generates_nothing() -> None:
    point = alone(replace(dense(), task="embed"), ON, load())
    assert point.tokens_per_second.mid == point.per_token.mid == 0
    assert point.end_to_end.mid == pytest.approx(point.first_token.mid)
    assert point.requests_per_second.mid > 10


def test_explain_shows_the_figures_that_decide() -> None:
    found = capacity(dense(), ON, room(4), load())
    text = "\n".join(explain(dense(), ON, room(4), load(), found))
    for part in (
        "a prompt of 1024 tokens takes",
        "for reading weights",
        "at most ",
        "(KV cache)",
        "limited by KV cache",
    ):
        assert part in text
    asked = load(per_token=0.001)
    text = "\n".join(explain(dense(), ON, room(4), asked, capacity(dense(), ON, room(4), asked)))
    assert "one request alone misses the target: time per token" in text


def test_two_gpus_carry_more_than_one_and_less_than_two() -> None:
    one, two = (
        capacity(dense(), on(LARGE, max_num_seqs=64, tensor_parallel=ranks), room(500), load(**PATIENT)).best
        for ranks in (1, 2)
    )
    assert one is not None
    assert two is not None
    assert one.tokens_per_second.mid < two.tokens_per_second.mid < 2 * one.tokens_per_second.mid
