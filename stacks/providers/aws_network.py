"""AWS's networks: a VPC of the stack's own or one that exists, and what is let in."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from slipway.pools import dns_label
from stacks.providers import HostsArgs
from stacks.providers.shared import SSH_PORT

ANYWHERE = "0.0.0.0/0"

Rule = aws.ec2.SecurityGroupIngressArgs


@dataclass(frozen=True)
class Network:
    """Where things are made. Servers and nodes are in the first subnet, which is in the zone; `ready` is what they need
    to reach the internet, and `routes` the tables that lead out of their subnets, where those were made here."""

    vpc: pulumi.Input[str]
    subnets: tuple[pulumi.Input[str], ...]
    ready: tuple[pulumi.Resource, ...] = ()
    routes: tuple[aws.ec2.RouteTable, ...] = ()


def in_region(args: HostsArgs, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Options with a provider of the stack's own region, whatever AWS_REGION says, that tags everything."""
    provider = aws.Provider(
        "aws",
        region=args.settings.aws.region,
        default_tags={"tags": {"slipway-stack": args.plan.stack, **args.settings.aws.labels}},
        opts=opts,
    )
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=provider))


def name_of(args: HostsArgs) -> str:
    """The name of what is one of a kind in a stack."""
    return f"slipway-{dns_label(args.plan.stack)}"


def public_network(args: HostsArgs, opts: pulumi.ResourceOptions) -> Network:
    """One subnet with a way to the internet, for servers with public addresses."""
    chosen = args.settings.aws
    if chosen.vpc is not None:
        return Network(chosen.vpc, chosen.subnets)
    stack = args.plan.stack
    vpc, gateway = _vpc(args, opts)
    subnet = _subnet(stack, vpc, chosen.network, chosen.zone, name=name_of(args), opts=opts)
    table, joined = _route(stack, vpc, subnet, {"gateway_id": gateway.id}, name=name_of(args), opts=opts)
    return Network(vpc.id, (subnet.id,), (joined,), (table,))


def private_network(args: HostsArgs, opts: pulumi.ResourceOptions) -> Network:
    """Two subnets in two zones, as EKS wants them, without public addresses; a NAT gateway in a third lets nodes out.

    Nodes are in the first: what they cost to talk to each other, and fail together with, is one zone.
    """
    chosen = args.settings.aws
    if chosen.vpc is not None:
        return Network(chosen.vpc, chosen.subnets)
    stack, name = args.plan.stack, name_of(args)
    first, second, third, _ = ipaddress.ip_network(chosen.network).subnets(prefixlen_diff=2)
    vpc, gateway = _vpc(args, opts)
    outer = _subnet(f"{stack}-nat", vpc, str(third), chosen.zone, name=f"{name}-nat", opts=opts)
    _, reached = _route(f"{stack}-nat", vpc, outer, {"gateway_id": gateway.id}, name=f"{name}-nat", opts=opts)
    address = aws.ec2.Eip(f"{stack}-nat", domain="vpc", tags={"Name": f"{name}-nat"}, opts=opts)
    nat = aws.ec2.NatGateway(
        stack,
        allocation_id=address.allocation_id,
        subnet_id=outer.id,
        tags={"Name": name},
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[reached])),
    )
    nodes = _subnet(stack, vpc, str(first), chosen.zone, name=name, opts=opts)
    table, joined = _route(stack, vpc, nodes, {"nat_gateway_id": nat.id}, name=name, opts=opts)
    # Only an interface of the API server is here, which answers within the VPC.
    other = _subnet(f"{stack}-second", vpc, str(second), chosen.second_zone, name=f"{name}-second", opts=opts)
    return Network(vpc.id, (nodes.id, other.id), (joined,), (table,))


def security_group(
    resource: str, name: str, network: Network, rules: list[Rule], opts: pulumi.ResourceOptions
) -> aws.ec2.SecurityGroup:
    """What `rules` let in, and nothing else; everything may go out."""
    return aws.ec2.SecurityGroup(
        resource,
        name=name,
        description="Made by Slipway",
        vpc_id=network.vpc,
        ingress=rules,
        egress=[{"protocol": "-1", "from_port": 0, "to_port": 0, "cidr_blocks": [ANYWHERE]}],
        tags={"Name": name},
        opts=opts,
    )


def let_in(what: str, port: int, sources: tuple[str, ...]) -> Rule:
    """A rule of a security group: TCP to one port from addresses as CIDR."""
    by_version = {
        version: [source for source in sources if ipaddress.ip_network(source).version == version] for version in (4, 6)
    }
    return Rule(
        description=what,
        protocol="tcp",
        from_port=port,
        to_port=port,
        cidr_blocks=by_version[4] or None,
        ipv6_cidr_blocks=by_version[6] or None,
    )


def let_in_group(what: str, port: int, group: aws.ec2.SecurityGroup) -> Rule:
    """A rule of a security group: TCP to one port from whatever is in another group."""
    return Rule(description=what, protocol="tcp", from_port=port, to_port=port, security_groups=[group.id])


def ssh(args: HostsArgs) -> Rule:
    """The rule by which whoever runs `pulumi up` reaches servers."""
    return let_in("SSH", SSH_PORT, args.settings.aws.ssh_from)


def _vpc(args: HostsArgs, opts: pulumi.ResourceOptions) -> tuple[aws.ec2.Vpc, aws.ec2.InternetGateway]:
    tags = {"Name": name_of(args)}
    vpc = aws.ec2.Vpc(
        args.plan.stack,
        cidr_block=args.settings.aws.network,
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags=tags,
        opts=opts,
    )
    return vpc, aws.ec2.InternetGateway(args.plan.stack, vpc_id=vpc.id, tags=tags, opts=opts)


def _subnet(
    resource: str, vpc: aws.ec2.Vpc, network: str, zone: str | None, *, name: str, opts: pulumi.ResourceOptions
) -> aws.ec2.Subnet:
    return aws.ec2.Subnet(
        resource, vpc_id=vpc.id, cidr_block=network, availability_zone=zone, tags={"Name": name}, opts=opts
    )


def _route(
    resource: str,
    vpc: aws.ec2.Vpc,
    subnet: aws.ec2.Subnet,
    way_out: dict[str, pulumi.Input[str]],
    *,
    name: str,
    opts: pulumi.ResourceOptions,
) -> tuple[aws.ec2.RouteTable, aws.ec2.RouteTableAssociation]:
    """The table by which a subnet reaches the internet, and the two of them joined."""
    table = aws.ec2.RouteTable(
        resource,
        vpc_id=vpc.id,
        routes=[aws.ec2.RouteTableRouteArgs(cidr_block=ANYWHERE, **way_out)],
        tags={"Name": name},
        opts=opts,
    )
    return table, aws.ec2.RouteTableAssociation(resource, subnet_id=subnet.id, route_table_id=table.id, opts=opts)
