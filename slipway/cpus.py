"""CPUs by name, as far as serving a model on one is concerned (`cpus.toml`)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from pydantic import BaseModel, ConfigDict, Field


class Cpu(BaseModel):
    """One kind of CPU, or the share of one that an instance gets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cores: int = Field(gt=0)
    """physical cores that work at once"""
    sockets: int = Field(default=1, ge=1)
    memory: int = Field(gt=0)
    """bytes that a model server may take"""
    bandwidth: float = Field(gt=0)
    """of its memory; for a part of a machine its part of it"""
    flops: float = Field(gt=0)
    """dense operations a second, in the best type that llama.cpp uses on it (AVX-512, AMX, NEON)"""
    sources: dict[str, str]


@cache
def cpus() -> dict[str, Cpu]:
    """All of them by name."""
    text = resources.files("slipway").joinpath("cpus.toml").read_text(encoding="utf-8")
    return {name: Cpu.model_validate({"name": name} | entry) for name, entry in tomllib.loads(text).items()}
