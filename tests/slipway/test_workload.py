from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import SizingError
from slipway.workload import FullWorkload, Served, Workload, assume, read_requests
from slipway.workload.assumptions import quiet_share
from slipway.workload.types import Lengths, Task

DAY = [1.0] * 12 + [0.0] * 12


def full(**given: Any) -> FullWorkload:
    return assume(Workload.model_validate(given))


def test_nothing_is_needed_to_start_and_every_assumption_is_told() -> None:
    workload = full()
    assert {assumption.name for assumption in workload.assumed} == {
        "mode", "prompt.mean", "prompt.p95", "output.mean", "output.p95", "context", "first_token", "per_token",
        "requests_per_second", "profile", "idle_share", "complexity",
    }  # fmt: skip
    assert all(assumption.value and assumption.why for assumption in workload.assumed)
    assert (workload.peak, workload.mean, workload.context) == (1, 1, 4096)


def test_what_was_given_is_not_assumed() -> None:
    workload = full(
        mode="real-time", requests_per_second=3, profile=[3.0] * 168, prompt={"mean": 500, "p95": 900},
        output={"mean": 100, "p95": 300}, context=8000, first_token="1s", per_token="50ms", end_to_end="20s",
        idle_share=0, complexity="low", concurrency=9,
    )  # fmt: skip
    assert workload.assumed == ()
    assert (workload.first_token, workload.per_token, workload.end_to_end) == (1.0, 0.05, 20.0)


@pytest.mark.parametrize(
    ("given", "first_token", "per_token"),
    [
        ({}, 2.0, 0.1),
        ({"end_to_end": "100s"}, 2.0, 98 / 768),
        ({"end_to_end": "4s"}, 1.0, 3 / 768),
        ({"end_to_end": "30s", "first_token": "500ms"}, 0.5, 29.5 / 768),
        ({"end_to_end": "10s", "per_token": "20ms", "output": {"mean": 100, "p95": 400}}, 2.0, 0.02),
        ({"mode": "batch"}, math.inf, math.inf),
    ],
)
def test_targets(given: dict[str, Any], first_token: float, per_token: float) -> None:
    workload = full(**given)
    assert workload.first_token == pytest.approx(first_token)
    assert workload.per_token == pytest.approx(min(per_token, 0.1) if given.get("mode") != "batch" else per_token)


def test_the_rate_follows_from_requests_at_once() -> None:
    workload = full(concurrency=46, output={"mean": 210})
    assert workload.peak == pytest.approx(46 / (2 + 21))
    assert "Little" in next(a.why for a in workload.assumed if a.name == "requests_per_second")


def test_idle_hours_become_a_week() -> None:
    workload = full(requests_per_second=2, idle_share=0.75)
    assert len(workload.profile) == 168
    assert sum(rate == 0 for rate in workload.profile) == 126
    assert workload.profile[12:20] == (0, 0, 2, 2, 2, 2, 2, 2)
    assert (workload.peak, workload.idle_share) == (2, 0.75)
    assert max(full(idle_share=0.999).profile) > 0


def test_few_requests_leave_hours_idle() -> None:
    assert full(requests_per_second=10 / 86400).idle_share == pytest.approx(0.66, abs=0.01)
    assert quiet_share(tuple(DAY)) == 0.5


def test_tuning_needs_nothing_either() -> None:
    workload = full(purpose="qlora")
    assert (workload.mode, workload.context, workload.peak) == ("batch", 2048, 0)
    assert full(purpose="lora", prompt={"mean": 300, "p95": 600}, output={"mean": 100}).context == 700


@pytest.mark.parametrize(
    ("given", "sides"),
    [
        ({"prompt": {"mean": 500, "p95": 400}}, "p95 400 < mean 500"),
        ({"output": {"mean": 10, "p95": 201}}, "p95 201 > 20 × mean 10 = 200"),
        (
            {"context": 2048, "prompt": {"mean": 1000, "p95": 1900}, "output": {"mean": 100, "p95": 200}},
            "context 2048 < prompt p95 1900 + output p95 200 = 2100",
        ),
        ({"context": 100, "prompt": {"mean": 100}}, "context 100 < prompt mean 100 + output mean 1 = 101"),
        ({"context": 1}, "context 1 < prompt mean 1 + output mean 1 = 2"),
        (
            {"end_to_end": "5s", "first_token": "1s", "per_token": "100ms", "output": {"mean": 50}},
            "5s < first_token 1s + per_token 100ms × output 50 = 6s",
        ),
        ({"end_to_end": "1s", "first_token": "2s"}, "1s < first_token 2s"),
        ({"end_to_end": "2s", "first_token": "2s"}, "2s = first_token 2s"),
        ({"end_to_end": "2s", "per_token": "1s", "output": {"mean": 3}}, "2s < per_token 1s × output 3 = 3s"),
        ({"first_token": 0}, "nothing answers in no time"),
        ({"mode": "batch", "per_token": "50ms"}, "nobody waits"),
        ({"mode": "batch", "first_token": "1s"}, "nobody waits"),
        ({"requests_per_second": 0}, "no requests at all"),
        ({"profile": [0.0] * 24}, "no requests in any hour"),
        ({"profile": [1.0] * 23}, "23 hours"),
        ({"profile": []}, "0 hours"),
        ({"profile": DAY, "requests_per_second": 2}, "2 ≠ 1"),
        ({"profile": DAY, "idle_share": 0.1}, "10% ≠ 50%"),
        ({"profile": [1e-4] * 24, "idle_share": 0.9}, "90% ≠ 0% to 70%"),
        ({"purpose": "lora", "mode": "real-time"}, "answers nobody"),
        ({"purpose": "full", "first_token": "1s"}, "answers nobody"),
        ({"purpose": "qlora", "requests_per_second": 1}, "answers nobody"),
    ],
)
def test_contradictions_show_both_sides(given: dict[str, Any], sides: str) -> None:
    with pytest.raises(SizingError) as error:
        full(**given)
    assert sides in str(error.value)
    assert error.value.where.startswith("workload.")


lengths = st.none() | st.integers(1, 5000).flatmap(
    lambda mean: st.builds(Lengths, mean=st.just(mean), p95=st.none() | st.integers(mean, 20 * mean))
)
seconds = st.none() | st.integers(1, 10**6).map(lambda milliseconds: f"{milliseconds}ms")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "purpose": st.sampled_from(["inference", "full", "lora", "qlora"]),
            "mode": st.sampled_from(["real-time", "batch", None]),
            "requests_per_second": st.none() | st.floats(0, 1e6),
            "profile": st.none() | st.lists(st.floats(0, 100), min_size=24, max_size=24),
            "prompt": lengths,
            "output": lengths,
            "context": st.none() | st.integers(1, 200_000),
            "concurrency": st.none() | st.integers(1, 1000),
            "first_token": seconds,
            "per_token": seconds,
            "end_to_end": seconds,
            "idle_share": st.none() | st.floats(0, 1, exclude_max=True),
        },
    )
)
def test_a_full_workload_is_consistent_or_refused(given: dict[str, Any]) -> None:
    try:
        workload = full(**given)
    except SizingError:
        return
    assert 1 <= workload.prompt_mean <= workload.prompt_p95
    assert 1 <= workload.output_mean <= workload.output_p95
    assert len(workload.profile) in (24, 168)
    assert workload.first_token > 0
    assert workload.per_token > 0
    assert 0 <= workload.idle_share <= 1
    if workload.purpose == "inference":
        assert workload.prompt_p95 + workload.output_p95 <= workload.context
        assert workload.peak > 0


def lines(*requests: dict[str, Any]) -> str:
    return "\n".join(map(json.dumps, requests))


def test_real_requests() -> None:
    found = read_requests(lines(*({"prompt_tokens": n, "completion_tokens": 2 * n} for n in range(1, 101))))
    assert (found.count, found.prompt, found.output) == (100, Lengths(mean=51, p95=95), Lengths(mean=101, p95=190))
    assert (found.longest, found.profile, found.requests_per_second) == (300, None, None)
    workload = assume(found.fill(Workload(requests_per_second=1)))
    assert (workload.prompt_p95, workload.output_p95, workload.context) == (95, 190, 300)


@pytest.mark.parametrize(
    "request_",
    [
        {"prompt_tokens": 7, "completion_tokens": 3},
        {"id": "chatcmpl-1", "created": 1767225600, "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
        {"created_at": 1767225600, "usage": {"input_tokens": 7, "output_tokens": 3}},
        {"timestamp": "2026-01-01T00:00:00Z", "prompt_tokens": 7, "completion_tokens": 3},
        {"timestamp": 1767225600000, "prompt_tokens": 7, "completion_tokens": 3},
    ],
)
def test_forms_of_a_request(request_: dict[str, Any]) -> None:
    found = read_requests(lines(request_) + "\n\n")
    assert (found.prompt.mean, found.output.mean) == (7, 3)


def test_embeddings_have_no_answer() -> None:
    assert read_requests('{"usage": {"prompt_tokens": 9, "total_tokens": 9}}').output == Lengths(mean=1, p95=1)


def test_hours_of_a_week() -> None:
    monday = 1767571200  # 2026-01-05T00:00Z
    requests = [
        {"timestamp": monday + hour * 3600 + minute * 60, "prompt_tokens": 1, "completion_tokens": 1}
        for hour in range(24 * 7)
        for minute in range(0, 60, 10 if hour % 24 == 9 else 60)
    ]
    requests.append({"timestamp": monday + 7 * 86400, "prompt_tokens": 1, "completion_tokens": 1})
    found = read_requests(lines(*requests))
    assert found.profile is not None
    assert len(found.profile) == 168
    assert found.profile[9] == pytest.approx(6 / 3600)
    assert found.profile[10] == pytest.approx(1 / 3600)
    assert found.requests_per_second == pytest.approx(6 / 3600)
    assert found.fill(Workload()).profile == found.profile


def test_less_than_a_day_is_its_busiest_hour() -> None:
    times = [0, 1000, 2000, 9000, 9001, 9002, 9003, 9004]
    found = read_requests(lines(*({"created": t, "prompt_tokens": 1, "completion_tokens": 1} for t in times)))
    assert found.profile is None
    assert found.requests_per_second == pytest.approx(5 / 3600)
    assert "less than a day" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no request in it"),
        ("\n \n", "no request in it"),
        ('{"prompt_tokens": 1, "completion_tokens": 1}\n{"prompt_tokens": 1', "line 2: no JSON"),
        ("[]", "line 1: no object"),
        ("[" * 100_000, "line 1: no JSON"),
        ("9" * 5000, "line 1: no JSON"),
        ('{"usage": 3}', "line 1"),
        ('{"prompt_tokens": -1, "completion_tokens": 1}', "line 1: prompt_tokens is -1"),
        ('{"prompt_tokens": 1e3, "completion_tokens": 1}', "line 1: prompt_tokens is 1000.0"),
        ('{"prompt_tokens": true, "completion_tokens": 1}', "line 1: prompt_tokens is True"),
        ('{"prompt_tokens": 5}', 'line 1: no "completion_tokens"'),
        ('{"prompt_tokens": 5, "completion_tokens": 1, "created": "noon"}', "'noon' is no time"),
        ('{"prompt_tokens": 5, "completion_tokens": 1, "created": NaN}', "nan is no time"),
        ('{"prompt_tokens": 5, "completion_tokens": 1, "created": 1e300}', "1e+300 is no time"),
        ("x\n" * 9, "line 5: no JSON; and 4 more"),
        (
            lines(
                {"prompt_tokens": 5, "completion_tokens": 1, "created": 0},
                {"prompt_tokens": 5, "completion_tokens": 1, "created": 1767225600},
            ),
            "1970-01-01 to 2026-01-01",
        ),
        (
            lines(
                {"prompt_tokens": 5, "completion_tokens": 1, "created": 9},
                {"prompt_tokens": 5, "completion_tokens": 1},
            ),
            "1 of 2 lines have no timestamp",
        ),
    ],
)
def test_bad_request_files(text: str, what: str) -> None:
    with pytest.raises(SizingError) as error:
        read_requests(text, where="requests.jsonl")
    assert what in str(error.value)
    assert str(error.value).startswith("requests.jsonl: ")


@given(st.text() | st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(SizingError):
        read_requests(text)


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000), st.floats(-1e6, 3e7)), min_size=1))
def test_what_a_file_says_is_a_consistent_workload(rows: list[tuple[int, int, float]]) -> None:
    text = lines(*({"prompt_tokens": p, "completion_tokens": c, "created": max(t, 0)} for p, c, t in rows))
    workload = assume(read_requests(text).fill(Workload()))
    assert workload.prompt_p95 + workload.output_p95 <= workload.context
    assert workload.peak > 0


@pytest.mark.parametrize(
    ("task", "context", "lengths"),
    [
        ("generate", None, (1024, 3072, 256, 768, 4096)),
        ("generate", 131072, (1024, 3072, 256, 768, 4096)),
        ("generate", 2048, (546, 1638, 136, 409, 2048)),
        ("embed", 512, (256, 512, 0, 0, 512)),
        ("embed", 8192, (256, 512, 0, 0, 512)),
        ("embed", 256, (128, 256, 0, 0, 256)),
        ("rerank", 512, (256, 512, 0, 0, 512)),
        ("transcribe", 448, (4, 4, 100, 224, 448)),
    ],
)
def test_what_is_assumed_follows_the_model(task: Task, context: int | None, lengths: tuple[int, ...]) -> None:
    found = assume(Workload(), Served(task, context))
    assert (found.prompt_mean, found.prompt_p95, found.output_mean, found.output_p95, found.context) == lengths
    assert all(item.why for item in found.assumed)


@pytest.mark.parametrize("task", ["embed", "rerank"])
def test_an_answer_without_tokens_has_no_time_per_token(task: Task) -> None:
    found = assume(Workload(), Served(task, 512))
    assert (found.first_token, found.per_token) == (2.0, math.inf)
    why = {item.name: item.why for item in found.assumed}
    assert "not tokens" in why["output.mean"]
    assert "all at once" in why["first_token"]
    assert "per_token" not in why


def test_what_was_said_of_tokens_that_there_are_not_is_left_out_aloud() -> None:
    said = Workload.model_validate({"output": {"mean": 100}, "per_token": "100ms", "end_to_end": "20s"})
    found = assume(said, Served("embed", 512))
    why = {item.name: item.why for item in found.assumed}
    assert (found.output_mean, found.per_token, found.first_token) == (0, math.inf, 20.0)
    assert "what was given of it does not count" in why["output.mean"]
    assert "no token follows" in why["per_token"]
    assert assume(Workload(mode="batch"), Served("embed", 512)).first_token == math.inf
    assert assume(Workload(concurrency=8), Served("embed", 512)).peak == 4.0


@given(
    st.sampled_from(["generate", "embed", "rerank", "transcribe"]),
    st.integers(8, 200_000),
    st.none() | st.integers(1, 300_000),
    st.none() | st.integers(1, 300_000),
)
def test_assumptions_never_exceed_the_model(task: Task, context: int, prompt: int | None, output: int | None) -> None:
    """What was given may: then the offers say so."""
    said = Workload(prompt=Lengths(mean=prompt) if prompt else None, output=Lengths(mean=output) if output else None)
    found = assume(said, Served(task, context))
    answer = 0 if task in ("embed", "rerank") else output or 1
    assert found.prompt_p95 + found.output_p95 <= found.context
    if (prompt or 1) + answer <= context:
        assert found.context <= context
    assert found.prompt_mean <= found.prompt_p95
    assert found.output_mean <= found.output_p95


def test_training_examples_are_no_longer_than_the_model() -> None:
    assert assume(Workload(purpose="lora"), Served("embed", 512)).context == 512
    assert assume(Workload(purpose="lora"), Served("generate", 131072)).context == 2048
