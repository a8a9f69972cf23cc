"""UpCloud's networks: the private one of a stack, and what its servers let in from the public one."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_upcloud as upcloud

from slipway.plan_types import Plan
from slipway.pools import dns_label
from slipway.settings.clouds import UpCloudSettings
from stacks.providers import HostsArgs
from stacks.providers.shared import SSH_PORT
from stacks.providers.upcloud_store import kept

RESOLVERS = ("94.237.127.9", "94.237.40.9")
"""UpCloud's own. The firewall drops their answers unless a rule lets them in, and those of time servers as well.
https://github.com/kubernetes-sigs/kubespray contrib/terraform/upcloud"""


@dataclass(frozen=True)
class Private:
    """The private network, and the gateway by which it reaches the internet, where it has one."""

    network: upcloud.Network
    gateway: upcloud.Gateway | None


def labels_of(args: HostsArgs) -> dict[str, str]:
    """Of everything that takes labels."""
    return {"slipway-stack": args.plan.stack, **args.settings.upcloud.labels}


def private_network(args: HostsArgs, *, nat: bool, labels: dict[str, str], opts: pulumi.ResourceOptions) -> Private:
    """Make it. `nat`: machines in it have no public address, and reach the internet through a gateway.

    An object storage and a gateway are attached to a router, which is made where one of them is.
    https://www.pulumi.com/registry/packages/upcloud/api-docs/managedobjectstorage
    """
    plan, settings, chosen = args.plan, args.settings, args.settings.upcloud
    name, zone = f"slipway-{dns_label(plan.stack)}", chosen.zone or ""
    stays = pulumi.ResourceOptions.merge(opts, kept(settings.weights))
    router = None
    if nat or settings.weights is not None:
        router = upcloud.Router(plan.stack, name=name, labels=labels, opts=stays)
    network = upcloud.Network(
        plan.stack,
        zone=zone,
        name=name,
        ip_network={"address": chosen.network, "dhcp": True, "dhcp_default_route": nat, "family": "IPv4"},
        router=router.id if router is not None else None,
        labels=labels,
        opts=stays,
    )
    gateway = None
    if nat and router is not None:
        gateway = upcloud.Gateway(
            plan.stack,
            name=name,
            zone=zone,
            features=["nat"],
            configured_status="started",
            router={"id": router.id},
            labels=labels,
            opts=opts,
        )
    return Private(network, gateway)


def firewall(plan: Plan, chosen: UpCloudSettings, *, open_to_clients: bool) -> list[dict[str, Any]]:
    """What may come in over the public network; rules do not touch the private one. The first match decides."""
    rules = [_accept("SSH", source, port=SSH_PORT) for source in chosen.ssh_from]
    if open_to_clients:
        rules += [_accept("clients", source, port=plan.proxy.port) for source in chosen.clients_from]
    for resolver in RESOLVERS:
        rules += [_accept("names", resolver, source_port=53, protocol=protocol) for protocol in ("udp", "tcp")]
    rules.append(_accept("time", "0.0.0.0/0", source_port=123, protocol="udp"))
    rules.append({"direction": "in", "action": "drop", "comment": "nothing else"})
    rules.append({"direction": "out", "action": "accept", "comment": "packages, images, weights"})
    return rules


def _accept(
    what: str, source: str, *, port: int | None = None, source_port: int | None = None, protocol: str = "tcp"
) -> dict[str, Any]:
    """Rules take ranges with a start and an end, not CIDR."""
    network = ipaddress.ip_network(source)
    rule: dict[str, Any] = {
        "direction": "in",
        "action": "accept",
        "comment": what,
        "family": f"IPv{network.version}",
        "protocol": protocol,
        "source_address_start": str(network[0]),
        "source_address_end": str(network[-1]),
    }
    for side, number in (("destination", port), ("source", source_port)):
        if number is not None:
            rule |= {f"{side}_port_start": str(number), f"{side}_port_end": str(number)}
    return rule
