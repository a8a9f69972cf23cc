"""Managed Kubernetes at UpCloud (UKS): a cluster, and a node group in it with the GPU plan.

Nodes are private: they reach the internet through a gateway and have no public address. The API server has a public
one, which cannot be changed, and lets in `slipway:cluster.api_from` only. Whether the nodes of GPU plans come with
NVIDIA's driver is not documented: `slipway:cluster.gpu_layer` says who brings it. Beside a pool that is tainted there
is one small node for what the cluster needs itself.

Left out: file storage (docs/weights.md says why), and scaling, which UpCloud does not do.
"""

from __future__ import annotations

import math
from typing import Any

import pulumi
import pulumi_upcloud as upcloud

from slipway.hosting import boot_disk
from slipway.pools import dns_label
from slipway.units import GB
from stacks.providers import Cluster, HostsArgs
from stacks.providers.native import laid_over
from stacks.providers.upcloud_network import labels_of, private_network
from stacks.providers.upcloud_store import store

GPU_PLAN = "GPU-"
"""how plans with GPUs begin; they bring no disk"""


def create_cluster(args: HostsArgs, opts: pulumi.ResourceOptions) -> Cluster:
    """Make a private network with a NAT gateway, a cluster in it, and a node group in that.

    Raises PlanError for arguments that the SDK does not have.
    """
    plan, chosen, wanted = args.plan, args.settings.upcloud, args.cluster
    name, labels = f"slipway-{dns_label(plan.stack)}", labels_of(args)
    private = private_network(args, nat=True, labels=labels, opts=opts)
    written: dict[str, Any] = {
        "name": name,
        "zone": chosen.zone,
        "network": private.network.id,
        "plan": chosen.kubernetes_plan,
        "version": wanted.version,
        "control_plane_ip_filters": list(wanted.api_from),
        "private_node_groups": True,
        "storage_encryption": "data-at-rest" if chosen.encrypt else "none",
        # A new version is a new pool beside the old: its name says so.
        "upgrade_strategy_type": "manual",
        "fetch_kubeconfig": True,
        "labels": labels,
    }
    cluster = upcloud.KubernetesCluster(
        plan.stack,
        **laid_over(upcloud.KubernetesClusterArgs, written, chosen.cluster_args, "slipway:upcloud.cluster_args"),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                # Private nodes start once they can reach the internet.
                depends_on=[private.gateway] if private.gateway is not None else [],
                additional_secret_outputs=["kubeconfig"],
            ),
        ),
    )
    bucket = None
    if args.settings.weights is not None:
        bucket = store(args.settings.weights, chosen, name=name, network=private.network, labels=labels, opts=opts)
    if wanted.pool.taints:
        _system(args, cluster, opts)
    return Cluster(
        name=cluster.name,
        kubeconfig=pulumi.Output.secret(cluster.kubeconfig.apply(lambda found: str(found.kubeconfig))),
        pool=_pool(args, cluster, opts),
        zone=chosen.zone or "",
        store=bucket,
    )


def _system(args: HostsArgs, cluster: upcloud.KubernetesCluster, opts: pulumi.ResourceOptions) -> None:
    """One node for what a cluster needs for itself, names for one thing: CoreDNS tolerates no taint of a GPU.
    https://github.com/coredns/deployment kubernetes/coredns.yaml.sed"""
    # A prefix in place of a name: a group of another plan is there before this one goes.
    upcloud.KubernetesNodeGroup(
        "system",
        cluster=cluster.id,
        name_prefix="system-",
        plan=args.settings.upcloud.system_plan,
        node_count=1,
        anti_affinity=False,
        opts=opts,
    )


def _pool(
    args: HostsArgs, cluster: upcloud.KubernetesCluster, opts: pulumi.ResourceOptions
) -> upcloud.KubernetesNodeGroup:
    """The node group. Only its number of nodes can change in place, so that new labels make new nodes as well: with a
    prefix in place of a name, beside the old ones.
    https://github.com/UpCloudLtd/terraform-provider-upcloud internal/service/kubernetes/node_group.go"""
    chosen, pool = args.settings.upcloud, args.cluster.pool
    written: dict[str, Any] = {
        "cluster": cluster.id,
        "name_prefix": f"{pool.generation}-",
        "plan": chosen.plan,
        "node_count": pool.nodes,
        "anti_affinity": pool.nodes > 1 and chosen.anti_affinity != "none",
        "labels": dict(pool.labels),
        # Keys with a prefix are taken since September 2025:
        # https://github.com/UpCloudLtd/terraform-provider-upcloud/issues/820
        "taints": [{"key": taint.key, "value": taint.value, "effect": taint.effect} for taint in pool.taints],
    }
    if (chosen.plan or "").startswith(GPU_PLAN):
        said = args.settings.pool.disk
        disk = boot_disk(args.plan, weights_elsewhere=False)
        size = disk.gigabytes if said is None else math.ceil(said / GB)
        pulumi.log.info(f"boot disk of each node, in GB: {disk.why if said is None else 'slipway:pool.disk'}")
        written["gpu_plan"] = {"storage_size": size, "storage_tier": chosen.disk_tier}
    return upcloud.KubernetesNodeGroup(
        pool.name,
        **laid_over(upcloud.KubernetesNodeGroupArgs, written, chosen.pool_args, "slipway:upcloud.pool_args"),
        opts=opts,
    )
