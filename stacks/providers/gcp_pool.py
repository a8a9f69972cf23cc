"""Managed Kubernetes at Google Cloud (GKE): a cluster in one zone, a node for what it needs itself, and the pool.

Nodes have no public address and reach the internet through a NAT gateway. They act as a service account that may write
logs and metrics and nothing else; pods get credentials through workload identity.

Who brings the driver: with `driver: image` GKE installs the one of the node's version, which pins it; with `operator`
nodes are Ubuntu's, have none, and get no device plugin of GKE's.
https://cloud.google.com/kubernetes-engine/docs/how-to/gpus
"""

from __future__ import annotations

import math
from typing import Any

import pulumi
from pulumi_gcp import container, projects, serviceaccount

from slipway.hosting import boot_disk
from slipway.pools import dns_label
from slipway.units import GB
from stacks.providers import Cluster, HostsArgs
from stacks.providers.gcp_network import labels_of, name_of, private_network, way_out
from stacks.providers.gcp_store import store
from stacks.providers.native import laid_over
from stacks.providers.shared import kubeconfig, short_name

EFFECTS = {"NoSchedule": "NO_SCHEDULE", "PreferNoSchedule": "PREFER_NO_SCHEDULE", "NoExecute": "NO_EXECUTE"}
"""GKE's words for Kubernetes'"""

NODE_ROLE = "roles/container.defaultNodeServiceAccount"
"""https://cloud.google.com/kubernetes-engine/docs/how-to/service-accounts"""

WITHOUT_PLUGIN = {"gke-no-default-nvidia-gpu-device-plugin": "true"}
"""keeps GKE's device plugin off a node https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/google-gke.html"""

MOST_ACCOUNT = 30
"""characters of an account's id"""

UPKEEP: dict[str, Any] = {
    "management": {"auto_repair": True, "auto_upgrade": True},
    "upgrade_settings": {"strategy": "SURGE", "max_surge": 1, "max_unavailable": 0},
}
"""GKE repairs nodes, and upgrades those of a cluster in a release channel. New customers have no other clusters
(https://cloud.google.com/kubernetes-engine/docs/release-notes-nochannel)."""


def create_cluster(args: HostsArgs, opts: pulumi.ResourceOptions) -> Cluster:
    """Make a network, a cluster in it, and the plan's node pool in that.

    Raises PlanError for arguments that the SDK does not have.
    """
    chosen, wanted, name = args.settings.gcp, args.cluster, name_of(args)
    network = private_network(args, opts)
    nat = way_out(args, network, opts)
    written: dict[str, Any] = {
        "project": chosen.project,
        "location": chosen.zone,
        "network": network.network.id,
        "subnetwork": network.subnet.id,
        "networking_mode": "VPC_NATIVE",
        # Ranges for pods and services that Google chooses.
        "ip_allocation_policy": {},
        "datapath_provider": "ADVANCED_DATAPATH",
        "min_master_version": wanted.version,
        "release_channel": {"channel": chosen.release_channel},
        "private_cluster_config": {"enable_private_nodes": True, "enable_private_endpoint": wanted.private},
        "master_authorized_networks_config": {
            "cidr_blocks": [{"cidr_block": source} for source in wanted.api_from],
            "gcp_public_cidrs_access_enabled": False,
        },
        "workload_identity_config": {"workload_pool": f"{chosen.project}.svc.id.goog"},
        # A cluster is not made without a pool, and the one that it is made with cannot be changed.
        "initial_node_count": 1,
        "remove_default_node_pool": True,
        "resource_labels": labels_of(args),
        # Pulumi protects what it is told to protect; this would make `pulumi destroy` fail.
        "deletion_protection": False,
    }
    cluster = container.Cluster(
        name,
        **laid_over(container.ClusterArgs, written, chosen.cluster_args, "slipway:gcp.cluster_args"),
        # Private nodes start once they can reach the internet.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[nat])),
    )
    account = _account(args, opts)
    _system(args, cluster, account, opts)
    bucket = store(args, args.settings.weights, opts) if args.settings.weights is not None else None
    return Cluster(
        name=cluster.name,
        kubeconfig=pulumi.Output.secret(_kubeconfig(cluster, private=wanted.private)),
        pool=_pool(args, cluster, account, opts),
        zone=chosen.zone or "",
        store=bucket,
    )


def _account(args: HostsArgs, opts: pulumi.ResourceOptions) -> serviceaccount.Account:
    """Who nodes are: the account that they have by default may edit the whole project."""
    project, label = args.settings.gcp.project, dns_label(args.plan.stack)
    account = serviceaccount.Account(
        "nodes",
        project=project,
        account_id=f"{short_name(label, MOST_ACCOUNT - len('-nodes'))}-nodes",
        display_name=f"slipway {args.plan.stack} nodes",
        opts=opts,
    )
    projects.IAMMember(
        "nodes",
        project=project or "",
        role=NODE_ROLE,
        member=pulumi.Output.concat("serviceAccount:", account.email),
        opts=opts,
    )
    return account


def _node(args: HostsArgs, account: serviceaccount.Account) -> dict[str, Any]:
    """What every node has."""
    return {
        "service_account": account.email,
        "oauth_scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        "workload_metadata_config": {"mode": "GKE_METADATA"},
        "resource_labels": labels_of(args),
    }


def _system(
    args: HostsArgs, cluster: container.Cluster, account: serviceaccount.Account, opts: pulumi.ResourceOptions
) -> container.NodePool:
    """One node for what a cluster needs for itself: no pod of it tolerates the taint of a GPU."""
    return container.NodePool(
        "system",
        project=args.settings.gcp.project,
        location=args.settings.gcp.zone,
        cluster=cluster.id,
        node_count=1,
        node_config={**_node(args, account), "machine_type": args.settings.gcp.system_machine_type},
        **UPKEEP,
        opts=opts,
    )


def _pool(
    args: HostsArgs, cluster: container.Cluster, account: serviceaccount.Account, opts: pulumi.ResourceOptions
) -> container.NodePool:
    """The pool. What would need other nodes makes a new one, with a prefix in place of a name, beside the old."""
    chosen, pool = args.settings.gcp, args.cluster.pool
    by_operator = pool.gpus > 0 and pool.driver == "operator"
    node: dict[str, Any] = {
        **_node(args, account),
        "machine_type": chosen.machine_type,
        "image_type": "UBUNTU_CONTAINERD" if by_operator else "COS_CONTAINERD",
        "disk_size_gb": _disk(args),
        "disk_type": chosen.disks,
        "labels": dict(pool.labels) | (WITHOUT_PLUGIN if by_operator else {}),
        "taints": [{"key": taint.key, "value": taint.value, "effect": EFFECTS[taint.effect]} for taint in pool.taints],
        # The operator's modules are built on the node, and nobody has signed them.
        "shielded_instance_config": {"enable_secure_boot": not by_operator, "enable_integrity_monitoring": True},
    }
    if pool.gpus:
        node["guest_accelerators"] = [
            {
                "type": chosen.gpu,
                "count": pool.gpus,
                "gpu_driver_installation_config": {
                    "gpu_driver_version": "INSTALLATION_DISABLED" if by_operator else "DEFAULT"
                },
            }
        ]
    written: dict[str, Any] = {
        "project": chosen.project,
        "location": chosen.zone,
        "cluster": cluster.id,
        # A name begins with a letter, and a generation may not.
        "name_prefix": f"p{pool.generation}-",
        "version": pool.image,
        "node_config": node,
        **UPKEEP,
        # Another version is another pool, beside this one.
        "maintenance_policies": [{"exclusion_until_end_of_supports": [{"enabled": True}]}],
    }
    if pool.max_nodes > pool.nodes:
        written["initial_node_count"] = pool.nodes
        written["autoscaling"] = {"min_node_count": pool.nodes, "max_node_count": pool.max_nodes}
    else:
        written["node_count"] = pool.nodes
    return container.NodePool(
        pool.name,
        **laid_over(container.NodePoolArgs, written, chosen.pool_args, "slipway:gcp.pool_args"),
        # A pool that is scaled, or was, is not made anew for the number it began with.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["initial_node_count"])),
    )


def _disk(args: HostsArgs) -> int:
    said = args.settings.pool.disk
    if said is not None:
        return math.ceil(said / GB)
    size = boot_disk(args.plan, weights_elsewhere=False)
    pulumi.log.info(f"boot disk of each node, in GB: {size.why}")
    return size.gigabytes


def _kubeconfig(cluster: container.Cluster, *, private: bool) -> pulumi.Output[str]:
    """It holds no credentials: `gke-gcloud-auth-plugin`, which has to be there, gets those of whoever uses it.
    https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl"""
    address = (
        cluster.private_cluster_config.apply(lambda found: str(found.private_endpoint)) if private else cluster.endpoint
    )
    authority = cluster.master_auth.apply(lambda found: str(found.cluster_ca_certificate))

    def written(values: list[Any]) -> str:
        name, server, certificate = values
        user = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1beta1",
                "command": "gke-gcloud-auth-plugin",
                "installHint": "Install gke-gcloud-auth-plugin: gcloud components install gke-gcloud-auth-plugin",
                "provideClusterInfo": True,
                "interactiveMode": "Never",
            }
        }
        return kubeconfig(name, f"https://{server}", certificate, user)

    return pulumi.Output.all(cluster.name, address, authority).apply(written)
