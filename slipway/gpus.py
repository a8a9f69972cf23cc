"""GPUs by name: what was measured of each, and where the figure comes from (`gpus.toml`)."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway.errors import SizingError
from slipway.units import quoted

Link = Literal["pcie", "nvlink"]

PCIE_BANDWIDTH = {"3x16": 15.75e9, "4x16": 31.5e9, "5x16": 63e9}
"""Bytes a second, one direction: 8, 16 and 32 GT/s × 16 lanes × 128/130 ÷ 8 (PCI Express base specification)."""


class Slices(BaseModel):
    """What one MIG profile makes of a GPU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(gt=0)
    """how many of it fit on one GPU"""
    memory_mib: int | None = Field(default=None, gt=0)
    """of each, as `nvidia-smi mig -lgip` prints it; None where nobody could be quoted"""


class Gpu(BaseModel):
    """One kind of GPU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    aliases: tuple[str, ...] = ()
    """other spellings; case, spaces, dashes and underscores never matter"""
    memory_mib: int = Field(gt=0)
    """what nvidia-smi prints as total"""
    usable_mib: int = Field(gt=0)
    """what CUDA hands out at most (torch's total): nvidia-smi's total less what the driver and ECC keep"""
    bandwidth: float = Field(gt=0)
    """of its memory, bytes a second"""
    flops: dict[str, float]
    """dense operations a second by type: fp16, bf16, fp8, int8, fp4; a type it has no units for is left out"""
    compute_capability: str
    """such as 8.9"""
    generation: str
    """volta, turing, ampere, ada, hopper, blackwell"""
    link: Link
    """the fastest way to its neighbours in one host"""
    link_bandwidth: float = Field(gt=0)
    """one direction, bytes a second, a GPU"""
    pcie: Literal["3x16", "4x16", "5x16"]
    """generation and lanes"""
    power: tuple[int, int] | None = None
    """least and most watts that its limit can be set to; None where nobody could be quoted"""
    mig: dict[str, Slices] = {}
    """profiles that it can be cut into, all slices alike; empty where it cannot be cut"""
    sources: dict[str, str]
    """where each figure comes from, by its field: an address, or how it was derived"""

    @property
    def usable(self) -> int:
        """Bytes."""
        return self.usable_mib * 2**20

    def without_nvlink(self) -> Gpu:
        """The same, in a host where only PCIe connects them."""
        return self.model_copy(update={"link": "pcie", "link_bandwidth": PCIE_BANDWIDTH[self.pcie]})

    def cut(self, profile: str) -> Gpu:
        """One slice of it as a GPU: the memory that nvidia-smi lists, and of bandwidth and arithmetic the share that
        the profile's name says, as slices of memory (eighths, or quarters) and of compute (sevenths) have it.

        Raises `SizingError` for a profile that it does not have, or whose memory nobody could be quoted for.
        """
        found = self.mig.get(profile)
        if found is None:
            known = [name for name, slices in self.mig.items() if slices.memory_mib is not None]
            fix = f"Write one of {', '.join(known)}" if known else "Take it out"
            raise SizingError(f"{self.name} cannot be cut into {quoted(profile)}", where="mig", fix=fix)
        if found.memory_mib is None:
            fix = f"Add memory_mib to {self.name} in slipway/gpus.toml, as `nvidia-smi mig -lgip` prints it there"
            raise SizingError(f"the memory of {profile} of {self.name} is not known", where="mig", fix=fix)
        share = found.memory_mib / self.memory_mib
        units = int(profile.split("g", maxsplit=1)[0]) / max(int(name.split("g", maxsplit=1)[0]) for name in self.mig)
        return self.model_copy(
            update={
                "name": f"{self.name} {profile}",
                "memory_mib": found.memory_mib,
                "usable_mib": min(found.memory_mib, self.usable_mib),
                "bandwidth": self.bandwidth * share,
                "flops": {name: value * units for name, value in self.flops.items()},
                "mig": {},
            }
        )


@cache
def gpus() -> dict[str, Gpu]:
    """All of them by name."""
    text = resources.files("slipway").joinpath("gpus.toml").read_text(encoding="utf-8")
    return {name: Gpu.model_validate({"name": name} | entry) for name, entry in tomllib.loads(text).items()}


def find_gpu(name: str) -> Gpu:
    """The GPU of that name or alias, or as nvidia-smi prints it. Raises `SizingError` with the nearest names.

    >>> find_gpu("h100 sxm").name, find_gpu("NVIDIA A100-SXM4-80GB").name
    ('H100-SXM', 'A100-80')
    """
    key = _key(name)
    found = _by_key().get(key)
    if found is not None:
        return found
    near = difflib.get_close_matches(key, _by_key(), n=4, cutoff=0.5)
    starts = sorted(spelling for spelling in _by_key() if key and spelling.startswith(key))
    names = dict.fromkeys(_by_key()[spelling].name for spelling in (*starts, *near))
    fix = f"Write {' or '.join(list(names)[:4])}" if names else f"Write one of {', '.join(gpus())}"
    raise SizingError(f"{quoted(name)} is no GPU that Slipway knows", where="gpu", fix=fix)


def _key(name: str) -> str:
    """What is left when case, spaces, dashes and the maker's names do not count."""
    return re.sub("[^a-z0-9]", "", re.sub(r"\b(nvidia|tesla|geforce|quadro)\b", "", name[:100].lower()))


@cache
def _by_key() -> dict[str, Gpu]:
    return {_key(spelling): gpu for gpu in gpus().values() for spelling in (gpu.name, *gpu.aliases)}
