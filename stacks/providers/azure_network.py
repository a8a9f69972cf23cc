"""Where a stack at Azure is: one subscription, a resource group, and a network in it with what may come in.

A network of Azure's lets in whoever is in it or in one that is connected to it, and the load balancer's checks. The
last rule here shuts that: in comes what another rule lets in.
https://learn.microsoft.com/en-us/azure/virtual-network/network-security-groups-overview#default-security-rules
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import Provider, network, resources

from slipway.pools import dns_label
from slipway.settings.azure import IDLE_MOST, AzureSettings
from stacks.providers import HostsArgs
from stacks.providers.shared import SSH_PORT

CHECKER = "AzureLoadBalancer"
"""Azure's own name for where health checks come from
https://learn.microsoft.com/en-us/azure/load-balancer/load-balancer-custom-probe-overview#probe-source-ip-address"""

FIRST, LAST = 100, 4096
"""priorities of rules; the lower, the sooner"""


IDLE_MINUTES = IDLE_MOST // 60
"""that a public address, or a rule of a load balancer, keeps a silent connection at the most"""


@dataclass(frozen=True)
class Place:
    """What everything of a stack is made in and with."""

    group: resources.ResourceGroup
    location: str
    tags: dict[str, str]
    opts: pulumi.ResourceOptions
    """with Azure's provider"""

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments that every resource has."""
        return {"resource_group_name": self.group.name, "location": self.location, "tags": self.tags}


def name_of(args: HostsArgs) -> str:
    """What the stack's resources are called there; Pulumi adds to it what makes it unique."""
    return f"slipway-{dns_label(args.plan.stack)}"


def zone_name(chosen: AzureSettings, zone: str | None) -> str:
    """A zone with its region, which alone names neither.

    >>> zone_name(AzureSettings(location="swedencentral"), "2")
    'swedencentral-2'
    """
    return "-".join(filter(None, (chosen.location, zone)))


def place(args: HostsArgs, opts: pulumi.ResourceOptions) -> Place:
    """A resource group in the stack's subscription, whichever one `az` is at."""
    chosen = args.settings.azure
    tags = {"slipway-stack": dns_label(args.plan.stack), **chosen.labels}
    provider = Provider("azure", subscription_id=chosen.subscription, location=chosen.location, opts=opts)
    there = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(provider=provider))
    group = resources.ResourceGroup(
        name_of(args),
        location=chosen.location,
        tags=tags,
        # A group takes everything in it along.
        opts=pulumi.ResourceOptions.merge(
            there, pulumi.ResourceOptions(retain_on_delete=chosen.cache is not None and chosen.cache_retain)
        ),
    )
    return Place(group, chosen.location or "", tags, there)


@dataclass(frozen=True)
class Network:
    network: network.VirtualNetwork
    subnet: network.Subnet


def private_network(args: HostsArgs, where: Place, rules: Sequence[dict[str, Any]] = ()) -> Network:
    """A network with one subnet, which lets in what the rules say, or, with none, what Azure's own rules do."""
    name, addresses = name_of(args), args.settings.azure.network
    around = network.VirtualNetwork(
        name, **where.arguments, address_space={"address_prefixes": [addresses]}, opts=where.opts
    )
    guarded: dict[str, Any] = {}
    if rules:
        guard = network.NetworkSecurityGroup(name, **where.arguments, security_rules=list(rules), opts=where.opts)
        guarded = {"network_security_group": {"id": guard.id}}
    subnet = network.Subnet(
        name,
        resource_group_name=where.group.name,
        virtual_network_name=around.name,
        address_prefix=addresses,
        # Without a public address or a load balancer, there is no way out that nobody asked for.
        default_outbound_access=False,
        **guarded,
        opts=where.opts,
    )
    return Network(around, subnet)


def rules_of(args: HostsArgs, *, checked: bool) -> list[dict[str, Any]]:
    """What may come in: SSH and clients, and the load balancer's checks where servers are `checked`. That leaves
    clients' addresses as they are."""
    chosen, port = args.settings.azure, args.plan.proxy.port
    rules = [_allow("ssh", FIRST, SSH_PORT, chosen.ssh_from), _allow("clients", FIRST + 10, port, chosen.clients_from)]
    if checked:
        rules.append(_rule("checks", FIRST + 20, "Allow", "Tcp", str(port), source_address_prefix=CHECKER))
    return [*rules, _rule("nothing-else", LAST, "Deny", "*", "*", source_address_prefix="*")]


def _allow(name: str, priority: int, port: int, sources: Sequence[str]) -> dict[str, Any]:
    return _rule(name, priority, "Allow", "Tcp", str(port), source_address_prefixes=list(sources))


def _rule(name: str, priority: int, access: str, protocol: str, port: str, **source: str | list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "priority": priority,
        "direction": "Inbound",
        "access": access,
        "protocol": protocol,
        "source_port_range": "*",
        "destination_address_prefix": "*",
        "destination_port_range": port,
        **source,
    }


def public_address(args: HostsArgs, name: str, where: Place) -> network.PublicIPAddress:
    """An address that stays, with the stack's name in the DNS where there is one."""
    label = args.settings.azure.dns_label
    named = {"dns_settings": {"domain_name_label": label}} if label is not None else {}
    return network.PublicIPAddress(
        name,
        **where.arguments,
        sku={"name": "Standard"},
        public_ip_allocation_method="Static",
        public_ip_address_version="IPv4",
        idle_timeout_in_minutes=IDLE_MINUTES,
        **named,
        opts=where.opts,
    )
