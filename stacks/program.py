"""A plan becomes resources, and resources become the outputs that every stack has."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import pulumi

from slipway.cost import monthly
from slipway.errors import SlipwayError
from slipway.offers import Offer, euro
from slipway.plan_types import ClusterPlan, Plan
from slipway.settings import Settings
from slipway.settings.resolving import offer_of
from stacks.config import secret
from stacks.fleet import Fleet, FleetArgs
from stacks.providers import Host, HostsArgs, Store, create_cluster, create_hosts
from stacks.resources import StackKeys

if TYPE_CHECKING:
    from slipway.advice.types import Advice

ALREADY_SHOWN = 32
"""the exit code by which a Python program tells Pulumi that its user has been told what is wrong"""


def refuse(error: SlipwayError) -> NoReturn:
    """Show what is wrong, without the traceback or the second error that any other way out would add."""
    pulumi.log.error(str(error))
    sys.exit(ALREADY_SHOWN)


def provision(plan: Plan, settings: Settings, advice: Advice | None = None) -> None:
    """Create everything that the plan asks for and export the stack's outputs; show the advice that decided it.

    Raises SlipwayError for what the plan cannot know: a provider without a module, a base that was not built.
    """
    if advice is not None:
        pulumi.log.info("\n".join(advice.summary))
    keys = StackKeys("keys", stack=plan.stack, api_key=secret("api_key"))
    args = HostsArgs(plan, settings, keys)
    served = _on_hosts(args) if plan.cluster is None else _in_cluster(args, plan.cluster)
    _export(args, served)


@dataclass(frozen=True)
class _Served:
    """Where a model is served, whatever serves it. What there is not is empty: Pulumi drops outputs that are None."""

    endpoints: list[pulumi.Input[str]]
    """base URLs that clients use; the first one will do for all"""
    machines: int
    """hosts or nodes that are paid for"""
    hosts: Sequence[Host] = ()
    cluster: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    ssh_public_key: pulumi.Input[str] = ""
    """what opens the hosts"""
    completion: pulumi.Input[str] = ""
    """what the first host's model answered"""
    store: Store | None = None


def _on_hosts(args: HostsArgs) -> _Served:
    hosts = create_hosts(args, pulumi.ResourceOptions())
    store = hosts[0].store
    credentials = _model_credentials(args.settings, store)
    fleet = Fleet(
        args.plan.stack, FleetArgs(args.plan, hosts, args.keys, credentials, store.endpoint if store else None)
    )
    return _Served(
        endpoints=[endpoint(host) for host in hosts if host.front is None] or [endpoint(hosts[0])],
        machines=len(hosts),
        hosts=hosts,
        ssh_public_key=args.keys.ssh_public_key,
        completion=fleet.completion,
        store=store,
    )


def _in_cluster(args: HostsArgs, wanted: ClusterPlan) -> _Served:
    """The cluster, its pool, and what serves in it; its kubeconfig is an output, too."""
    cluster = create_cluster(args, pulumi.ResourceOptions())
    # The SDK of Kubernetes is large, and stacks of hosts have no use for it.
    from stacks.cluster import ClusterArgs, ClusterService  # noqa: PLC0415

    credentials = _model_credentials(args.settings, cluster.store)
    ClusterService(args.plan.stack, ClusterArgs(args.plan, wanted, cluster, args.keys, credentials))
    pulumi.export("kubeconfig", pulumi.Output.secret(cluster.kubeconfig))
    return _Served(
        endpoints=[cluster_endpoint(wanted)],
        machines=wanted.pool.nodes,
        cluster={"name": cluster.name, "zone": cluster.zone, "pool": wanted.pool.name},
        store=cluster.store,
    )


def _export(args: HostsArgs, served: _Served) -> None:
    """The outputs that every stack has, and those of a bucket where there is one."""
    plan, keys, offer = args.plan, args.keys, offer_of(args.settings)
    pulumi.export("endpoint", served.endpoints[0])
    pulumi.export("endpoints", served.endpoints)
    pulumi.export("model", plan.model_name)
    pulumi.export("release", plan.release)
    pulumi.export("hosts", [_shown(host, args.settings, offer) for host in served.hosts])
    pulumi.export("cluster", served.cluster)
    # The list price of hosts or nodes, in euro; disks, addresses, load balancers and what a cluster needs itself
    # come on top.
    pulumi.export("monthly_cost", None if offer is None else round(monthly(offer, served.machines), 2))
    pulumi.export("ca_certificate", keys.ca_certificate)
    pulumi.export("ssh_public_key", served.ssh_public_key)
    pulumi.export("api_key", keys.api_key)
    pulumi.export("completion", served.completion)
    _export_store(served.store)


def _model_credentials(settings: Settings, store: Store | None) -> dict[str, pulumi.Input[str]] | None:
    """What a private model source asks for: the reader's keys of the bucket that is made, or what the stack's
    configuration keeps; None for a public one."""
    if store is not None:
        keys = store.reader
        return {"access_key": keys.access_key, "secret_key": keys.secret_key, "region": store.region}
    found = {name: secret(f"model_{name}") for name in ("token", "access_key", "secret_key")}
    given: dict[str, pulumi.Input[str]] = {name: value for name, value in found.items() if value is not None}
    # A public bucket is asked in its region, too.
    return {**given, "region": settings.model.region} if given or "region" in settings.model.model_fields_set else None


def _export_store(store: Store | None) -> None:
    """Where the bucket for weights is, and the keys of whoever fills it."""
    if store is None:
        return
    pulumi.export("weights", {"bucket": store.bucket, "endpoint": store.filled_at, "region": store.region})
    pulumi.export("weights_access_key", store.writer.access_key)
    pulumi.export("weights_secret_key", pulumi.Output.secret(store.writer.secret_key))


def _shown(host: Host, settings: Settings, offer: Offer | None) -> dict[str, pulumi.Input[object]]:
    """A host in the stack's outputs. `price` is euro an hour; None where no price of its zone is known."""
    count, gpu = (settings.engine.gpus, None) if offer is None else (offer.gpus, offer.gpu)
    return {
        "name": host.name,
        "address": host.address,
        "host_key": host.connection["host_key"],
        "gpu": f"{count} × {gpu or 'GPU'}" if count else "",
        "zone": host.zone,
        "price": None if offer is None else round(euro(offer.price, offer.currency), 4),
    }


def endpoint(host: Host) -> pulumi.Output[str]:
    """Base URL of the OpenAI-compatible API on a host, or of the load balancer in front of it."""
    return pulumi.Output.format("https://{0}:{1}/v1", host.front or host.address, host.port)


def cluster_endpoint(wanted: ClusterPlan) -> str:
    """Base URL of the API for clients: of the way in where it has a name, else inside of the cluster."""
    return f"https://{wanted.hostname or f'{wanted.name}.{wanted.namespace}.svc'}/v1"
