"""AWS's network load balancer: it passes TLS through to the servers, and asks each whether it is ready.

It cannot hold a server to a number of connections: what is too much for one, its own proxy answers with 429. Where all
servers fail their check, it goes on to send to all of them.
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-health-checks.html
"""

from __future__ import annotations

import math
from typing import Any

import pulumi
import pulumi_aws as aws

from slipway.settings.clouds import CHECK_MISSES, CHECK_SECONDS
from stacks.providers import HostsArgs
from stacks.providers.aws_network import Network, name_of
from stacks.providers.shared import Front, short_name, silence_seconds

NAME_MOST = 32
"""characters of the name of a load balancer or a target group"""
IDLE_LEAST = 60
"""seconds that it keeps a silent connection at the least"""


def balancer(
    args: HostsArgs,
    network: Network,
    group: aws.ec2.SecurityGroup,
    servers: dict[str, aws.ec2.Instance],
    opts: pulumi.ResourceOptions,
) -> Front:
    """Make it in the servers' subnet, with one target for each server, by host."""
    plan, chosen = args.plan, args.settings.aws
    name = short_name(name_of(args), NAME_MOST)
    ready = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(network.ready)))
    subnet, address = network.subnets[0], None
    place: dict[str, Any] = {"subnets": [subnet]}
    if chosen.static_address:
        address = aws.ec2.Eip(plan.stack, domain="vpc", tags={"Name": name}, opts=ready)
        place = {"subnet_mappings": [{"subnet_id": subnet, "allocation_id": address.allocation_id}]}
    service = aws.lb.LoadBalancer(
        plan.stack,
        name=name,
        load_balancer_type="network",
        internal=False,
        ip_address_type="ipv4",
        security_groups=[group.id],
        **place,
        opts=ready,
    )
    targets = aws.lb.TargetGroup(
        plan.stack,
        # Another port is another group, which the listener turns to before the old one goes.
        name=short_name(f"{name_of(args)}-{plan.proxy.port}", NAME_MOST),
        vpc_id=network.vpc,
        target_type="instance",
        protocol="TCP",
        port=plan.proxy.port,
        health_check={
            # Certificates of targets are not looked at; ours is of the stack's own authority.
            "protocol": "HTTPS",
            "path": "/ready",
            "matcher": "200",
            "interval": CHECK_SECONDS,
            "timeout": CHECK_SECONDS - 1,
            "healthy_threshold": CHECK_MISSES,
            "unhealthy_threshold": CHECK_MISSES,
        },
        # A server that drains fails its check on purpose, and its open requests go on.
        target_health_states=[
            {
                "enable_unhealthy_connection_termination": False,
                "unhealthy_draining_interval": math.ceil(plan.drain.settle + plan.drain.deadline),
            }
        ],
        deregistration_delay=math.ceil(plan.drain.deadline),
        opts=opts,
    )
    aws.lb.Listener(
        plan.stack,
        load_balancer_arn=service.arn,
        protocol="TCP",
        port=plan.proxy.port,
        default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
        tcp_idle_timeout_seconds=max(IDLE_LEAST, silence_seconds(plan)),
        opts=opts,
    )
    for host, server in servers.items():
        aws.lb.TargetGroupAttachment(
            host, target_group_arn=targets.arn, target_id=server.id, port=plan.proxy.port, opts=opts
        )
    if address is None:
        return Front(service.dns_name, (service.dns_name,))
    return Front(address.public_ip, (address.public_ip, service.dns_name))
