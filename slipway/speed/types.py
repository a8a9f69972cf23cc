"""What speed answers. Seconds, tokens and requests a second, unless the name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.estimates import Range


@dataclass(frozen=True)
class Point:
    """One replica that serves `batch` requests at once."""

    batch: int
    per_token: Range
    """seconds between two tokens of one request (TPOT)"""
    first_token: Range
    """seconds to the first token of a prompt of mean length (TTFT), without queueing"""
    first_token_p95: Range
    """the same for a prompt of p95 length"""
    end_to_end: Range
    """seconds for a request of mean lengths"""
    end_to_end_p95: Range
    """the same for p95 lengths of prompt and answer"""
    tokens_per_second: Range
    """generated, over all requests"""
    requests_per_second: Range


@dataclass(frozen=True)
class Capacity:
    """What one replica carries within the targets; `speed.explain` writes it out."""

    knee: Point
    """past it throughput grows less than half as fast as latency"""
    best: Point | None
    """the largest batch that meets every target; None when not even one request alone does"""
    limited_by: str
    """what stops it there: "KV cache", "time per token", "first token", "end to end", "batch limit" """


@dataclass(frozen=True)
class Replicas:
    """How many replicas a request rate needs."""

    count: int
    utilisation: float
    """share of the places in use, on average in the busiest hour"""
    wait_p95: float
    """seconds in the queue, 95 of 100 wait no longer"""
    headroom: float
    """how much more than the busiest hour it carries; 0.3 is 30 %"""
    why: tuple[str, ...]
