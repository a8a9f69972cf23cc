"""What can be said of a workload, and what it is once every gap is filled. Durations are seconds, lengths tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway.units import Duration

Complexity = Literal["low", "medium", "high"]
Task = Literal["generate", "embed", "rerank", "transcribe"]


class Lengths(BaseModel):
    """Tokens of a prompt or an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    mean: Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
    """On average."""
    p95: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] | None = None
    """95 of 100 are no longer than this."""


class Workload(BaseModel):
    """What is known; whatever is left out is assumed, and said to be (`assume`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    purpose: Literal["inference", "full", "lora", "qlora"] = "inference"
    """Serve the model, or fine-tune it: all weights, LoRA or QLoRA."""
    mode: Literal["real-time", "batch"] | None = None
    """Somebody waits for each answer, or all of them are due at some time."""
    requests_per_second: Annotated[float, Field(ge=0, le=1_000_000)] | None = None
    """In the busiest hour, averaged; 0 is refused by `assume`, with a sentence."""
    profile: tuple[Annotated[float, Field(ge=0, le=1_000_000)], ...] | None = None
    """Requests a second of each hour of a day (24 of them) or of a week (168)."""
    prompt: Lengths | None = None
    """Tokens of a prompt."""
    output: Lengths | None = None
    """Tokens of an answer."""
    context: Annotated[int, Field(strict=True, ge=1, le=100_000_000)] | None = None
    """Longest request, prompt and answer together."""
    concurrency: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    """Requests at once, at the busiest moment."""
    first_token: Duration | None = None
    """Longest wait for the first token (TTFT), at p95."""
    per_token: Duration | None = None
    """Longest time for each further token (TPOT), on average."""
    end_to_end: Duration | None = None
    """Longest time for a whole answer, at p95."""
    idle_share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the hours without any request."""
    complexity: Complexity | None = None
    """How much running gear the team can look after: low, medium or high."""


@dataclass(frozen=True)
class Served:
    """What of a model bounds what may be assumed of its requests."""

    task: Task = "generate"
    context: int | None = None
    """tokens, the longest that it was made for; None is no bound"""

    @property
    def generates(self) -> bool:
        """Whether an answer is tokens, one after another; embeddings and scores come all at once."""
        return self.task in ("generate", "transcribe")


@dataclass(frozen=True)
class Assumption:
    """One value that nobody gave."""

    name: str
    value: str
    why: str


@dataclass(frozen=True)
class FullWorkload:
    """A workload with every value there, and which of them were assumed."""

    purpose: Literal["inference", "full", "lora", "qlora"]
    mode: Literal["real-time", "batch"]
    profile: tuple[float, ...]
    """requests a second of each hour; 24 or 168 of them"""
    prompt_mean: int
    prompt_p95: int
    output_mean: int
    """0 where the answer is no tokens: an embedding, a score"""
    output_p95: int
    context: int
    concurrency: int | None
    first_token: float
    """seconds; infinite where nobody waits (batch)"""
    per_token: float
    """seconds; infinite where nobody waits (batch), and where the answer is no tokens"""
    end_to_end: float | None
    idle_share: float
    complexity: Complexity
    assumed: tuple[Assumption, ...] = ()

    @property
    def peak(self) -> float:
        """Requests a second of the busiest hour."""
        return max(self.profile)

    @property
    def mean(self) -> float:
        """Requests a second over all hours."""
        return sum(self.profile) / len(self.profile)
