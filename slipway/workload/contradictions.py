"""What cannot be true of a workload all at once, as sentences that show both sides."""

from __future__ import annotations

import math
from typing import NoReturn

from slipway.errors import SizingError
from slipway.units import format_duration
from slipway.workload.types import Lengths, Workload

PROFILE_LENGTHS = (24, 168)
SLACK = 0.05
"""what counts as the same rate, and as the same share of hours"""


def _refuse(what: str, key: str, fix: str) -> NoReturn:
    raise SizingError(what, where=f"workload.{key}", fix=fix)


def refuse_contradictions(workload: Workload) -> None:
    """Raises SizingError for the first thing that cannot be."""
    for name, lengths in (("prompt", workload.prompt), ("output", workload.output)):
        if lengths is not None:
            _lengths(name, lengths)
    _context(workload)
    if workload.purpose != "inference":
        _tuning(workload)
        return
    _targets(workload)
    _traffic(workload)


def _lengths(name: str, lengths: Lengths) -> None:
    if lengths.p95 is None:
        return
    if lengths.p95 < lengths.mean:
        _refuse(
            f"p95 {lengths.p95} < mean {lengths.mean} tokens", name, "Give a p95 from the mean upwards, or leave it out"
        )
    # One of twenty requests has at least p95 tokens, so the mean is at least a twentieth of it.
    if lengths.p95 > 20 * lengths.mean:
        _refuse(
            f"p95 {lengths.p95} > 20 × mean {lengths.mean} = {20 * lengths.mean} tokens, which no set of lengths has",
            name,
            "Correct one of the two",
        )


def _context(workload: Workload) -> None:
    if workload.context is None:
        return
    sides = []
    total = 0
    for name, lengths in (("prompt", workload.prompt), ("output", workload.output)):
        # What nobody gave is at least one token long.
        total += (lengths.p95 or lengths.mean) if lengths else 1
        kind, tokens = ("p95", lengths.p95) if lengths and lengths.p95 else ("mean", lengths.mean if lengths else 1)
        sides.append(f"{name} {kind} {tokens}")
    if workload.context < total:
        what = f"context {workload.context} < {' + '.join(sides)} = {total} tokens"
        _refuse(what, "context", "Raise the context, or shorten requests")


def _tuning(workload: Workload) -> None:
    fix = 'Leave it out, or write purpose: "inference"'
    if workload.mode == "real-time":
        _refuse(
            f"real-time, but {workload.purpose} fine-tuning answers nobody", "mode", 'Write "batch", or leave it out'
        )
    for key in (
        "first_token",
        "per_token",
        "end_to_end",
        "requests_per_second",
        "profile",
        "concurrency",
        "idle_share",
    ):
        if getattr(workload, key) is not None:
            _refuse(f"given, but {workload.purpose} fine-tuning answers nobody", key, fix)


def _targets(workload: Workload) -> None:
    first, each, whole = workload.first_token, workload.per_token, workload.end_to_end
    for key, value in (("first_token", first), ("per_token", each), ("end_to_end", whole)):
        if value is not None and value <= 0:
            _refuse(
                "0s, but nothing answers in no time", key, 'Give a time such as "2s", or leave it out for no target'
            )
        if value is not None and key != "end_to_end" and workload.mode == "batch":
            _refuse(
                f"{format_duration(value)}, but in a batch workload nobody waits for a token",
                key,
                'Leave it out, or write mode: "real-time"',
            )
    if whole is None:
        return
    tokens = workload.output.mean if workload.output else 1
    parts, least = [], 0.0
    if first is not None:
        parts.append(f"first_token {format_duration(first)}")
        least += first
    if each is not None and workload.output is not None:
        parts.append(f"per_token {format_duration(each)} × output {tokens}")
        least += each * tokens
    # Together they allow more than the whole may take: one of the three is not meant.
    if parts and (whole < least or (whole <= least and each is None)):
        sign = "<" if whole < least else "="
        sum_ = f" = {format_duration(least)}" if len(parts) == 2 or "×" in parts[0] else ""
        _refuse(
            f"{format_duration(whole)} {sign} {' + '.join(parts)}{sum_}",
            "end_to_end",
            "Raise it, lower the others, or leave one out: it is then derived",
        )


def _traffic(workload: Workload) -> None:
    rate, profile, idle = workload.requests_per_second, workload.profile, workload.idle_share
    if rate == 0:
        _refuse(
            "no requests at all: there is nothing to size", "requests_per_second", "Give the rate of the busiest hour"
        )
    if profile is None:
        return
    if len(profile) not in PROFILE_LENGTHS:
        _refuse(f"{len(profile)} hours", "profile", "Give 24 values for a day, or 168 for a week")
    if not any(profile):
        _refuse("no requests in any hour: there is nothing to size", "profile", "Give the rate of at least one hour")
    peak = max(profile)
    if rate is not None and abs(rate - peak) > SLACK * peak:
        _refuse(f"{rate:g} ≠ {peak:g}, the busiest hour of the profile", "requests_per_second", "Leave one of them out")
    if idle is None:
        return
    # An hour with a rate above 0 may still pass without a request: none comes with probability exp(-3600 × rate).
    least = sum(value == 0 for value in profile) / len(profile)
    most = sum(math.exp(-3600 * value) for value in profile) / len(profile)
    if not least - SLACK <= idle <= most + SLACK:
        says = f"{least:.0%}" if most - least < SLACK else f"{least:.0%} to {most:.0%}"
        _refuse(
            f"{idle:.0%} ≠ {says}, the share of the profile's hours without requests",
            "idle_share",
            "Leave one of them out",
        )
