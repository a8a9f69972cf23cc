"""Advice as data: the decision, each reason with its figure, and every option with its price."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from slipway.estimates import Range
from slipway.memory.types import Fit, Setup
from slipway.offers import Offer
from slipway.speed.types import Capacity, Point, Replicas
from slipway.workload import FullWorkload


@dataclass(frozen=True)
class Criterion:
    """One reason: which way it leans, how strongly, and by which figure."""

    name: Literal["latency", "concurrency", "size", "steadiness", "complexity"]
    leans: Literal["cpu", "gpu", "either"]
    decisive: bool
    """whether it rules the other side out by itself"""
    figure: str
    """both sides of the inequality, as people read it: "first token 50 s > 2 s" """
    why: str


@dataclass(frozen=True)
class Device:
    """CPU or GPU, and why."""

    verdict: Literal["cpu", "gpu"]
    criteria: tuple[Criterion, ...]
    why: str


@dataclass(frozen=True)
class EngineChoice:
    """What the engine, the proxy and the autoscaler should be told. Goes into the stack's settings as it is."""

    engine: str
    tensor_parallel: int
    gpus: int
    """of one host"""
    replicas: int
    """engine processes of one host"""
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int | None
    memory_fraction: float | None
    kv_dtype: str
    shm_bytes: int
    health_deadline: float
    stream_timeout: float
    concurrency: int
    """the proxy's, a replica"""
    queue: int
    """of a host"""
    queue_timeout: float
    scale_up_waiting: float
    """requests waiting a replica, above which another is started"""
    scale_up_kv: float
    """share of the KV cache in use, above which another is started"""
    cold_start: float
    """seconds from the decision to a replica that serves"""
    why: dict[str, str] = field(default_factory=dict, hash=False)
    """the arithmetic of each, by its name"""


@dataclass(frozen=True)
class Costs:
    """Euro; what is paid for hours in which nothing is asked is in it."""

    per_hour: float
    per_month: float
    per_million_tokens: float | None
    """generated, at the expected load; None without any load"""
    idle_share: float
    """of what is paid, for hours without requests or places without use"""
    spot_per_month: float | None
    burst_per_month: float | None
    """the smallest number of hosts always on, the rest only in the hours that need them"""
    off_peak_per_month: float | None
    """with batch work moved to hours that are paid for anyway"""
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """One offer that meets every target, with the smallest number of hosts that does."""

    offer: Offer
    setup: Setup
    fit: Fit
    capacity: Capacity
    replicas: Replicas
    hosts: int
    costs: Costs
    curve: tuple[Point, ...]
    """throughput and latency by batch, ascending; empty except for the first options of the ranking"""
    choice: EngineChoice
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rejection:
    """One offer that does not, and the first thing that it misses, both sides of the inequality shown."""

    offer: Offer
    why: str


@dataclass(frozen=True)
class Several:
    """One GPU or several a replica, the constraint that decided, and what several cost."""

    gpus: int
    constraint: Literal["none", "does not fit", "latency", "throughput"]
    communication: Range
    """share of a decode step that the GPUs spend on talking to each other"""
    why: str


@dataclass(frozen=True)
class Advice:
    """The whole answer. `options` are ranked: cheapest first, the smaller first where prices are equal."""

    model: str
    workload: FullWorkload
    device: Device
    options: tuple[Option, ...]
    rejections: tuple[Rejection, ...]
    several: Several | None
    summary: tuple[str, str, str]
    """three lines for people"""

    @property
    def chosen(self) -> Option | None:
        return self.options[0] if self.options else None
