"""Rules about the section of Azure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from slipway.settings import cloud_findings
from slipway.settings.azure import IDLE_MOST, IMAGE_DISK, SSH_FIRST, SSH_MOST
from slipway.settings.finding import Finding
from slipway.settings.resolving import balanced
from slipway.settings.sections import Settings
from slipway.units import GIB, about_bytes

AZURE = "azure"

DISKS = {"disk": (IMAGE_DISK, 4095 * GIB), "cache": (4 * GIB, 32767 * GIB)}
"""bytes: the most of a boot disk, and what there is of a disk beside it
https://learn.microsoft.com/en-us/azure/virtual-machines/managed-disks-overview"""
POOL_DISK = (IMAGE_DISK, 2048 * GIB)
"""bytes of a node's boot disk https://learn.microsoft.com/en-us/rest/api/aks/agent-pools/create-or-update"""

RESERVED = 5
"""addresses of a subnet that Azure keeps https://learn.microsoft.com/en-us/azure/virtual-network/virtual-networks-faq"""
OF_CLUSTER = 3
"""addresses beside the pool's nodes: the system's node, one more while it is changed, and the API server's"""
OWNED_BY_AKS = ("10.0.0.0/16", "10.244.0.0/16", "169.254.0.0/16", "172.30.0.0/16", "172.31.0.0/16", "192.0.2.0/24")
"""services and pods of a cluster, and what AKS wants kept free
https://learn.microsoft.com/en-us/azure/aks/azure-cni-overlay"""

USERS = frozenset({
    "1", "123", "a", "actuser", "adm", "admin", "admin1", "admin2", "administrator", "aspnet", "backup", "console",
    "david", "guest", "john", "owner", "root", "server", "sql", "support", "support_388945a0", "sys", "test", "test1",
    "test2", "test3", "user", "user1", "user2", "user3", "user4", "user5",
})  # fmt: skip
"""logins that Azure refuses
https://learn.microsoft.com/en-us/azure/virtual-machines/linux/faq#what-are-the-username-requirements-when-creating-a-vm-"""

SNAPSHOT = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ContainerService/snapshots/[^/]+", re.IGNORECASE
)

OWNED = {
    "resource_group_name": "",
    "location": "slipway:azure.location",
    "zones": "slipway:azure.zone or anti_affinity",
    "availability_set": "slipway:azure.anti_affinity",
    "hardware_profile": "slipway:azure.vm_size",
    "network_profile": "slipway:azure.network and accelerated_networking",
    "os_profile": "slipway:azure.user",
    "priority": "slipway:azure.spot",
    "eviction_policy": "slipway:azure.spot",
    "user_data": "",
    "vm_name": "",
}
OWNED_CLUSTER = {
    "resource_group_name": "",
    "resource_name": "",
    "location": "slipway:azure.location",
    "kubernetes_version": "slipway:cluster.version",
    "api_server_access_profile": "slipway:cluster.private and api_from",
    "agent_pool_profiles": "slipway:azure.system_vm_size",
    "identity": "",
}
OWNED_POOL = {
    "resource_group_name": "",
    "resource_name": "",
    "agent_pool_name": "",
    "vm_size": "slipway:azure.vm_size",
    "count": "slipway:pool.nodes",
    "min_count": "slipway:pool.nodes",
    "max_count": "slipway:pool.max_nodes",
    "enable_auto_scaling": "slipway:pool.max_nodes",
    "creation_data": "slipway:pool.image",
    "node_labels": "slipway:pool.labels",
    "node_taints": "slipway:pool.taint",
    "gpu_profile": "slipway:cluster.gpu_layer",
    "orchestrator_version": "slipway:cluster.version",
}

OF_HOSTS = (
    "image", "user", "disk", "disk_type", "cache", "cache_retain", "ssh_from", "clients_from", "anti_affinity",
    "fault_domains", "accelerated_networking", "trusted_launch", "spot", "dns_label", "load_balancer", "vm_args",
)  # fmt: skip
OF_POOLS = ("kubernetes_tier", "system_vm_size", "cluster_args", "pool_args")


def section(settings: Settings) -> Iterator[Finding]:
    yield from cloud_findings.elsewhere(settings, AZURE, "Azure")
    if settings.provider != AZURE:
        return
    chosen, provider_used = settings.azure, (("provider",),)
    if chosen.subscription is None:
        fix = "Add subscription: its id; `az account list --output table` lists them"
        what = "the provider azure needs the subscription of its servers"
        yield Finding((AZURE, "subscription"), what, fix, provider_used)
    if chosen.location is None:
        fix = "Add location, such as swedencentral; `az account list-locations --output table` lists them"
        yield Finding((AZURE, "location"), "the provider azure needs the region of its servers", fix, provider_used)
    if settings.kind == "host" and chosen.image is None:
        what = "the provider azure needs the image of its servers, one of the release's OS with cloud-init in it"
        fix = (
            "Add image, such as the last that `az vm image list --all --publisher Canonical --offer ubuntu-24_04-lts "
            "--sku server --query '[].urn' --output tsv` prints, or of --publisher Debian --offer debian-12 --sku "
            "12-gen2"
        )
        yield Finding((AZURE, "image"), what, fix, (("provider",), ("kind",)))
    yield from cloud_findings.unreachable(settings, AZURE)
    yield from cloud_findings.instance(settings, AZURE, "size")
    for field, (least, most) in DISKS.items():
        yield from cloud_findings.disks(settings, AZURE, least, most, fields=(field,))
    yield from cloud_findings.settles(settings, AZURE)
    for field, owners in (("vm_args", OWNED), ("cluster_args", OWNED_CLUSTER), ("pool_args", OWNED_POOL)):
        yield from cloud_findings.owned(settings, AZURE, field, owners)
    yield from cloud_findings.only_of(settings, AZURE, "host", OF_HOSTS)
    yield from cloud_findings.only_of(settings, AZURE, "node-pool", OF_POOLS)


def servers(settings: Settings) -> Iterator[Finding]:
    chosen = settings.azure
    if settings.provider != AZURE or settings.kind != "host":
        return
    yield from cloud_findings.private_network(settings, AZURE, "network", settings.hosts.count + RESERVED)
    yield from cloud_findings.spot(settings, AZURE)
    if chosen.user in USERS:
        what = f"Azure makes no login named {chosen.user}"
        yield Finding((AZURE, "user"), what, "Write another, such as slipway")
    if chosen.zone is not None and chosen.anti_affinity in ("availability-set", "zones"):
        what = (
            "Azure takes no server with a zone into an availability set"
            if chosen.anti_affinity == "availability-set"
            else f"all servers are in zone {chosen.zone}"
        )
        yield Finding((AZURE, "anti_affinity"), what, "Take it out, or zone", ((AZURE, "zone"),))
    if "fault_domains" in chosen.model_fields_set and chosen.apart != "availability-set":
        what = "this is of an availability set, and there is none"
        used = ((AZURE, "zone"), (AZURE, "anti_affinity"))
        yield Finding((AZURE, "fault_domains"), what, "Take it out", used)
    if balanced(settings) and SSH_FIRST <= settings.proxy.port < SSH_FIRST + SSH_MOST:
        last = SSH_FIRST + SSH_MOST - 1
        what = f"ports from {SSH_FIRST} to {last} of a load balancer at Azure are those of servers' SSH"
        yield Finding(("proxy", "port"), what, "Use another, such as 8443", (("hosts", "count"),))
    if chosen.dns_label is not None and settings.hosts.count > 1 and not balanced(settings):
        what = f"one name stands for one address, and {settings.hosts.count} servers without a load balancer have more"
        fix = "Take it out, or write load_balancer: auto"
        yield Finding((AZURE, "dns_label"), what, fix, (("hosts", "count"), (AZURE, "load_balancer")))
    for field in ("ssh_from", "clients_from"):
        addresses = getattr(chosen, field)
        yield from cloud_findings.no_ipv6((AZURE, field), addresses, "servers at Azure are made with IPv4 alone")
    yield from cloud_findings.silence(settings, IDLE_MOST, "Azure forgets connections that are silent")


def cluster(settings: Settings) -> Iterator[Finding]:
    chosen, pool = settings.cluster, settings.pool
    if settings.provider != AZURE or settings.kind != "node-pool":
        return
    kind = (("kind",),)
    if chosen.version is None:
        fix = 'Add version, such as "1.33"; `az aks get-versions --location LOCATION --output table` lists them'
        yield Finding(("cluster", "version"), "the version of a cluster at Azure is not said", fix, kind)
    if chosen.private and chosen.api_from:
        what = (
            "AKS holds a private API server to no addresses: whoever is in its network, or in one that is connected to "
            "it, may reach it"
        )
        fix = "Take api_from out, or write private: false and public addresses"
        yield Finding(("cluster", "api_from"), what, fix, (("cluster", "private"), *kind))
    yield from cloud_findings.no_ipv6(("cluster", "api_from"), chosen.api_from, "AKS takes IPv4 here")
    if pool.image is not None and SNAPSHOT.fullmatch(pool.image) is None:
        what = "AKS takes no version of a node image, but the snapshot of a pool that has it"
        fix = (
            "Write the id of one, which `az aks nodepool snapshot create --nodepool-id POOL` prints, or take image "
            "out: nodes get the newest image when their pool is made, and keep it"
        )
        yield Finding(("pool", "image"), what, fix, (("provider",),))
    if pool.disk is not None and not POOL_DISK[0] <= pool.disk <= POOL_DISK[1]:
        what = f"{about_bytes(pool.disk)} is no size of a node's disk there"
        fix = f"Write a size from {about_bytes(POOL_DISK[0])} to {about_bytes(POOL_DISK[1])}"
        yield Finding(("pool", "disk"), what, fix, (("provider",),))
    # A new pool stands beside the old one for a while.
    nodes = 2 * max(pool.nodes, pool.max_nodes or 0)
    yield from cloud_findings.private_network(settings, AZURE, "network", nodes + OF_CLUSTER + RESERVED)
    network = ipaddress.ip_network(settings.azure.network)
    for taken in OWNED_BY_AKS:
        if network.overlaps(ipaddress.ip_network(taken)):
            what = f"{network} overlaps {taken}, which a cluster has for itself"
            yield Finding((AZURE, "network"), what, "Write another, such as 10.79.0.0/22", kind)


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (section, servers, cluster)
