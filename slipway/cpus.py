"""CPUs by name, as far as serving a model on one is concerned (`cpus.toml`)."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from slipway.errors import SizingError
from slipway.units import Bytes, quoted

CORE_BANDWIDTH = 12e9
"""bytes a second that one core reads by itself, whatever its socket could: so many requests can it have under way at
once. 12 GB/s on one core of an Ice Lake server, and 9 of Graviton3, at random places
(https://lemire.me/blog/2022/06/07/memory-level-parallelism-intel-ice-lake-versus-amazon-graviton-3/); reading in order
is faster, and so are later cores"""


class Cpu(BaseModel):
    """One kind of CPU, or the share of one that an instance gets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    cores: int = Field(gt=0)
    """physical cores that work at once"""
    sockets: int = Field(default=1, ge=1)
    vcpus: int | None = Field(default=None, gt=0)
    """what a cloud sells of it: two a core where it sells hyperthreads; None is one a core"""
    memory: Annotated[Bytes, Field(gt=0)]
    """bytes that a model server may take"""
    bandwidth: float = Field(gt=0)
    """of its memory; for a part of a machine what its cores draw while their neighbours leave them room"""
    guaranteed: float | None = Field(default=None, gt=0)
    """of the bandwidth, what neighbours cannot take; None is all of it"""
    flops: float = Field(gt=0)
    """dense operations a second: fp32 multiply-adds, each counted as two, at the clock that all cores hold"""
    sources: dict[str, str]

    def part(self, vcpus: int, memory: int) -> Cpu:
        """What an instance of so many virtual CPUs and bytes gets of it: its share of cores and operations, and what
        these cores draw of the bandwidth, of which only its share is guaranteed.

        Never more than one socket: llama.cpp is faster on one than on both (`slipway.speed.efficiency`), so that a
        larger instance serves from one of them, all of its memory included.

        >>> small = find_cpu("xeon-sapphire-rapids").part(8, 2**34)
        >>> small.cores, small.bandwidth / 1e9, small.guaranteed / 1e9
        (4, 48.0, 25.6)
        """
        share = min(vcpus / (self.vcpus or self.cores), 1 / self.sockets)
        cores = max(1, int(self.cores * share))
        own = self.bandwidth * share
        return self.model_copy(
            update={
                "cores": cores,
                "sockets": 1,
                "vcpus": vcpus,
                "memory": memory,
                "bandwidth": max(own, min(self.bandwidth / self.sockets, cores * CORE_BANDWIDTH)),
                "guaranteed": own,
                "flops": self.flops * share,
            }
        )


@cache
def cpus() -> dict[str, Cpu]:
    """All of them by name."""
    text = resources.files("slipway").joinpath("cpus.toml").read_text(encoding="utf-8")
    return {name: Cpu.model_validate({"name": name} | entry) for name, entry in tomllib.loads(text).items()}


def find_cpu(name: str) -> Cpu:
    """The CPU of that name; case, spaces, dashes and underscores do not matter. Raises `SizingError`.

    >>> find_cpu("EPYC Milan").cores
    128
    """
    by_key = {_key(known): cpu for known, cpu in cpus().items()}
    key = _key(name)
    if key in by_key:
        return by_key[key]
    near = [by_key[match].name for match in difflib.get_close_matches(key, by_key, n=3, cutoff=0.5)]
    fix = f"Write {' or '.join(near)}" if near else f"Write one of {', '.join(cpus())}"
    raise SizingError(f"{quoted(name)} is no CPU that Slipway knows", where="cpu", fix=fix)


def _key(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name[:100].lower())
