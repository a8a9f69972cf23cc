"""What a stack needs of a cloud, and what the cloud said, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.doctor.types import NoAnswer
from slipway.offers import Offer


@dataclass(frozen=True)
class ServerType:
    """A type of server as its cloud describes it; memory in bytes."""

    cores: int
    memory: int
    gpus: int = 0
    gpu: str = ""
    barred: str = ""
    """why none can be had although it is there, as half a sentence"""


@dataclass(frozen=True)
class Limit:
    """How much of something an account may have, and has. `used` is None where the cloud only says the former."""

    most: float
    used: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class CloudWanted:
    """What a stack needs of a cloud."""

    provider: str
    zone: str
    region: str
    instances: tuple[str, ...]
    """types of servers in order of preference; more than one is a plan B"""
    others: tuple[str, ...]
    """types that nobody named, and that the price list says have the GPUs that are needed, the cheapest first"""
    servers: int
    """that are still to be made"""
    image: str | None
    """id of the image; None where the cloud chooses it"""
    disk: float
    """bytes of one server"""
    addresses: int
    """public IPv4 addresses"""
    gpus: int
    """of one server"""
    offer: Offer | None
    """what each is and costs, by the price list"""
    tier: str = ""
    """of the disks, by the cloud's own word"""
    balancers: int = 0
    account: str = ""
    """what everything is made in, where the stack file says it: a project, a subscription"""
    gpu: str = ""
    """of each server, by the cloud's own word, where the stack file or its machine says it"""
    spread: tuple[str, ...] = ()
    """zones of the region that the servers are spread over, where `zone` names none"""
    spot: int = 0
    """how many of `servers` are spot"""
    version: str = ""
    """of Kubernetes, where a cluster is made"""
    channel: str = ""
    """of releases that the cluster follows, by the cloud's own word"""


NO_VERSIONS = NoAnswer("the versions of this cloud's clusters are not asked for", verdict="not asked")
NO_ZONE = NoAnswer("not before the zone is right", verdict="not asked")
NOT_BEFORE = NoAnswer("not before the credentials work", verdict="not asked")


@dataclass(frozen=True)
class CloudAnswers:
    """What a cloud said. Every field is an answer or why there is none."""

    account: str | NoAnswer
    """who the credentials are"""
    zones: tuple[str, ...] | NoAnswer
    types: Mapping[str, ServerType] | NoAnswer
    """what the zone has, whether in stock or not"""
    stock: Mapping[str, int] | NoAnswer
    """how many servers of a type can be had there now, of those types that the cloud counts"""
    image: str | NoAnswer
    """title of the wanted image"""
    limits: Mapping[str, Limit | NoAnswer] | NoAnswer
    """by the names of `slipway.doctor.needs.needs`"""
    prices: Mapping[str, float] | NoAnswer
    """an hour of a type in the zone, in `currency`"""
    currency: str | NoAnswer
    versions: tuple[str, ...] | NoAnswer = NO_VERSIONS
    """of Kubernetes that a cluster can be made with"""

    @classmethod
    def none(cls, why: NoAnswer, rest: NoAnswer = NOT_BEFORE) -> CloudAnswers:
        """Nothing was said: `why` of the account, and `rest` of all else."""
        return cls(why, rest, rest, rest, rest, rest, rest, rest, rest)
