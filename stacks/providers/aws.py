"""Servers at AWS, with the official SDK `pulumi-aws` (extra `aws`). It reads credentials as the `aws` command does.

cloud-init installs the host key that Pulumi made, so that the first SSH connection is verified already. Node pools are
in `aws_pool`, the bucket for weights in `aws_store`.

Spot: the last `slipway:aws.spot` servers are persistent spot requests that AWS stops and starts again. What serves on
meanwhile are the others; nothing takes the place of a server that is stopped, and without `static_address` it comes
back at another address, which `pulumi refresh` finds.

Left out: shared file storage (EFS, FSx): hosts would fetch and prune the same files beside each other, which nothing
here locks. Disks inside of instances, which are empty after a stop. The partitions of China and GovCloud.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from slipway.hosting import DiskSize, boot_disk, user_data
from slipway.plan_types import Plan
from slipway.settings.aws import AwsSettings
from slipway.settings.resolving import balanced
from slipway.units import GB
from stacks.providers import Host, HostsArgs, born_with
from stacks.providers.aws_balancer import balancer
from stacks.providers.aws_disks import KIND, attach, cache_disk, device_of, speed
from stacks.providers.aws_network import (
    Network,
    in_region,
    let_in,
    let_in_group,
    name_of,
    public_network,
    security_group,
    ssh,
)
from stacks.providers.aws_pool import create_cluster
from stacks.providers.aws_store import store
from stacks.providers.native import laid_over
from stacks.providers.shared import server_host, size_gib
from stacks.resources import HostKey

__all__ = ["VERIFIED", "create_cluster", "create_hosts"]

VERIFIED = (
    "not run: never against AWS itself; its resources were checked against the argument types of pulumi-aws 7.51.1 "
    "under Pulumi's mocks, and the API calls that they stand for against botocore's model of AWS and moto, an emulation"
)


@dataclass(frozen=True)
class _Place:
    """What all servers of a stack are made in and with."""

    network: Network
    group: aws.ec2.SecurityGroup
    key: aws.ec2.KeyPair
    apart: aws.ec2.PlacementGroup | None
    opts: pulumi.ResourceOptions
    """with AWS's provider"""


@dataclass(frozen=True)
class _Made:
    """A server, the host key that it is born with, and where it is reached."""

    server: aws.ec2.Instance
    key: HostKey
    address: pulumi.Output[str]


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Make a network where none is named, one server for each host of the plan, and for several a load balancer.

    Raises PlanError for arguments that the SDK does not have.
    """
    plan, chosen, name = args.plan, args.settings.aws, name_of(args)
    pulumi.log.info(f"boot disk of each server, in GB: {_boot_disk(plan, chosen).why}")
    regional = in_region(args, opts)
    network = public_network(args, regional)
    clients = let_in("clients", plan.proxy.port, chosen.clients_from)
    front_group = None
    if balanced(args.settings):
        front_group = security_group(f"{plan.stack}-front", f"{name}-front", network, [clients], regional)
        clients = let_in_group("load balancer", plan.proxy.port, front_group)
    place = _Place(
        network=network,
        group=security_group(plan.stack, name, network, [ssh(args), clients], regional),
        key=aws.ec2.KeyPair(
            plan.stack,
            key_name=name,
            public_key=args.keys.ssh_public_key,
            # Servers name it, and one key has the name at a time.
            opts=pulumi.ResourceOptions.merge(regional, pulumi.ResourceOptions(delete_before_replace=True)),
        ),
        apart=_apart(plan, chosen, name, regional),
        opts=regional,
    )
    made = {host.name: _server(args, host.name, place, opts) for host in plan.hosts}
    front = None
    if front_group is not None:
        servers = {host: one.server for host, one in made.items()}
        front = balancer(args, network, front_group, servers, regional)
    weights = args.settings.weights
    bucket = store(args, weights, network, regional) if weights is not None else None
    return [
        server_host(
            args,
            host,
            server=one.server,
            key=one.key,
            address=one.address,
            user=chosen.user,
            zone=chosen.zone,
            front=front,
            store=bucket,
        )
        for host, one in made.items()
    ]


def _apart(plan: Plan, chosen: AwsSettings, name: str, opts: pulumi.ResourceOptions) -> aws.ec2.PlacementGroup | None:
    if len(plan.hosts) == 1 or chosen.anti_affinity == "none":
        return None
    return aws.ec2.PlacementGroup(
        f"{plan.stack}-{chosen.anti_affinity}",
        name=f"{name}-{chosen.anti_affinity}",
        strategy=chosen.anti_affinity,
        partition_count=7 if chosen.anti_affinity == "partition" else None,
        opts=opts,
    )


def _server(args: HostsArgs, name: str, place: _Place, opts: pulumi.ResourceOptions) -> _Made:
    plan, chosen = args.plan, args.settings.aws
    key = HostKey(f"{name}-key", name=name, opts=opts)
    cache = cache_disk(chosen, name, place.opts)
    written: dict[str, Any] = {
        "ami": chosen.image,
        "instance_type": chosen.instance_type,
        "key_name": place.key.key_name,
        "subnet_id": place.network.subnets[0],
        "vpc_security_group_ids": [place.group.id],
        "associate_public_ip_address": True,
        "root_block_device": {
            "volume_size": size_gib(_boot_disk(plan, chosen).gigabytes * GB),
            "volume_type": KIND,
            "encrypted": chosen.encrypt,
            **speed(chosen),
            "delete_on_termination": True,
            "tags": {"Name": name},
        },
        # User data holds the host's private key: programs in containers are one hop too far away to ask for it.
        "metadata_options": {"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
        "user_data": _user_data(name, key, cache),
        "tags": {"Name": name},
    }
    if place.apart is not None:
        written["placement_group"] = place.apart.name
    if name in [host.name for host in plan.hosts[len(plan.hosts) - chosen.spot :]]:
        written["instance_market_options"] = {
            "market_type": "spot",
            "spot_options": {"spot_instance_type": "persistent", "instance_interruption_behavior": "stop"},
        }
    server = aws.ec2.Instance(
        name,
        **laid_over(aws.ec2.InstanceArgs, written, chosen.instance_args, "slipway:aws.instance_args"),
        opts=pulumi.ResourceOptions.merge(
            place.opts,
            pulumi.ResourceOptions(
                additional_secret_outputs=["user_data"],
                # New user data would stop and start every server at once; another group would replace each of them.
                ignore_changes=[*born_with(args, name, "ami", "user_data"), "placement_group"],
                # A first boot needs the internet.
                depends_on=list(place.network.ready),
                # A disk is attached to one server at a time.
                delete_before_replace=cache is not None,
            ),
        ),
    )
    if cache is not None:
        attach(cache, server, name, place.opts)
    return _Made(server, key, _address(args, name, server, place))


def _boot_disk(plan: Plan, chosen: AwsSettings) -> DiskSize:
    if chosen.disk is not None:
        return DiskSize(math.ceil(chosen.disk / GB), "slipway:aws.disk")
    return boot_disk(plan, weights_elsewhere=chosen.cache is not None)


def _user_data(name: str, key: HostKey, cache: aws.ebs.Volume | None) -> pulumi.Output[str]:
    disk: pulumi.Input[str] = cache.id if cache is not None else ""

    def written(values: list[Any]) -> str:
        private, public, identity = values
        return user_data(private, public, cache_device=device_of(identity) if identity else None, hostname=name)

    return pulumi.Output.secret(pulumi.Output.all(key.private_key, key.public_key, disk).apply(written))


def _address(args: HostsArgs, name: str, server: aws.ec2.Instance, place: _Place) -> pulumi.Output[str]:
    """Where a server is reached: its own static address, where it has one."""
    if not args.settings.aws.static_address or balanced(args.settings):
        return server.public_ip
    ready = pulumi.ResourceOptions(depends_on=list(place.network.ready))
    return aws.ec2.Eip(
        name,
        domain="vpc",
        instance=server.id,
        tags={"Name": name},
        opts=pulumi.ResourceOptions.merge(place.opts, ready),
    ).public_ip
