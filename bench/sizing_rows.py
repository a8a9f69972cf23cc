"""The published rows that sizing is measured against, as values (`bench/sizing_data`)."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

DATA = Path(__file__).parent / "sizing_data"

Split = Literal["fit", "held-out", "later"]
SPLITS: tuple[Split, ...] = ("fit", "held-out", "later")
"""later: found after the constants were fixed"""
Group = Literal["dense", "moe", "window", "hybrid"]
GROUPS: dict[str, Group] = {
    "dense": "dense",
    "dense-weights-only": "dense",
    "moe": "moe",
    "mla-moe": "moe",
    "swa": "window",
    "swa-moe": "window",
    "hybrid": "hybrid",
    "hybrid+mtp": "hybrid",
}
"""what a row's `kind` counts as: window is sliding-window or chunked attention in some layers"""

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Case:
    """One boot of one engine. None is what the source does not state; sizes are GiB a GPU."""

    id: int
    model: str
    quant: str
    gpu: str
    gpus: int
    tensor_parallel: int
    pipeline_parallel: int
    engine: str
    engine_version: str | None
    memory_fraction: float | None
    max_model_len: int | None
    kv_dtype: str | None
    max_num_seqs: int | None
    max_num_batched_tokens: int | None
    eager: bool
    language_only: bool
    """served without the encoders that came with it (vLLM's --language-model-only)"""
    speculative: int
    weights: float | None
    kv: float | None
    tokens: int | None
    concurrency: float | None
    total: float | None
    """what torch says the GPU has"""
    fits: bool
    kind: str
    source: str
    note: str
    split: Split

    @property
    def group(self) -> Group:
        return GROUPS[self.kind]


@dataclass(frozen=True)
class Speed:
    """One measurement. None is what the source does not state."""

    id: int
    model: str
    quant: str
    weights: float | None
    """GiB of the file that was served, where it is not the catalogue's"""
    device: str
    count: int
    tensor_parallel: int
    engine: str
    engine_version: str | None
    batch: int | None
    prompt: int | None
    output: int | None
    metric: str
    """tpot_ms, ttft_ms, e2e_ms, tok_s and prefill_tok_s; serve_tok_s is of a server under load of unknown batches"""
    value: float
    source: str
    note: str
    split: Split


def split(key: str) -> Split:
    """Which side a row is on that was there when the constants were fitted: decided by a hash of what it is about, so
    that nobody chooses."""
    return "fit" if hashlib.sha256(key.lower().encode()).digest()[0] % 2 == 0 else "held-out"


def _optional(text: str, kind: Callable[[str], Number]) -> Number | None:
    return kind(text) if text else None


def _case(row: dict[str, str]) -> Case:
    gpus, tensor = int(row["gpus"]), int(row["tp"])
    return Case(
        id=int(row["id"]),
        model=row["model"],
        quant=row["quant"],
        gpu=row["gpu"],
        gpus=gpus,
        tensor_parallel=tensor,
        pipeline_parallel=int(row["pipeline_parallel"] or gpus // tensor),
        engine=row["engine"],
        engine_version=row["engine_version"].rstrip("?") or None,
        memory_fraction=_optional(row["gpu_memory_utilization"], float),
        max_model_len=_optional(row["max_model_len"], int),
        kv_dtype=row["kv_dtype"] or None,
        max_num_seqs=_optional(row["max_num_seqs"], int),
        max_num_batched_tokens=_optional(row["max_num_batched_tokens"], int),
        eager=row["enforce_eager"] == "yes",
        language_only=row["language_only"] == "yes",
        speculative=int(row["speculative"] or 0),
        weights=_optional(row["weights_gib_per_gpu"], float),
        kv=_optional(row["avail_kv_gib_per_gpu"], float),
        tokens=_optional(row["kv_tokens"], int),
        concurrency=_optional(row["max_concurrency"], float),
        total=_optional(row["total_gib"], float),
        fits=row["fits"] == "yes",
        kind=row["kind"],
        source=row["source"],
        note=row["note"],
        split=next(split for split in SPLITS if split == row["split"]),
    )


def _speed(row: dict[str, str]) -> Speed:
    return Speed(
        id=int(row["id"]),
        model=row["model"],
        quant=row["quant"],
        weights=_optional(row["weights_gib"], float),
        device=row["device"],
        count=int(row["count"]),
        tensor_parallel=int(row["tp"]),
        engine=row["engine"],
        engine_version=row["engine_version"] or None,
        batch=_optional(row["batch"], int),
        prompt=_optional(row["prompt"], int),
        output=_optional(row["output"], int),
        metric=row["metric"],
        value=float(row["value"]),
        source=row["source"],
        note=row["note"],
        split="fit" if row["split"] == "fit" else "held-out",
    )


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def load_cases() -> list[Case]:
    return [_case(row) for row in _rows("cases.csv")]


def load_speeds() -> list[Speed]:
    return [_speed(row) for row in _rows("speeds.csv")]


@dataclass(frozen=True)
class Twin:
    """Another one's copy."""

    name: str
    """in the catalogue"""
    weights: bool
    """whether the weights are alike too, or only what a request keeps"""


@cache
def load_twins() -> dict[str, Twin]:
    """Models that are not in the catalogue, and whose shapes are those of one that is."""
    return {row["model"]: Twin(row["twin"], row["alike"] == "all") for row in _rows("twins.csv")}


def load_misses() -> dict[tuple[int, str], str]:
    """(id, measure) of the rows that are off by more than the aim → why."""
    return {(int(row["id"]), row["measure"]): row["reason"] for row in _rows("misses.csv")}
