"""Managed Kubernetes at AWS (EKS): a cluster, and a managed node group in it with the GPU's instance type.

Nodes are private and reach the internet through a NAT gateway. The API server answers within the VPC only, unless
`slipway:cluster.private` is false. Node images bring the driver: `slipway:pool.image` pins the image, and so the
driver. Whoever runs `pulumi up` is the cluster's administrator.

Left out: spot nodes, node groups in several zones, and EKS's own automatic mode, which chooses images itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from slipway.hosting import boot_disk
from slipway.pools import dns_label
from slipway.units import GB, GIB
from stacks.providers import Cluster, HostsArgs
from stacks.providers.aws_disks import KIND, speed
from stacks.providers.aws_network import Network, in_region, let_in, name_of, private_network, security_group
from stacks.providers.aws_store import store
from stacks.providers.native import laid_over
from stacks.providers.shared import kubeconfig, short_name, size_gib

API_PORT = 443
NAME_MOST = 64
"""characters of the name of a role"""

POLICIES = "arn:aws:iam::aws:policy/"
CLUSTER_POLICIES = ("AmazonEKSClusterPolicy",)
NODE_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly")
"""https://docs.aws.amazon.com/eks/latest/userguide/create-node-role.html"""

IMAGE_GPU, IMAGE_CPU = "AL2023_x86_64_NVIDIA", "AL2023_x86_64_STANDARD"
"""types of node images: with NVIDIA's driver and container toolkit, and without
https://docs.aws.amazon.com/eks/latest/userguide/ml-eks-optimized-ami.html"""
ROOT_DEVICE = "/dev/xvda"
"""that of Amazon Linux"""
SYSTEM_DISK = 30 * GIB
GROUP_MOST = 63
"""characters of the name of a node group"""

EFFECTS = {
    "NoSchedule": "NO_SCHEDULE",
    "NoExecute": "NO_EXECUTE",
    "PreferNoSchedule": "PREFER_NO_SCHEDULE",
}
"""Kubernetes' words in EKS's"""


def create_cluster(args: HostsArgs, opts: pulumi.ResourceOptions) -> Cluster:
    """Make a network where none is named, a cluster in it, and a node group in that.

    Raises PlanError for arguments that the SDK does not have.
    """
    chosen, wanted, name = args.settings.aws, args.cluster, name_of(args)
    regional = in_region(args, opts)
    network = private_network(args, regional)
    role, allowed = _role(args, "cluster", "eks", CLUSTER_POLICIES, regional)
    within = [let_in("API", API_PORT, wanted.api_from)] if wanted.private and wanted.api_from else []
    group = security_group(f"{args.plan.stack}-api", f"{name}-api", network, within, regional)
    written: dict[str, Any] = {
        "name": name,
        "version": wanted.version,
        "role_arn": role.arn,
        "vpc_config": {
            "subnet_ids": list(network.subnets),
            "security_group_ids": [group.id],
            "endpoint_private_access": True,
            "endpoint_public_access": not wanted.private,
            **({} if wanted.private else {"public_access_cidrs": list(wanted.api_from)}),
        },
        "access_config": {"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": True},
        # Past its standard support a version costs six times as much: it is updated then.
        "upgrade_policy": {"support_type": "STANDARD"},
    }
    cluster = aws.eks.Cluster(
        args.plan.stack,
        **laid_over(aws.eks.ClusterArgs, written, chosen.cluster_args, "slipway:aws.cluster_args"),
        # Rights go last: without them, the cluster could not take its network interfaces away.
        opts=pulumi.ResourceOptions.merge(regional, pulumi.ResourceOptions(depends_on=allowed)),
    )
    nodes = _nodes(args, cluster, network, regional)
    if wanted.pool.taints:
        _system(args, nodes)
    weights = args.settings.weights
    return Cluster(
        name=cluster.name,
        kubeconfig=_kubeconfig(cluster, chosen.region or ""),
        pool=_pool(args, nodes),
        zone=chosen.zone or "",
        store=store(args, weights, network, regional) if weights is not None else None,
    )


@dataclass(frozen=True)
class _Nodes:
    """What all nodes of a cluster have: their cluster, their role with its rights, and their network."""

    cluster: aws.eks.Cluster
    role: aws.iam.Role
    network: Network
    opts: pulumi.ResourceOptions
    """with AWS's provider, and everything that a node cannot start without"""

    def written(self, args: HostsArgs, name: str, size: int) -> dict[str, Any]:
        """The arguments of a node group that are the same for each; `size` of the boot disk in bytes."""
        template = _template(args, name, size, self.opts)
        return {
            "cluster_name": self.cluster.name,
            "node_group_name": name,
            "node_role_arn": self.role.arn,
            "subnet_ids": [self.network.subnets[0]],
            "capacity_type": "ON_DEMAND",
            "version": args.cluster.version,
            "update_config": {"max_unavailable": 1},
            "launch_template": {"id": template.id, "version": template.latest_version.apply(str)},
            "tags": {"Name": name},
        }


def _nodes(args: HostsArgs, cluster: aws.eks.Cluster, network: Network, opts: pulumi.ResourceOptions) -> _Nodes:
    role, allowed = _role(args, "nodes", "ec2", NODE_POLICIES, opts)
    needed = pulumi.ResourceOptions(depends_on=[*allowed, *network.ready])
    return _Nodes(cluster, role, network, pulumi.ResourceOptions.merge(opts, needed))


def _system(args: HostsArgs, nodes: _Nodes) -> None:
    """One node for what a cluster needs for itself, names for one thing: no pod of it tolerates the taint of a GPU."""
    name = short_name(f"{dns_label(args.plan.stack)}-system", GROUP_MOST)
    written = {
        **nodes.written(args, name, SYSTEM_DISK),
        "instance_types": [args.settings.aws.system_instance_type],
        "ami_type": IMAGE_CPU,
        "scaling_config": {"desired_size": 1, "min_size": 1, "max_size": 1},
    }
    aws.eks.NodeGroup(f"{args.plan.stack}-system", **written, opts=nodes.opts)


def _pool(args: HostsArgs, nodes: _Nodes) -> aws.eks.NodeGroup:
    """The node group under the pool's name: where that changes, the new one is there before the old one goes."""
    chosen, pool, said = args.settings.aws, args.cluster.pool, args.settings.pool.disk
    disk = boot_disk(args.plan, weights_elsewhere=False)
    pulumi.log.info(f"boot disk of each node, in GB: {disk.why if said is None else 'slipway:pool.disk'}")
    written: dict[str, Any] = {
        **nodes.written(args, pool.name, disk.gigabytes * GB if said is None else said),
        "instance_types": [chosen.instance_type],
        "ami_type": IMAGE_GPU if pool.gpus else IMAGE_CPU,
        "release_version": pool.image,
        "scaling_config": {"desired_size": pool.nodes, "min_size": pool.nodes, "max_size": pool.max_nodes},
        "labels": dict(pool.labels),
        "taints": [{"key": taint.key, "value": taint.value, "effect": EFFECTS[taint.effect]} for taint in pool.taints],
    }
    # How many there are now is the autoscaler's to say, where there is one. Nested names are those of the wire.
    scaled = ["scalingConfig.desiredSize"] if pool.max_nodes > pool.nodes else []
    return aws.eks.NodeGroup(
        pool.name,
        **laid_over(aws.eks.NodeGroupArgs, written, chosen.pool_args, "slipway:aws.pool_args"),
        opts=pulumi.ResourceOptions.merge(nodes.opts, pulumi.ResourceOptions(ignore_changes=scaled)),
    )


def _template(args: HostsArgs, name: str, size: int, opts: pulumi.ResourceOptions) -> aws.ec2.LaunchTemplate:
    """The nodes' disk, and that pods cannot ask for the rights of their node."""
    chosen = args.settings.aws
    root: dict[str, Any] = {
        "volume_size": size_gib(size),
        "volume_type": KIND,
        **speed(chosen),
        "encrypted": str(chosen.encrypt).lower(),
        "delete_on_termination": "true",
    }
    tags = {"Name": name, "slipway-stack": args.plan.stack, **chosen.labels}
    written: dict[str, Any] = {
        "name": f"slipway-{name}",
        "block_device_mappings": [{"device_name": ROOT_DEVICE, "ebs": root}],
        "metadata_options": {"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
        # A provider's own tags do not go on to what is made from a template.
        "tag_specifications": [{"resource_type": kind, "tags": tags} for kind in ("instance", "volume")],
    }
    return aws.ec2.LaunchTemplate(name, **written, opts=opts)


def _role(
    args: HostsArgs, what: str, service: str, policies: tuple[str, ...], opts: pulumi.ResourceOptions
) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
    """A role that a service of AWS takes on, and the policies attached to it. Its name is one of the whole account."""
    resource = f"{args.plan.stack}-{what}"
    name = f"{name_of(args)}-{what}-{args.settings.aws.region}"
    may_take_it = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{service}.amazonaws.com"}}
        ],
    }
    role = aws.iam.Role(
        resource, name=short_name(name, NAME_MOST), assume_role_policy=json.dumps(may_take_it), opts=opts
    )
    return role, [
        aws.iam.RolePolicyAttachment(
            f"{resource}-{policy}", role=role.name, policy_arn=f"{POLICIES}{policy}", opts=opts
        )
        for policy in policies
    ]


def _kubeconfig(cluster: aws.eks.Cluster, region: str) -> pulumi.Output[str]:
    """Whoever uses it has the `aws` command, which asks for a token each time; there is none in it."""

    def written(values: list[Any]) -> str:
        name, endpoint, authority = values
        command = ["eks", "get-token", "--cluster-name", name, "--region", region, "--output", "json"]
        user = {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1beta1",
                "command": "aws",
                "args": command,
                "interactiveMode": "Never",
            }
        }
        return kubeconfig(name, endpoint, authority, user)

    authority = cluster.certificate_authority.apply(lambda found: str(found.data))
    return pulumi.Output.secret(pulumi.Output.all(cluster.name, cluster.endpoint, authority).apply(written))
