"""Where hosts come from: one module a provider, all of one shape.

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

AVAILABLE = ("local", "ssh")


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


CreateHosts = Callable[[HostsArgs, pulumi.ResourceOptions], list[Host]]


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Create the plan's hosts with the provider that it names.

    Raises PlanError for a provider that has no module yet.
    """
    provider = args.plan.provider
    if provider not in AVAILABLE:
        raise PlanError(
            f"there is no provider module for {provider!r} yet",
            where="slipway:provider",
            fix=f"Use one of: {', '.join(AVAILABLE)}.",
        )
    module = import_module(f"stacks.providers.{provider}")
    return cast("CreateHosts", module.create_hosts)(args, opts)
