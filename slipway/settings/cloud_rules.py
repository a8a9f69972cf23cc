"""Rules about the sections of clouds."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from slipway.settings import cloud_findings
from slipway.settings.clouds import CHECK_MISSES, CHECK_SECONDS, SEEN
from slipway.settings.finding import Finding
from slipway.settings.resolving import balanced, cloud_of, settle_seconds
from slipway.settings.sections import Settings
from slipway.units import about_bytes, format_duration

UPCLOUD = ("upcloud",)

DISK_GB = (10, 4096)
"""what UpCloud makes, in GB"""

OWNED = {
    "server_args": {
        "hostname": "slipway:hosts",
        "zone": "slipway:upcloud.zone",
        "plan": "slipway:upcloud.plan",
        "login": "slipway:upcloud.user",
        "user_data": "",
        "metadata": "",
        "firewall": "slipway:upcloud.ssh_from and clients_from",
        "network_interfaces": "slipway:upcloud.network",
        "storage_devices": "slipway:upcloud.cache",
    },
    "cluster_args": {
        "network": "slipway:upcloud.network",
        "zone": "slipway:upcloud.zone",
        "version": "slipway:cluster.version",
        "control_plane_ip_filters": "slipway:cluster.api_from",
        "fetch_kubeconfig": "",
    },
    "pool_args": {
        "cluster": "",
        "name": "",
        "name_prefix": "",
        "plan": "slipway:upcloud.plan",
        "node_count": "slipway:pool.nodes",
        "labels": "slipway:pool.labels",
    },
}
"""arguments of a server, a cluster and a node group that Slipway cannot do without, and the setting that says them"""

SERVERS_ONLY = frozenset({
    "template", "user", "disk", "cache", "cache_retain", "ssh_from", "clients_from", "load_balancer",
    "load_balancer_plan", "load_balancer_sessions", "floating_ip", "server_args",
})  # fmt: skip
POOLS_ONLY = frozenset({"kubernetes_plan", "system_plan", "cluster_args", "pool_args"})

OWNED_BY_UKS = ("172.31.240.0/24", "10.128.0.0/12", "192.168.0.0/16")
"""control plane, services and pods of a cluster
https://upcloud.com/docs/products/managed-kubernetes/features/data-plane"""


def upcloud(settings: Settings) -> Iterator[Finding]:
    chosen, provider_used = settings.upcloud, (("provider",),)
    if settings.provider != "upcloud":
        yield from cloud_findings.elsewhere(settings, "upcloud", "UpCloud")
        return
    if chosen.zone is None:
        fix = "Add zone, such as fi-hel2; `upctl zone list` lists them"
        yield Finding((*UPCLOUD, "zone"), "the provider upcloud needs the zone of its servers", fix, provider_used)
    yield from cloud_findings.unreachable(settings, "upcloud")
    yield from cloud_findings.instance(settings, "upcloud", "plan")
    for field in ("disk", "cache"):
        size = getattr(chosen, field)
        if size is not None and not DISK_GB[0] * 10**9 <= size <= DISK_GB[1] * 10**9:
            what = f"{about_bytes(size)} is no size of a disk there"
            yield Finding((*UPCLOUD, field), what, f'Write a size from "{DISK_GB[0]}GB" to "{DISK_GB[1]}GB"')
    other = SERVERS_ONLY if settings.kind == "node-pool" else POOLS_ONLY
    for field in sorted(other & chosen.model_fields_set):
        what = f"this describes {'servers' if settings.kind == 'node-pool' else 'a node pool'}, and kind is"
        yield Finding((*UPCLOUD, field), f"{what} {settings.kind}", "Take it out", (("kind",),))
    for field, owners in OWNED.items():
        yield from cloud_findings.owned(settings, "upcloud", field, owners)


def upcloud_network(settings: Settings) -> Iterator[Finding]:
    network = ipaddress.ip_network(settings.upcloud.network)
    where = (*UPCLOUD, "network")
    if settings.provider != "upcloud":
        return
    if network.version != 4 or not network.is_private:
        yield Finding(where, f"{network} is no private IPv4 network", "Write one, such as 10.77.0.0/24")
        return
    pool = settings.kind == "node-pool"
    # The cloud keeps network, broadcast and gateway for itself; a load balancer has a node or two, and two in a change.
    # A new pool stands beside the old one for a while.
    count, of = (2 * settings.pool.nodes, "nodes") if pool else (settings.hosts.count, "hosts")
    # One more node is the cluster's own, beside a pool that keeps its pods away.
    count += pool and settings.pool.taint and settings.engine.gpus > 0
    needed = count + 3 + 4
    if network.num_addresses < needed:
        what = f"{network} has {network.num_addresses} addresses, and {count} {of} need {needed}"
        yield Finding(where, what, "Write a larger one, such as 10.77.0.0/22", (("hosts", "count"), ("pool", "nodes")))
    for taken in OWNED_BY_UKS if pool else ():
        if network.overlaps(ipaddress.ip_network(taken)):
            what = f"{network} overlaps {taken}, which a cluster has for itself"
            yield Finding(where, what, "Write another, such as 10.77.0.0/24", (("kind",),))


def upcloud_pool(settings: Settings) -> Iterator[Finding]:
    if settings.provider != "upcloud" or settings.kind != "node-pool":
        return
    cluster, pool, plan = settings.cluster, settings.pool, settings.upcloud.plan
    if cluster.version is None:
        fix = 'Add version, such as "1.33"; `upctl kubernetes versions` lists them'
        yield Finding(("cluster", "version"), "a cluster without a version gets the newest, which moves", fix)
    if cluster.private and not cluster.api_from:
        what = "the API server has a public address, and nobody may reach it"
        fix = "Add api_from: the addresses of whoever runs `pulumi up`, such as [192.0.2.7/32]"
        yield Finding(("cluster", "api_from"), what, fix, (("cluster", "private"),))
    if pool.image is not None:
        what = "UpCloud's nodes come with the image of the cluster's version"
        yield Finding(("pool", "image"), what, "Take it out, and pin slipway:cluster.version")
    if pool.max_nodes is not None:
        what = "UpCloud scales no node group by itself"
        yield Finding(("pool", "max_nodes"), what, "Take it out, and write as many nodes as are needed")
    if pool.disk is not None and plan is not None and not plan.startswith("GPU-"):
        what = f"the disk of plan {plan} comes with it"
        yield Finding(("pool", "disk"), what, "Take it out", ((*UPCLOUD, "plan"),))


def upcloud_store(settings: Settings) -> Iterator[Finding]:
    if settings.provider != "upcloud":
        return
    chosen, used = settings.upcloud, (("weights",),)
    if settings.weights is not None and chosen.weights_region is None:
        fix = "Add weights_region, such as europe-1; `upctl object-storage regions` lists them, each with its zones"
        yield Finding((*UPCLOUD, "weights_region"), "a bucket needs the region of its object storage", fix, used)
    for field in ("weights_region", "weights_public"):
        if settings.weights is None and field in chosen.model_fields_set:
            yield Finding((*UPCLOUD, field), "there is no bucket", "Take it out, or add slipway:weights", used)


def renewal(settings: Settings) -> Iterator[Finding]:
    if settings.hosts.renew and cloud_of(settings) is None:
        what = f"hosts of the provider {settings.provider} are not made anew: no cloud makes them"
        yield Finding(("hosts", "renew"), what, "Take it out", (("provider",),))


def balancer(settings: Settings) -> Iterator[Finding]:
    if settings.provider != "upcloud":
        return
    in_front = balanced(settings)
    if settings.upcloud.floating_ip and not in_front:
        what = "a floating address needs a load balancer: a server alone would not know that the address is its own"
        fix = "Write load_balancer: always, or take floating_ip out"
        yield Finding((*UPCLOUD, "floating_ip"), what, fix, ((*UPCLOUD, "load_balancer"),))
    settle = settle_seconds(settings)
    if in_front and settle < SEEN:
        what = (
            f"{format_duration(settle)} is less than the {SEEN} s in which a load balancer sees that a host drains: "
            f"{CHECK_MISSES} checks and one that just passed, {CHECK_SECONDS} s each"
        )
        yield Finding(("drain", "settle"), what, f'Write "{SEEN}s" or more', ((*UPCLOUD, "load_balancer"),))


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    upcloud,
    upcloud_network,
    upcloud_pool,
    upcloud_store,
    renewal,
    balancer,
)
