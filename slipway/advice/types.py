"""Advice as data: the decision, each reason with its figure, and every option with its price."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from slipway.cost import Costs
from slipway.estimates import Range
from slipway.memory.types import Fit, Setup
from slipway.offers import Offer
from slipway.speed.types import Capacity, Point, Replicas
from slipway.workload import FullWorkload

if TYPE_CHECKING:
    from slipway.memory.tuning import TrainingFit


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
class TuningOption:
    """One offer on which a fine-tuning fits, judged by memory alone."""

    offer: Offer
    gpus: int
    """of this offer's, that the work is spread over"""
    fit: TrainingFit
    per_hour: float
    """euro"""
    spot_per_hour: float | None


@dataclass(frozen=True)
class Fixed:
    """What is decided already: advice chooses the rest around it. None leaves it open."""

    gpus: int | None = None
    """of one host; 0 is the CPU"""
    tensor_parallel: int | None = None
    replicas: int | None = None
    """of one host"""
    hosts: int | None = None
    """at most so many"""
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    memory_fraction: float | None = None
    kv_dtype: str = "auto"
    cpu_engine: bool = True
    """whether the model's file is one that llama.cpp reads; vLLM and SGLang serve from GPUs only"""


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
    """None where nothing was chosen, or a CPU was"""
    summary: tuple[str, str, str]
    """three lines for people"""
    tuning: tuple[TuningOption, ...] = ()
    """of a fine-tuning, cheapest first; `options` are empty then"""

    @property
    def chosen(self) -> Option | None:
        return self.options[0] if self.options else None
