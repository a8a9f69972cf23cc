"""Where hosts come from: one module a provider, all of one shape (docs/add-a-provider.md).

Each module has `VERIFIED`, a sentence that says against what it was really run, `create_hosts(args, opts)`, which
returns one `Host` for each host of the plan, in the plan's order, and, where it has clusters, `create_cluster(args,
opts)`, which returns the `Cluster` of a plan of `kind: node-pool`, with the pool in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import cast, get_args

import pulumi

from slipway.errors import PlanError
from slipway.plan_types import ClusterPlan, Plan
from slipway.settings import Settings
from slipway.settings.sections import Provider
from stacks.resources import StackKeys

AVAILABLE: tuple[str, ...] = get_args(Provider)
"""what a stack file may name; each has its module"""

NOT_RUN = "not run"
"""how VERIFIED starts where a module never made a real host; whoever uses it is told"""

EXTRAS = {"pulumi_aws": "aws", "pulumi_azure_native": "azure", "pulumi_upcloud": "upcloud", "pulumi_gcp": "gcp"}
"""a cloud's SDK to the optional extra of this package that brings it"""


@dataclass(frozen=True)
class HostsArgs:
    """What a provider module needs to create the hosts, or the cluster, of a plan."""

    plan: Plan
    settings: Settings
    keys: StackKeys

    @property
    def cluster(self) -> ClusterPlan:
        """The plan's cluster; only where there is one, `create_cluster` is called."""
        if self.plan.cluster is None:
            raise PlanError("there is no cluster in this plan", where="slipway:kind", fix="Write kind: node-pool")
        return self.plan.cluster


@dataclass(frozen=True)
class StoreKeys:
    """What a request to a store is signed with."""

    access_key: pulumi.Input[str]
    secret_key: pulumi.Output[str]


@dataclass(frozen=True)
class Store:
    """The bucket of `slipway:weights`, in an object storage that speaks S3. Endpoints are base URLs, to which
    bucket and key are added as a path."""

    bucket: pulumi.Input[str]
    endpoint: pulumi.Input[str]
    """where hosts read it"""
    filled_at: pulumi.Input[str]
    """where whoever has the writer's keys puts files"""
    region: pulumi.Input[str]
    """that requests are signed for"""
    reader: StoreKeys
    """may read objects of this bucket, and nothing else"""
    writer: StoreKeys
    """may list, read, put and delete objects of this bucket, and nothing else"""


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
    store: Store | None = None
    """the bucket of `slipway:weights`, the same for every host; None where none is asked for"""


@dataclass(frozen=True)
class Cluster:
    """A cluster as its provider made or found it, with the pool that the plan asks for."""

    name: pulumi.Input[str]
    kubeconfig: pulumi.Output[str]
    """its text, a secret; whoever applies something to the cluster does it with this"""
    context: str | None = None
    """context in the kubeconfig; its current one where None"""
    pool: pulumi.Resource | None = None
    """the nodes: pods wait for them; None where they exist already"""
    asked: pulumi.Resource | None = None
    """a cluster that exists, asked whether it has what is needed: nothing is made before it says yes"""
    zone: str = ""
    """zone or region of a cloud"""
    store: Store | None = None
    """the bucket of `slipway:weights`; None where none is asked for"""


CreateCluster = Callable[[HostsArgs, pulumi.ResourceOptions], Cluster]
CreateHosts = Callable[[HostsArgs, pulumi.ResourceOptions], list[Host]]


def born_with(args: HostsArgs, name: str, *what: str) -> list[str]:
    """Arguments that a host which exists keeps, for `ignore_changes`: a change of them (image, first-boot script) would
    replace every host at once. A host of `slipway:hosts.renew` takes them, and is made anew where they differ.
    """
    return [] if name in args.settings.hosts.renew else list(what)


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Create the plan's hosts with the provider that it names.

    Raises PlanError for a provider whose SDK is not installed.
    """
    return cast("CreateHosts", _module(args.plan.provider).create_hosts)(args, opts)


def create_cluster(args: HostsArgs, opts: pulumi.ResourceOptions) -> Cluster:
    """Create the cluster and the pool of a plan that has one, with the provider that it names.

    Raises PlanError as `create_hosts`, and for a provider without node pools.
    """
    module = _module(args.plan.provider)
    if not hasattr(module, "create_cluster"):
        raise PlanError(
            f"the provider module {args.plan.provider!r} makes no node pools yet",
            where="slipway:kind",
            fix="Write kind: host",
        )
    return cast("CreateCluster", module.create_cluster)(args, opts)


def _module(provider: str) -> ModuleType:
    try:
        module = import_module(f"stacks.providers.{provider}")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".", maxsplit=1)[0])
        if extra is None:
            raise
        raise PlanError(
            f"the provider {provider} needs the package {error.name}, which is not installed",
            where="slipway:provider",
            fix=f"Run: pip install 'slipway[{extra}]'",
        ) from None
    if module.VERIFIED.startswith(NOT_RUN):
        pulumi.log.warn(f"provider {provider}: {module.VERIFIED}")
    return module
