"""What can be rented, and for how much (`offers.toml`); a stack file may add its own."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from slipway.cpus import Cpu, find_cpu
from slipway.gpus import Gpu, find_gpu
from slipway.units import Bytes

HOURS_PER_MONTH = 730
"""365 × 24 ÷ 12"""

Currency = Literal["EUR", "USD"]


class Offer(BaseModel):
    """One instance type of one provider in one region, with its list price."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    provider: str
    """local, ssh, upcloud, aws, gcp, azure; a user's own offers may name another"""
    instance: str
    region: str = ""
    gpu: str | None = None
    """a name of `gpus.toml`; None serves from the CPU"""
    gpus: int = Field(default=0, ge=0)
    link: Literal["pcie", "nvlink"] | None = None
    """between its GPUs, where it is not the GPU's own fastest"""
    cpu: str | None = None
    """a name of `cpus.toml`, from which its bandwidth follows by its share of cores"""
    vcpus: int = Field(gt=0)
    memory: Annotated[Bytes, Field(gt=0)]
    """bytes, or with a unit such as "64GiB" """
    price: float = Field(ge=0)
    """an hour, on demand, in `currency`, storage not included"""
    spot: float | None = Field(default=None, ge=0)
    """an hour, when it may be taken away"""
    currency: Currency = "EUR"
    storage_price: float | None = Field(default=None, ge=0)
    """of the disk that weights are loaded from, a GB and month"""
    source: str
    """where the figures come from; says so where it is not the provider's own list"""
    date: str
    """when they were read, as YYYY-MM-DD or YYYY-MM"""


class Rate(BaseModel):
    """What one unit of a currency is in euro, when, and who says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    euro: float = Field(gt=0)
    source: str
    date: str


@cache
def offers() -> tuple[Offer, ...]:
    """All that come with Slipway, as the file has them. `local` and `ssh` have none: those hosts are there."""
    return tuple(
        Offer.model_validate({key: value for key, value in group.items() if key != "offers"} | entry)
        for group in _file()["group"]
        for entry in group["offers"]
    )


@cache
def rates() -> dict[str, Rate]:
    """Exchange rates by currency."""
    own = Rate(euro=1, source="itself", date="")
    return {"EUR": own} | {currency: Rate.model_validate(entry) for currency, entry in _file()["rates"].items()}


def euro(amount: float, currency: Currency) -> float:
    """The amount in euro, at the rate of the day that `offers.toml` names.

    >>> euro(2.0, "EUR")
    2.0
    """
    return amount * rates()[currency].euro


@cache
def device(offer: Offer) -> Gpu | Cpu:
    """What a replica on that instance runs on: one of its GPUs as it is connected there, or the instance's share of its
    CPU. An instance that names neither is `generic-x86` of its size. Raises `SizingError` for a name nobody knows.
    """
    if offer.gpu is not None:
        gpu = find_gpu(offer.gpu)
        return gpu.without_nvlink() if offer.link == "pcie" else gpu
    return find_cpu(offer.cpu or "generic-x86").part(offer.vcpus, offer.memory)


def spans_sockets(offer: Offer) -> bool:
    """Whether its virtual CPUs are more than one socket has. Raises `SizingError` for a name nobody knows."""
    whole = find_cpu(offer.cpu or "generic-x86")
    return offer.vcpus * whole.sockets > (whole.vcpus or whole.cores)


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(resources.files("slipway").joinpath("offers.toml").read_text(encoding="utf-8"))
