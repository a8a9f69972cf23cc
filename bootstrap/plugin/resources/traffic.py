"""What the proxy and the engines count about traffic, read from Prometheus's text format. Pure.

Names: HAProxy's addons/promex/README ("Exported metrics"); vLLM's vllm/v1/metrics/loggers.py; SGLang's production
metrics (https://docs.sglang.io/references/production_metrics.html) and srt/metrics/collector.py; llama.cpp's
tools/server/README.md (GET /metrics). An exposition is recognised by its names, so that a custom image around one of
these engines is understood, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeVar

RESPONSES = "haproxy_backend_http_responses_total"
BROKEN = "haproxy_backend_response_errors_total"
LATENCY = "haproxy_backend_total_time_average_seconds"
FIRST_BYTE = "haproxy_backend_response_time_average_seconds"
QUEUE = "haproxy_backend_queue_time_average_seconds"
"""The three times are moving averages over 512 requests, rounded to milliseconds."""
SETTLED = 1024
"""responses since the proxy started, fewer of which say nothing about its times: the averages begin at 0 (a proxy of
2.6 shows 7 ms after 80 requests of 15 ms), and hold for twice their window (include/haproxy/defaults.h,
TIME_STATS_SAMPLES)"""

FIRST_TOKENS = ("vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds")
PER_TOKENS = (
    "vllm:inter_token_latency_seconds",
    "vllm:time_per_output_token_seconds",
    "sglang:inter_token_latency_seconds",
    "sglang:time_per_output_token_seconds",
)
"""Histograms. The first that is there counts: both engines renamed theirs, and versions between have both names.
https://github.com/vllm-project/vllm/pull/24015, https://github.com/sgl-project/sglang/pull/4914"""
FINISHED = "vllm:request_success_total"
"""by finished_reason; `error` is what the proxy does not see once a stream began"""
PROMPT_SECONDS = "llamacpp:prompt_seconds_total"
PREDICTED = ("llamacpp:tokens_predicted_seconds_total", "llamacpp:tokens_predicted_total")
"""llama.cpp counts no requests: time for prompts is held against the proxy's requests"""

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{([^}]*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Traffic:
    """A proxy: counters since it started, and means (seconds) of its latest requests."""

    requests: float = 0.0
    errors: float = 0.0
    """responses with a 5xx status, or responses that broke off, whichever are more: one may be both"""
    latency: float = 0.0
    first_byte: float = 0.0
    """in the queue, and until the engine's answer began"""


@dataclass(frozen=True)
class Engine:
    """An engine's counters since it started; all 0 where it has none of them."""

    first_token_seconds: float = 0.0
    first_tokens: float = 0.0
    prompt_seconds: float = 0.0
    """only where first tokens are not counted"""
    token_seconds: float = 0.0
    tokens: float = 0.0
    finished: float = 0.0
    failed: float = 0.0


Counters = TypeVar("Counters", Traffic, Engine)


def since(before: Counters, after: Counters, *gauges: str) -> Counters:
    """What was counted between two readings. A process that was restarted in between counts from zero, as one of its
    counters that fell says; `gauges` are taken as they are."""
    pairs = {field.name: (getattr(before, field.name), getattr(after, field.name)) for field in fields(after)}
    fell = any(new < old for name, (old, new) in pairs.items() if name not in gauges)
    values: Any = {name: new if fell or name in gauges else new - old for name, (old, new) in pairs.items()}
    return type(after)(**values)


def parse_metrics(text: str) -> Traffic:
    """Sum up the backends of a proxy's exposition. Raises ValueError when it has none."""
    total = dict.fromkeys((RESPONSES, BROKEN, "5xx"), 0.0)
    worst = dict.fromkeys((LATENCY, FIRST_BYTE, QUEUE), -1.0)
    for name, labels, value in _samples(text):
        if name in total:
            total[name] += value
            if labels.get("code") == "5xx":
                total["5xx"] += value
        elif name in worst:
            worst[name] = max(worst[name], value)
    if worst[LATENCY] < 0:
        raise ValueError(f"no {LATENCY} in the proxy's metrics")
    first_byte = max(worst[FIRST_BYTE], 0.0) + max(worst[QUEUE], 0.0)
    return Traffic(total[RESPONSES], max(total["5xx"], total[BROKEN]), worst[LATENCY], first_byte)


def parse_engine(text: str) -> Engine:
    """The counters of an engine's exposition, summed over labels."""
    sums: dict[str, float] = {}
    failed = 0.0
    for name, labels, value in _samples(text):
        sums[name] = sums.get(name, 0.0) + value
        if name == FINISHED and labels.get("finished_reason") == "error":
            failed += value
    first = next((name for name in FIRST_TOKENS if f"{name}_count" in sums), "")
    token = next((name for name in PER_TOKENS if f"{name}_count" in sums), "")
    per_token = (f"{token}_sum", f"{token}_count") if token else PREDICTED
    return Engine(
        first_token_seconds=sums.get(f"{first}_sum", 0.0),
        first_tokens=sums.get(f"{first}_count", 0.0),
        prompt_seconds=0.0 if first else sums.get(PROMPT_SECONDS, 0.0),
        token_seconds=sums.get(per_token[0], 0.0),
        tokens=sums.get(per_token[1], 0.0),
        finished=sums.get(FINISHED, 0.0),
        failed=failed,
    )


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        try:
            value = float(sample[3])
        except ValueError:
            continue
        if math.isfinite(value):
            yield sample[1], dict(_LABEL.findall(sample[2] or "")), value
