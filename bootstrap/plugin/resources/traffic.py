"""What the proxy's metrics say about traffic, and whether it regressed. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

RESPONSES = "haproxy_backend_http_responses_total"
LATENCY = "haproxy_backend_total_time_average_seconds"
"""Mean over the backend's last 1024 requests. Both names: HAProxy's addons/promex/README, "Exported metrics"."""

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)\{(?P<labels>[^}]*)\}\s+(?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Traffic:
    """Counters since the proxy started, and the mean latency (seconds) of its latest requests."""

    requests: float
    errors: float
    """responses with a 5xx status"""
    latency: float


@dataclass(frozen=True)
class Limits:
    """What counts as a regression."""

    max_error_ratio: float
    max_latency_ratio: float
    """times the latency of the last time the gate passed"""
    min_requests: int
    """fewer in the bake time say nothing"""


def parse_metrics(text: str) -> Traffic:
    """Sum up the backends of one exposition in Prometheus's text format. Raises ValueError when it has none."""
    requests = errors = 0.0
    latencies = []
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample is None:
            continue
        value = float(sample["value"])
        if sample["name"] == RESPONSES:
            requests += value
            errors += value if dict(_LABEL.findall(sample["labels"])).get("code") == "5xx" else 0.0
        elif sample["name"] == LATENCY:
            latencies.append(value)
    if not latencies:
        raise ValueError(f"no {LATENCY} in the proxy's metrics")
    return Traffic(requests, errors, max(latencies))


def regression(before: Traffic, after: Traffic, baseline: float | None, limits: Limits) -> str | None:
    """Why the traffic between two readings is worse than it may be; None when it is fine, or too little to tell."""
    # A proxy that was restarted in between counts from zero.
    start = before if after.requests >= before.requests else Traffic(0, 0, 0)
    requests, errors = after.requests - start.requests, after.errors - start.errors
    if requests < max(limits.min_requests, 1):
        return None
    if errors / requests > limits.max_error_ratio:
        return (
            f"{errors:.0f} of {requests:.0f} responses were 5xx, "
            f"{errors / requests:.2%} > {limits.max_error_ratio:.2%} (max_error_ratio)"
        )
    if baseline and after.latency > baseline * limits.max_latency_ratio:
        return (
            f"mean latency is {after.latency:.3f} s > {baseline:.3f} s times {limits.max_latency_ratio:g} "
            "(the last time the gate passed times max_latency_ratio)"
        )
    return None
