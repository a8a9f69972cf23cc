"""What a gate reads of metrics, and when it calls a host worse than it was."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.plugin.resources.judgement import (
    Baseline,
    Fault,
    Figures,
    Finding,
    Reading,
    SystemdUnit,
    baselines,
    figures,
    judge,
    kept_times,
    known_times,
    repeated,
    unwell,
)
from bootstrap.plugin.resources.traffic import Engine, Traffic, parse_engine, parse_metrics, since
from slipway.limits import Limits

METRICS = Path(__file__).parent / "metrics"
LIMITS = Limits()
URL = "http://127.0.0.1:9000/metrics"
UNIT = "slipway-engine-0.service"


@pytest.mark.parametrize("path", sorted(METRICS.glob("*.txt")), ids=lambda path: path.stem)
def test_expositions(path):
    read = parse_metrics if path.name.startswith("haproxy") else parse_engine
    found = asdict(read(path.read_text()))
    assert {name: value for name, value in found.items() if value} == json.loads(
        path.with_suffix(".expected").read_text()
    )


def test_metrics_of_something_else_are_refused():
    with pytest.raises(ValueError, match="haproxy_backend_total_time_average_seconds"):
        parse_metrics("up 1\n")


def reading(requests=0, errors=0, latency=0.0, first_byte=0.0, units=None, faults=(), **engine):
    return Reading(
        Traffic(requests, errors, latency, first_byte),
        "",
        {URL: Engine(**engine)} if engine else {},
        units or {},
        faults,
    )


TOKENS = {"first_token_seconds": 10, "first_tokens": 100, "token_seconds": 20, "tokens": 2000}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"requests": 100, "errors": 3}, {"requests": 100, "errors": 3}),
        ({"requests": 100, "errors": 3}, {"requests": 150, "errors": 4}, {"requests": 50, "errors": 1}),
        # restarted in between: any counter that fell says so
        ({"requests": 500, "errors": 2}, {"requests": 100, "errors": 0}, {"requests": 100}),
        ({"requests": 50, "errors": 9}, {"requests": 100, "errors": 1}, {"requests": 100, "errors": 1}),
        # the proxy's averages hold once it has settled
        ({"requests": 900}, {"requests": 1000, "latency": 0.2, "first_byte": 0.1}, {"requests": 100}),
        (
            {"requests": 1000, "latency": 0.9},
            {"requests": 1100, "latency": 0.2, "first_byte": 0.1},
            {"requests": 100, "latency": 0.2, "first_byte": 0.1},
        ),
        ({"requests": 2000}, {"requests": 2019, "latency": 0.2}, {"requests": 19}),
        ({}, TOKENS, {"first_token": 0.1, "per_token": 0.01}),
        (TOKENS, {**TOKENS, "first_tokens": 119, "tokens": 2199}, {}),
        (
            TOKENS,
            {"first_token_seconds": 16, "first_tokens": 120, "token_seconds": 22, "tokens": 2200},
            {"first_token": 0.3, "per_token": 0.01},
        ),
        (TOKENS, {"first_token_seconds": 4, "first_tokens": 20}, {"first_token": 0.2}),
        # llama.cpp has no count of requests; the proxy has
        ({"prompt_seconds": 1}, {"requests": 40, "prompt_seconds": 5}, {"requests": 40, "first_token": 0.1}),
        ({"prompt_seconds": 1}, {"requests": 4, "prompt_seconds": 5}, {"requests": 4}),
        ({}, {"finished": 50, "failed": 2}, {"finished": 50, "failed": 2}),
    ],
)
def test_figures(before, after, expected):
    assert figures(reading(**before), reading(**after), 20) == Figures(**expected)


def test_an_engine_that_answers_only_now_counts_from_zero():
    seen = figures(Reading(Traffic()), reading(**TOKENS), 20)
    assert seen.per_token == 0.01
    assert figures(reading(**TOKENS), Reading(Traffic()), 20) == Figures()


HELD = {
    "latency": Baseline(1.0, "when this gate passed last"),
    "first_byte": Baseline(0.5, "when this gate passed last"),
    "first_token": Baseline(0.5, "h3, not yet changed, over the same time"),
    "per_token": Baseline(0.010, "when this gate passed last"),
}


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Figures(100, 1), None),
        (Figures(100, 2), r"2 of 100 responses were 5xx or broke off, 2\.00% > 1\.00% \(limits\.errors\)"),
        (Figures(19, 19), None),
        (Figures(0, 0), None),
        (Figures(finished=100, failed=2), r"2 of 100 requests failed in the engine, 2\.00% > 1\.00%"),
        (Figures(latency=1.5), None),
        (Figures(latency=1.6), r"mean latency is 1\.6000 s > 1\.0000 s \(when this gate passed last\) times 1\.5 "),
        (Figures(first_byte=0.8), r"first byte \(proxy\) is 0\.8000 s > 0\.5000 s .*\(limits\.first_token\)"),
        (Figures(first_token=0.7), None),
        (Figures(first_token=0.8), r"0\.8000 s > 0\.5000 s \(h3, not yet changed, over the same time\) times 1\.5"),
        (Figures(per_token=0.012), None),
        (
            Figures(per_token=0.013),
            r"output token \(engine\) is 0\.0130 s > 0\.0100 s .* times 1\.25 \(limits\.per_token\)",
        ),
    ],
)
def test_what_is_worse_than_the_baseline(seen, reason):
    found = judge(reading(), reading(), seen, HELD, LIMITS)
    assert found == () if reason is None else re.search(reason, found[0].text)
    assert not any(finding.certain for finding in found)


@pytest.mark.parametrize(
    ("name", "held", "value"), [("first_token", 0.004, 0.040), ("per_token", 0.001, 0.0029), ("latency", 0.0, 9.0)]
)
def test_noise_is_no_regression(name, held, value):
    baseline = baselines({name: held}, {})
    assert judge(reading(), reading(), Figures(**{name: value}), baseline, LIMITS) == ()


def test_without_a_baseline_times_are_not_judged():
    assert judge(reading(), reading(), Figures(1000, 0, 99.0, 99.0, 99.0, 99.0), {}, LIMITS) == ()


def unit(restarts=0, active="active", started=1000.0):
    return {UNIT: SystemdUnit(active, restarts, started)}


XID = Fault("1970-01-01T00:00:30+0000", "0000:01:00", 79, "GPU has fallen off the bus.")


@pytest.mark.parametrize(
    ("first", "latest", "reason"),
    [
        (reading(units=unit()), reading(units=unit()), None),
        (reading(units=unit(3)), reading(units=unit(3)), None),
        (reading(units=unit(3)), reading(units=unit(4)), r"slipway-engine-0\.service was restarted 1 time by .*1 > 0"),
        (reading(), reading(units=unit(2)), "restarted 2 times"),
        (None, reading(units=unit(2)), None),
        (None, reading(units=unit(active="failed")), "is failed, not active"),
        (reading(units=unit(3)), reading(units=unit(0)), None),
        (reading(units=unit()), reading(units=unit(active="failed")), "is failed, not active"),
        (reading(), reading(faults=(XID,)), "Xid 79 of GPU 0000:01:00: GPU has fallen off the bus"),
        (None, reading(faults=(XID,)), "Xid 79"),
        (reading(faults=(XID,)), reading(faults=(XID,), units=unit()), None),
        (reading(faults=(XID,)), reading(faults=(XID,), units=unit(started=29.0)), "Xid 79"),
        (reading(faults=(replace(XID, at="[30.1]"),)), reading(faults=(replace(XID, at="[30.1]"),)), None),
        (reading(), Reading(None, "nobody there"), "nobody there"),
    ],
)
def test_who_is_unwell(first, latest, reason):
    found = tuple(unwell(first, latest))
    assert found == () if reason is None else re.search(reason, found[0].text)
    assert all(finding.certain for finding in found)


def test_the_last_passage_goes_before_the_peers_whose_median_counts():
    peers = {"h3": Figures(per_token=0.02), "h2": Figures(per_token=0.01, latency=1.0), "h4": Figures(per_token=0.09)}
    assert baselines({"latency": 2.0}, peers) == {
        "latency": Baseline(2.0, "when this gate passed last"),
        "per_token": Baseline(0.02, "the median of h2, h3, h4, not yet changed, over the same time"),
    }
    assert baselines({}, {"h2": peers["h2"]})["latency"].source == "h2, not yet changed, over the same time"


def test_a_passage_keeps_what_it_saw_and_what_it_did_not_see_of_before():
    last = known_times({"h1": {"per_token": 0.01}}, {"h1": 0.5, "h2": 0.7})
    assert last == {"h1": {"per_token": 0.01}, "h2": {"latency": 0.7}}
    kept = kept_times(last, {"h1": Figures(first_token=0.2), "h2": Figures(latency=0.6)})
    assert kept == {"h1": {"per_token": 0.01, "first_token": 0.2}, "h2": {"latency": 0.6}}


def test_before_the_end_a_ratio_has_to_be_seen_twice():
    ratio, other, certain = Finding("errors", "a"), Finding("latency", "b"), Finding("xid", "c", certain=True)
    assert repeated((ratio, certain), ()) == (certain,)
    assert repeated((ratio, other), (replace(ratio, text="earlier"),)) == (ratio,)


counts = st.integers(min_value=0, max_value=10**6)
engines = st.builds(Engine, *[counts] * 7)


@given(before=engines, after=engines)
def test_nothing_is_counted_below_zero_or_above_what_is_there(before, after):
    between = since(before, after)
    assert all(0 <= value <= getattr(after, name) for name, value in asdict(between).items())


@given(before=engines, more=engines)
def test_what_was_added_is_what_is_seen(before, more):
    added = Engine(*(old + new for old, new in zip(vars(before).values(), vars(more).values(), strict=True)))
    assert since(before, added) == more
    assert since(Engine(), more) == more
