"""Where hosts come from: one module a provider, all of one shape (docs/add-a-provider.md).

Each module has `VERIFIED`, a sentence that says against what it was really run, and `create_hosts(args, opts)`, which
returns one `Host` for each host of the plan, in the plan's order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

import pulumi

from slipway.errors import PlanError
from slipway.plan_types import Plan
from slipway.settings import Settings
from stacks.resources import StackKeys

AVAILABLE = ("local", "ssh", "upcloud")

NOT_RUN = "not run"
"""how VERIFIED starts where a module never made a real host; whoever uses it is told"""

EXTRAS = {"pulumi_upcloud": "upcloud"}
"""a cloud's SDK to the optional extra of this package that brings it"""


@dataclass(frozen=True)
class HostsArgs:
    """What a provider module needs to create the hosts of a plan."""

    plan: Plan
    settings: Settings
    keys: StackKeys


@dataclass(frozen=True)
class Host:
    """A host as its provider made it. `connection` has the fields of `slipway.desired.Connection`."""

    name: str
    connection: dict[str, pulumi.Input[object]]
    address: pulumi.Input[str]
    """where clients reach it"""
    port: pulumi.Input[int]
    """the port on which clients reach its proxy"""
    machine: pulumi.Resource | None = None
    """what goes away with everything on it when it is destroyed; None for a host that stays"""
    zone: str = ""
    """zone or region of a cloud"""
    front: pulumi.Input[str] | None = None
    """where clients reach all hosts, at the same port: a load balancer"""
    names: tuple[pulumi.Input[str], ...] = ()
    """more names that clients use, which its certificate has to hold"""


CreateHosts = Callable[[HostsArgs, pulumi.ResourceOptions], list[Host]]


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Create the plan's hosts with the provider that it names.

    Raises PlanError for a provider that has no module yet, or whose SDK is not installed.
    """
    provider = args.plan.provider
    if provider not in AVAILABLE:
        raise PlanError(
            f"there is no provider module for {provider!r} yet",
            where="slipway:provider",
            fix=f"Use one of: {', '.join(AVAILABLE)}.",
        )
    try:
        module = import_module(f"stacks.providers.{provider}")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        if extra is None:
            raise
        raise PlanError(
            f"the provider {provider} needs the package {error.name}, which is not installed",
            where="slipway:provider",
            fix=f"Run: pip install 'slipway[{extra}]'",
        ) from None
    if module.VERIFIED.startswith(NOT_RUN):
        pulumi.log.warn(f"provider {provider}: {module.VERIFIED}")
    return cast("CreateHosts", module.create_hosts)(args, opts)
