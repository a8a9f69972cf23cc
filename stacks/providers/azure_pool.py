"""Managed Kubernetes at Azure (AKS): a cluster, a node for what it needs itself, and the pool.

Nodes have no public address and reach the internet through the cluster's load balancer. A private API server answers in
the cluster's network and in those connected to it; its name is in the public DNS, with the private address. The
kubeconfig holds a client's certificate, where `slipway:azure.cluster_args` does not ask for Entra ID.

Who brings the driver: with `driver: image` AKS installs the one of the node's image, with `operator` none. Nobody can
name an image's version for a new pool, but the snapshot of a pool that has it (`slipway:pool.image`). Without one a
pool gets the newest image when it is made and keeps it, as no upgrades are asked for.
https://learn.microsoft.com/en-us/azure/aks/use-nvidia-gpu
https://learn.microsoft.com/en-us/azure/aks/node-pool-snapshot

Left out: spot nodes, Azure's managed GPU nodes (a preview) and automatic mode, which choose versions themselves.
"""

from __future__ import annotations

import base64
from typing import Any

import pulumi
from pulumi_azure_native import authorization, containerservice, managedidentity

from slipway.hosting import boot_disk
from slipway.settings.azure import IMAGE_DISK
from slipway.units import GB
from stacks.providers import Cluster, HostsArgs
from stacks.providers.azure_network import Network, Place, name_of, place, private_network, zone_name
from stacks.providers.native import laid_over
from stacks.providers.shared import short_name, size_gib

NETWORK_CONTRIBUTOR = "4d97b98b-1d4f-4787-a291-c67834d212e7"
"""https://learn.microsoft.com/en-us/azure/role-based-access-control/built-in-roles/networking#network-contributor"""

MOST_DNS_PREFIX = 54
"""characters"""

NODES = {"os_type": "Linux", "os_sku": "Ubuntu", "type": "VirtualMachineScaleSets"}
"""what every pool has"""


def create_cluster(args: HostsArgs, opts: pulumi.ResourceOptions) -> Cluster:
    """Make a network, a cluster in it, and the plan's node pool in that.

    Raises PlanError for arguments that the SDK does not have.
    """
    chosen, wanted, name = args.settings.azure, args.cluster, name_of(args)
    where = place(args, opts)
    inside = private_network(args, where)
    identity, allowed = _identity(args, where, inside)
    written: dict[str, Any] = {
        **where.arguments,
        "dns_prefix": short_name(name, MOST_DNS_PREFIX),
        "kubernetes_version": wanted.version,
        "node_resource_group": pulumi.Output.concat(where.group.name, "-nodes"),
        "sku": {"name": "Base", "tier": chosen.kubernetes_tier},
        "identity": {"type": "UserAssigned", "user_assigned_identities": [identity.id]},
        "api_server_access_profile": {
            "enable_private_cluster": wanted.private,
            **(
                {"private_dns_zone": "system", "enable_private_cluster_public_fqdn": True}
                if wanted.private
                else {"authorized_ip_ranges": list(wanted.api_from)}
            ),
        },
        "network_profile": {
            "network_plugin": "azure",
            "network_plugin_mode": "overlay",
            "network_dataplane": "cilium",
            "network_policy": "cilium",
            "load_balancer_sku": "standard",
            "outbound_type": "loadBalancer",
        },
        # A cluster is not made without a pool.
        "agent_pool_profiles": [
            {
                **_node(args, inside),
                "name": "system",
                "mode": "System",
                "count": 1,
                "vm_size": chosen.system_vm_size,
                "orchestrator_version": wanted.version,
            }
        ],
        # What is pinned stays: a new version or image is a new pool.
        "auto_upgrade_profile": {"upgrade_channel": "none", "node_os_upgrade_channel": "None"},
    }
    cluster = containerservice.ManagedCluster(
        name,
        resource_name_=name,
        **laid_over(containerservice.ManagedClusterArgs, written, chosen.cluster_args, "slipway:azure.cluster_args"),
        opts=pulumi.ResourceOptions.merge(
            where.opts,
            pulumi.ResourceOptions(
                depends_on=[allowed],
                # Azure changes the size of no pool.
                ignore_changes=["agentPoolProfiles[0].vmSize"],
                delete_before_replace=True,
            ),
        ),
    )
    return Cluster(
        name=cluster.name,
        kubeconfig=_kubeconfig(cluster, where, private=wanted.private),
        pool=_pool(args, cluster, where, inside),
        zone=zone_name(chosen, chosen.zone),
    )


def _identity(
    args: HostsArgs, where: Place, inside: Network
) -> tuple[managedidentity.UserAssignedIdentity, authorization.RoleAssignment]:
    """Who the cluster is, and that it may put its load balancers, its API server's address and a zone of names for that
    into the network."""
    identity = managedidentity.UserAssignedIdentity(name_of(args), **where.arguments, opts=where.opts)
    role = f"/subscriptions/{args.settings.azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/"
    allowed = authorization.RoleAssignment(
        name_of(args),
        scope=inside.network.id,
        role_definition_id=f"{role}{NETWORK_CONTRIBUTOR}",
        principal_id=identity.principal_id,
        # Without it, an identity that is new would not be found yet.
        principal_type="ServicePrincipal",
        opts=where.opts,
    )
    return identity, allowed


def _node(args: HostsArgs, inside: Network) -> dict[str, Any]:
    """What every node has."""
    zone = args.settings.azure.zone
    return {
        **NODES,
        "vnet_subnet_id": inside.subnet.id,
        "enable_node_public_ip": False,
        **({"availability_zones": [zone]} if zone is not None else {}),
    }


def _pool(
    args: HostsArgs, cluster: containerservice.ManagedCluster, where: Place, inside: Network
) -> containerservice.AgentPool:
    """The pool. What would need other nodes is another generation, and so another pool, beside the old one."""
    chosen, pool = args.settings.azure, args.cluster.pool
    written: dict[str, Any] = {
        **_node(args, inside),
        "resource_group_name": where.group.name,
        # Twelve characters at the most, a letter first, and a generation may begin with a digit.
        "agent_pool_name": f"p{pool.generation}",
        "mode": "User",
        "vm_size": chosen.vm_size,
        "count": pool.nodes,
        "os_disk_size_gb": _disk(args),
        "node_labels": dict(pool.labels),
        "node_taints": [f"{taint.key}={taint.value}:{taint.effect}" for taint in pool.taints],
        "tags": where.tags,
    }
    # A snapshot has its version with it.
    if pool.image is not None:
        written["creation_data"] = {"source_resource_id": pool.image}
    else:
        written["orchestrator_version"] = args.cluster.version
    if pool.gpus:
        written["gpu_profile"] = {"driver": "None" if pool.driver == "operator" else "Install"}
    scaled = pool.max_nodes > pool.nodes
    if scaled:
        written |= {"enable_auto_scaling": True, "min_count": pool.nodes, "max_count": pool.max_nodes}
    return containerservice.AgentPool(
        pool.name,
        resource_name_=cluster.name,
        **laid_over(containerservice.AgentPoolArgs, written, chosen.pool_args, "slipway:azure.pool_args"),
        # How many there are now is the autoscaler's to say, where there is one.
        opts=pulumi.ResourceOptions.merge(
            where.opts, pulumi.ResourceOptions(ignore_changes=["count"] if scaled else [])
        ),
    )


def _disk(args: HostsArgs) -> int:
    """GiB of a node's boot disk."""
    said = args.settings.pool.disk
    if said is not None:
        return size_gib(said)
    size = boot_disk(args.plan, weights_elsewhere=False)
    pulumi.log.info(f"boot disk of each node, in GB: {size.why}")
    return size_gib(max(size.gigabytes * GB, IMAGE_DISK))


def _kubeconfig(cluster: containerservice.ManagedCluster, where: Place, *, private: bool) -> pulumi.Output[str]:
    """Azure writes it once the cluster is there; for a private one, with the name that everybody can look up."""
    found = containerservice.list_managed_cluster_user_credentials_output(
        resource_group_name=where.group.name,
        resource_name=cluster.name,
        server_fqdn="public" if private else None,
        opts=pulumi.InvokeOutputOptions(provider=where.opts.provider, depends_on=[cluster]),
    )
    return pulumi.Output.secret(found.apply(lambda answer: base64.b64decode(answer.kubeconfigs[0].value).decode()))
