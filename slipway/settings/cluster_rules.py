"""Rules about clusters and node pools."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slipway.settings.finding import Finding
from slipway.settings.resolving import replicas_of
from slipway.settings.sections import Settings

KIND = (("kind",),)


def sections(settings: Settings) -> Iterator[Finding]:
    """Each section goes with its kind."""
    for name in ("cluster", "pool"):
        if settings.kind == "host" and name in settings.model_fields_set:
            fix = "Take the section out, or write kind: node-pool"
            yield Finding((name,), "this describes a Kubernetes cluster, and kind is host", fix, KIND)
    if settings.kind == "node-pool" and "hosts" in settings.model_fields_set:
        fix = "Write how many nodes as slipway:pool.nodes"
        yield Finding(("hosts",), "this describes hosts, and kind is node-pool", fix, KIND)


def existing(settings: Settings) -> Iterator[Finding]:
    """A cluster that exists is named; one that is made is not."""
    cluster, used = settings.cluster, (("provider",),)
    if settings.kind != "node-pool":
        return
    if settings.provider == "kubernetes":
        if cluster.context is None:
            what = "the provider kubernetes needs the context of the cluster, which is never guessed"
            fix = "Add context; `kubectl config get-contexts -o name` lists them"
            yield Finding(("cluster", "context"), what, fix, used)
        for field in ("version", "private", "api_from"):
            if field in cluster.model_fields_set:
                what = "this is for a cluster that is made, and the provider kubernetes has one that exists"
                yield Finding(("cluster", field), what, "Take it out", used)
        return
    for field in ("context", "kubeconfig"):
        if field in cluster.model_fields_set:
            what = f"this names a cluster that exists, and the provider {settings.provider} makes one"
            yield Finding(("cluster", field), what, "Take it out, or write provider: kubernetes", used)
    if not cluster.private and not cluster.api_from:
        what = "nobody may reach the API server"
        fix = "Add api_from: the addresses of whoever runs `pulumi up`, such as [192.0.2.7/32]"
        yield Finding(("cluster", "api_from"), what, fix, (("cluster", "private"),))


def nodes(settings: Settings) -> Iterator[Finding]:
    pool, engine, cluster = settings.pool, settings.engine, settings.cluster
    if settings.kind != "node-pool":
        return
    if pool.max_nodes is not None and pool.max_nodes < pool.nodes:
        what = f"max_nodes is {pool.max_nodes}, and the pool starts with {pool.nodes}"
        yield Finding(("pool", "max_nodes"), what, f"Write {pool.nodes} or more", (("pool", "nodes"),))
    most_nodes = max(pool.nodes, pool.max_nodes or 0)
    most = most_nodes * engine.replicas // cluster.nodes_per_replica
    wanted, replicas = cluster.replicas, replicas_of(settings)
    if cluster.apart and replicas > most_nodes:
        what = f"{replicas} pods are to be on a node each, and there are {most_nodes} nodes"
        used = (("pool",), ("engine", "replicas"), ("cluster", "replicas"))
        yield Finding(("cluster", "apart"), what, "Lower slipway:cluster.replicas, or raise slipway:pool.nodes", used)
    if most == 0:
        what = f"a replica is spread over {cluster.nodes_per_replica} nodes, and there are {most_nodes}"
        yield Finding(("cluster", "nodes_per_replica"), what, "Raise slipway:pool.nodes", (("pool",),))
    elif wanted is not None and wanted > most:
        each = f"engine.replicas {engine.replicas} on each node"
        if cluster.nodes_per_replica > 1:
            each += f", {cluster.nodes_per_replica} nodes a replica"
        what = f"{wanted} pods are more than the {most} that fit: {each}"
        used = (("pool",), ("engine", "replicas"), ("cluster", "nodes_per_replica"))
        yield Finding(("cluster", "replicas"), what, "Lower it, or raise slipway:pool.nodes", used)


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (sections, existing, nodes)
