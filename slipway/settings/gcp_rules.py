"""Rules about the section of Google Cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from slipway.settings import cloud_findings
from slipway.settings.finding import Finding
from slipway.settings.gcp import HYPERDISK_ONLY, NOT_ON_DEMAND
from slipway.settings.resolving import driver_from
from slipway.settings.sections import Settings
from slipway.units import GIB

GCP = "gcp"

DISK = (10 * GIB, 65536 * GIB)
"""bytes: what an image needs, and the most of a persistent disk
https://cloud.google.com/compute/docs/disks/persistent-disks"""

RESERVED = 4
"""addresses of a subnet that Google keeps https://cloud.google.com/vpc/docs/subnets"""

IDLE_MOST = 600
"""seconds after which Google's firewall forgets a silent connection
https://cloud.google.com/compute/docs/troubleshooting/general-tips"""

OWNED = {
    "machine_type": "slipway:gcp.machine_type",
    "zone": "slipway:gcp.zone",
    "project": "slipway:gcp.project",
    "network_interfaces": "slipway:gcp.network",
    "metadata": "",
    "tags": "slipway:gcp.ssh_from and clients_from",
    "attached_disks": "slipway:gcp.cache",
    "guest_accelerators": "slipway:gcp.accelerator",
    "resource_policies": "slipway:gcp.anti_affinity",
}
OWNED_CLUSTER = {
    "location": "slipway:gcp.zone",
    "project": "slipway:gcp.project",
    "network": "",
    "subnetwork": "slipway:gcp.network",
    "min_master_version": "slipway:cluster.version",
    "control_plane_endpoints_config": "slipway:cluster.private",
    "master_authorized_networks_config": "slipway:cluster.api_from",
    "workload_identity_config": "",
    "remove_default_node_pool": "",
}
OWNED_POOL = {
    "cluster": "",
    "location": "slipway:gcp.zone",
    "project": "slipway:gcp.project",
    "name": "",
    "name_prefix": "",
    "version": "slipway:pool.image",
    "node_count": "slipway:pool.nodes",
    "autoscaling": "slipway:pool.max_nodes",
    "maintenance_policies": "",
}

HOW = {"scheduling", "spot", "flex_start", "reservation_affinity"}
"""arguments of a server or a node that say how Google is to find room for it"""

OF_HOSTS = (
    "image", "user", "disk", "cache", "cache_retain", "ssh_from", "clients_from", "anti_affinity", "spot",
    "load_balancer", "instance_args",
)  # fmt: skip
OF_POOLS = ("release_channel", "system_machine_type", "cluster_args", "pool_args")


def section(settings: Settings) -> Iterator[Finding]:
    yield from cloud_findings.elsewhere(settings, GCP, "Google Cloud")
    if settings.provider != GCP:
        return
    chosen, provider_used = settings.gcp, (("provider",),)
    if chosen.project is None:
        fix = "Add project: its id; `gcloud projects list` lists them"
        yield Finding((GCP, "project"), "the provider gcp needs the project of its servers", fix, provider_used)
    if chosen.zone is None:
        fix = "Add zone, such as europe-west4-a; `gcloud compute zones list` lists them"
        yield Finding((GCP, "zone"), "the provider gcp needs the zone of its servers", fix, provider_used)
    if settings.kind == "host" and chosen.image is None:
        what = "the provider gcp needs the image of its servers, one of the release's OS with cloud-init in it"
        fix = (
            "Add image, such as what `gcloud compute images list --uri --filter='family=ubuntu-2404-lts-amd64'` "
            "prints, from projects/ on; Google's images of Debian have no cloud-init"
        )
        yield Finding((GCP, "image"), what, fix, (("provider",), ("kind",)))
    yield from cloud_findings.unreachable(settings, GCP)
    yield from cloud_findings.instance(settings, GCP, "machine type")
    yield from cloud_findings.disks(settings, GCP, *DISK)
    yield from cloud_findings.settles(settings, GCP)
    for field, owners in (("instance_args", OWNED), ("cluster_args", OWNED_CLUSTER), ("pool_args", OWNED_POOL)):
        yield from cloud_findings.owned(settings, GCP, field, owners)
    yield from cloud_findings.only_of(settings, GCP, "host", OF_HOSTS)
    yield from cloud_findings.only_of(settings, GCP, "node-pool", OF_POOLS)
    hosts = settings.kind == "host"
    # A new pool stands beside the old one for a while.
    count = settings.hosts.count if hosts else 2 * max(settings.pool.nodes, settings.pool.max_nodes or 0)
    yield from cloud_findings.private_network(settings, GCP, "network", count + RESERVED)


def machines(settings: Settings) -> Iterator[Finding]:
    """What goes together in a machine."""
    chosen = settings.gcp
    if settings.provider != GCP:
        return
    kind, used = chosen.machine_type or "", ((GCP, "machine_type"),)
    own = chosen.model_copy(update={"accelerator": None}).gpu
    if chosen.accelerator is not None and own is not None:
        what = f"a machine of type {kind} has GPUs of its own, {own}"
        yield Finding((GCP, "accelerator"), what, "Take it out", used)
    if chosen.machine_type is not None and chosen.gpu is None and settings.engine.gpus:
        what = f"no GPU of a machine of type {kind} is known, and gpus is {settings.engine.gpus}"
        fix = "Add accelerator, such as nvidia-tesla-t4; `gcloud compute accelerator-types list` lists them"
        yield Finding((GCP, "accelerator"), what, fix, (*used, ("engine", "gpus")))
    if chosen.accelerator is not None and not settings.engine.gpus and settings.gpu is None:
        what = "there is a GPU, and gpus is 0"
        yield Finding(("engine", "gpus"), what, "Write how many, or take slipway:gcp.accelerator out", used)
    if chosen.disk_type in ("pd-balanced", "pd-ssd") and kind.startswith(HYPERDISK_ONLY):
        what = f"a machine of type {kind} takes no {chosen.disk_type}"
        yield Finding((GCP, "disk_type"), what, "Write hyperdisk-balanced, or take it out", used)
    yield from cloud_findings.spot(settings, GCP)
    if kind.startswith(NOT_ON_DEMAND):
        yield from _on_demand(settings)


def _on_demand(settings: Settings) -> Iterator[Finding]:
    """Machines of a type that Google starts none of on demand, where nothing says how they are to be had."""
    chosen, used = settings.gcp, ((GCP, "machine_type"),)
    what = f"Google starts no machine of type {chosen.machine_type} on demand"
    if settings.kind == "host":
        if chosen.spot < settings.hosts.count and not chosen.instance_args.keys() & HOW:
            count = settings.hosts.count
            fix = f"Write spot: {count}, or instance_args.reservation_affinity with a reservation of yours"
            yield Finding((GCP, "spot"), what, fix, used)
        return
    node = chosen.pool_args.get("node_config")
    if not (isinstance(node, dict) and node.keys() & HOW):
        fix = "Add node_config: {spot: true}, or node_config.reservation_affinity with a reservation of yours"
        yield Finding((GCP, "pool_args"), what, fix, used)


def connections(settings: Settings) -> Iterator[Finding]:
    if settings.provider != GCP:
        return
    for field in ("ssh_from", "clients_from"):
        addresses = getattr(settings.gcp, field)
        yield from cloud_findings.no_ipv6((GCP, field), addresses, "servers at Google Cloud are made with IPv4 alone")
    yield from cloud_findings.silence(settings, IDLE_MOST, "Google's network forgets connections that are silent")


def cluster(settings: Settings) -> Iterator[Finding]:
    chosen, pool = settings.cluster, settings.pool
    if settings.provider != GCP or settings.kind != "node-pool":
        return
    kind = (("kind",),)
    if chosen.version is None:
        fix = 'Add version, such as "1.33"; `gcloud container get-server-config` lists them'
        yield Finding(("cluster", "version"), "the version of a cluster at Google Cloud is not said", fix, kind)
    if chosen.private and not chosen.api_from:
        what = "the API server has a private address, and nobody may reach it"
        fix = (
            "Add api_from: private addresses of whoever runs `pulumi up` in a network that is connected to the "
            "cluster's, such as [10.0.0.0/24], or write private: false and public ones"
        )
        yield Finding(("cluster", "api_from"), what, fix, (("cluster", "private"), *kind))
    yield from cloud_findings.no_ipv6(("cluster", "api_from"), chosen.api_from, "GKE takes IPv4 here")
    if settings.engine.gpus and chosen.gpu_layer != "none" and driver_from(settings) == "image":
        what = "GKE's nodes bring a device plugin of their own, and a second one would claim the same GPUs"
        fix = "Write gpu_layer: none; operator is for the release's own driver"
        yield Finding(("cluster", "gpu_layer"), what, fix, (("engine", "gpus"), *kind))
    if pool.image is not None and chosen.version is not None and not pool.image.startswith(f"{chosen.version}."):
        what = f"{pool.image} is no version of a node for Kubernetes {chosen.version}"
        fix = f"Write one such as {chosen.version}.4-gke.1000000; `gcloud container get-server-config` lists them"
        yield Finding(("pool", "image"), what, fix, (("cluster", "version"),))


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (section, machines, connections, cluster)
