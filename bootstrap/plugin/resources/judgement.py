"""What a gate reads of a host, and whether it is worse than it was. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bootstrap.plugin.resources.traffic import SETTLED, Engine, Traffic, since
from slipway.limits import Limits

LATENCY_NOISE = 0.05
"""seconds: means of whole requests that differ by less do not show"""
TOKEN_NOISE = 0.002
"""seconds a token, likewise"""
TOKENS_A_REQUEST = 10
"""a mean over fewer tokens for each of `min_requests` says nothing"""

ENGINE = "slipway-engine-"
"""how the names of the engines' units begin: slipway.plan_types.ReplicaPlan"""

TIMES = ("latency", "first_byte", "first_token", "per_token")


@dataclass(frozen=True)
class SystemdUnit:
    """`started`: seconds since 1970 of the last start of its process, 0 when it never was."""

    active: str
    restarts: int
    started: float = 0.0


@dataclass(frozen=True)
class Fault:
    """One Xid of the kernel log that is the GPU's, its driver's or its links'."""

    at: str
    address: str
    code: int
    said: str = ""

    @property
    def seconds(self) -> float | None:
        """`at` in seconds since 1970; None where the log has it otherwise."""
        try:
            return datetime.fromisoformat(self.at).timestamp()
        except ValueError:
            return None


@dataclass(frozen=True)
class Reading:
    """One look at a host. `unread` is why the proxy's metrics could not be read."""

    proxy: Traffic | None
    unread: str = ""
    engines: Mapping[str, Engine] | None = None
    """by metrics URL; one that did not answer is absent"""
    units: Mapping[str, SystemdUnit] | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Figures:
    """What happened on a host between two readings. Times are means in seconds; None where too little was seen."""

    requests: float = 0.0
    errors: float = 0.0
    latency: float | None = None
    first_byte: float | None = None
    """of the proxy: queue, and until an engine's answer began"""
    first_token: float | None = None
    """of the engine"""
    per_token: float | None = None
    finished: float = 0.0
    """requests that the engines ended, and those that they ended in failure"""
    failed: float = 0.0

    @property
    def times(self) -> dict[str, float]:
        """The means that are known."""
        return {name: value for name in TIMES if (value := getattr(self, name)) is not None}

    def __str__(self) -> str:
        words = {"latency": "latency", "first_byte": "first byte", "first_token": "first token", "per_token": "a token"}
        times = [f"{words[name]} {value:.4g} s" for name, value in self.times.items()]
        return ", ".join((f"{self.requests:.0f} requests", f"{self.errors:.0f} errors", *times))


@dataclass(frozen=True)
class Baseline:
    """What a time is held against: its value in seconds, and where it is from."""

    value: float
    source: str


@dataclass(frozen=True)
class Finding:
    """Why the gate stays shut. `certain`: waiting longer cannot make it better; a ratio of few requests can."""

    kind: str
    text: str
    certain: bool = False


def figures(before: Reading, after: Reading, min_requests: int) -> Figures:
    """What was counted between two readings; a process that was restarted in between counts from zero."""
    traffic = since(before.proxy or Traffic(), after.proxy or Traffic(), "latency", "first_byte")
    earlier = before.engines or {}
    engines = [since(earlier.get(url, Engine()), engine) for url, engine in (after.engines or {}).items()]
    total = Engine(*(sum(values) for values in zip(*(vars(engine).values() for engine in engines), strict=True)))
    few = max(min_requests, 1)
    settled = traffic.requests >= few and after.proxy is not None and after.proxy.requests >= SETTLED
    first = _mean(total.first_token_seconds, total.first_tokens, few)
    if first is None and total.prompt_seconds and not total.first_tokens:
        first = _mean(total.prompt_seconds, traffic.requests, few)
    return Figures(
        traffic.requests,
        traffic.errors,
        latency=traffic.latency if settled else None,
        first_byte=traffic.first_byte if settled else None,
        first_token=first,
        per_token=_mean(total.token_seconds, total.tokens, few * TOKENS_A_REQUEST),
        finished=total.finished,
        failed=total.failed,
    )


def baselines(last: Mapping[str, float], peers: Mapping[str, Figures]) -> dict[str, Baseline]:
    """For each time: what it was when the gate passed last (`last`), else the median of hosts not yet changed."""
    found = {}
    for name in TIMES:
        if last.get(name):
            found[name] = Baseline(last[name], "when this gate passed last")
        elif known := {host: seen.times[name] for host, seen in peers.items() if name in seen.times}:
            found[name] = Baseline(statistics.median(known.values()), _peers(sorted(known)))
    return found


def judge(
    first: Reading, latest: Reading, seen: Figures, baseline: Mapping[str, Baseline], limits: Limits
) -> tuple[Finding, ...]:
    """Everything that is worse than it may be, the certain first."""
    return (*unwell(first, latest), *_errors(seen, limits), *_times(seen, baseline, limits))


def unwell(first: Reading | None, latest: Reading) -> Iterator[Finding]:
    """Units that were restarted since the first reading, or are down, Xids, and a proxy that says nothing.

    Without a first reading restarts say nothing: systemd counts them for as long as a unit lives, and a host that joins
    a new wave may have had one last month. What starts with a service is the health gate's to watch.
    """
    earlier = (first.units if first else None) or {}
    for name, unit in (latest.units or {}).items():
        known = earlier.get(name, replace(unit, restarts=0)) if first else unit
        if unit.restarts > known.restarts:
            times = unit.restarts - known.restarts
            text = f"{name} was restarted {times} time{'s' if times > 1 else ''} by systemd, {times} > 0"
            yield Finding("restart", text, certain=True)
        elif unit.active == "failed":
            yield Finding("restart", f"{name} is failed, not active", certain=True)
    for fault in _new(first, latest):
        said = f": {fault.said}" if fault.said else ""
        yield Finding("xid", f"the kernel log has Xid {fault.code} of GPU {fault.address}{said}", certain=True)
    if latest.proxy is None:
        yield Finding("proxy", latest.unread, certain=True)


def _new(first: Reading | None, latest: Reading) -> Iterator[Fault]:
    """Those that the first reading had not, and those since the engines were started: what a change breaks, it often
    breaks while the model is loaded."""
    known = set(first.faults) if first else set()
    units = (latest.units or {}).items()
    started = min((unit.started for name, unit in units if ENGINE in name and unit.started), default=0.0)
    for fault in latest.faults:
        at = fault.seconds
        if fault not in known or (started and at is not None and at >= started):
            yield fault


def _errors(seen: Figures, limits: Limits) -> Iterator[Finding]:
    few = max(limits.min_requests, 1)
    for kind, errors, requests, what in (
        ("errors", seen.errors, seen.requests, "responses were 5xx or broke off"),
        ("engine errors", seen.failed, seen.finished, "requests failed in the engine"),
    ):
        if requests >= few and errors / requests > limits.errors:
            ratio = f"{errors / requests:.2%} > {limits.errors:.2%} (limits.errors)"
            yield Finding(kind, f"{errors:.0f} of {requests:.0f} {what}, {ratio}")


def _times(seen: Figures, baseline: Mapping[str, Baseline], limits: Limits) -> Iterator[Finding]:
    for name, what, limit, ratio, noise in (
        ("latency", "mean latency", "latency", limits.latency, LATENCY_NOISE),
        ("first_byte", "mean time to the first byte (proxy)", "first_token", limits.first_token, LATENCY_NOISE),
        ("first_token", "mean time to first token (engine)", "first_token", limits.first_token, LATENCY_NOISE),
        ("per_token", "mean time per output token (engine)", "per_token", limits.per_token, TOKEN_NOISE),
    ):
        value, held = getattr(seen, name), baseline.get(name)
        if value is None or held is None or value <= max(held.value * ratio, held.value + noise):
            continue
        text = f"{what} is {value:.4f} s > {held.value:.4f} s ({held.source}) times {ratio:g} (limits.{limit})"
        yield Finding(name, text)


def _mean(total: float, count: float, few: float) -> float | None:
    return total / count if count >= few else None


def _peers(hosts: list[str]) -> str:
    if len(hosts) == 1:
        return f"{hosts[0]}, not yet changed, over the same time"
    return f"the median of {', '.join(hosts)}, not yet changed, over the same time"


def known_times(stored: Any, latency: Any) -> dict[str, dict[str, float]]:
    """Host to its times as an earlier passage of the gate left them in the state; `latency` is how the first version of
    the provider kept them."""
    times = {host: {"latency": value} for host, value in (latency or {}).items()}
    return {**times, **{host: dict(values) for host, values in (stored or {}).items()}}


def kept_times(last: Mapping[str, Mapping[str, float]], seen: Mapping[str, Figures]) -> dict[str, dict[str, float]]:
    """What to hold the next passage against: times of now, and where too little was seen, those of before."""
    return {host: {**last.get(host, {}), **now.times} for host, now in seen.items()}


def repeated(now: Iterable[Finding], before: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that stop a bake before its end: certain ones, and ones that the look before had, too."""
    kinds = {finding.kind for finding in before}
    return tuple(finding for finding in now if finding.certain or finding.kind in kinds)
