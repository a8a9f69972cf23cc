"""What can be rented, and for how much (`offers.toml`); a stack file may add its own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
