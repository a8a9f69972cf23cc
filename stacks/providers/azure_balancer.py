"""Azure's load balancer (Standard): connections reach the servers as clients opened them.

It asks each server `/ready` over TLS, and wants SHA-256 in its certificates, which the stack's authority uses. Servers
behind it have no address outside: SSH comes through it, at a port for each, and they reach the internet with its
address. It ends no TLS and counts no connections, so that what is too much for a server waits in its proxy's queue, or
is answered 429. A server that fails its check gets no new connections, and keeps those that it has.
https://learn.microsoft.com/en-us/azure/load-balancer/load-balancer-custom-probe-overview
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import network

from slipway.settings.azure import SSH_FIRST
from slipway.settings.clouds import CHECK_MISSES, CHECK_SECONDS
from stacks.providers import HostsArgs
from stacks.providers.azure_network import IDLE_MINUTES, Place, name_of, public_address
from stacks.providers.shared import SSH_PORT, Front, silence_seconds

IDLE_LEAST = 4
"""minutes that a rule keeps a silent connection at the least"""

PORTS, PORTS_EACH, PORTS_STEP = 64000, 1024, 8
"""an address has for connections to the outside; a server gets at the most; in steps of
https://learn.microsoft.com/en-us/azure/load-balancer/load-balancer-outbound-connections"""

SLOTS_STEP = 16
"""ports for SSH are made in steps of"""

FRONT, POOL, CHECK = "front", "servers", "ready"


@dataclass(frozen=True)
class Balancer:
    """A load balancer, which servers join by themselves."""

    made: network.LoadBalancer
    front: Front
    address: pulumi.Output[str]
    """where SSH comes in"""


def ssh_port(index: int) -> int:
    """The port of a server's SSH at the load balancer, by the server's number in the stack."""
    return SSH_FIRST + index


def joined(balancer: Balancer, index: int) -> dict[str, Any]:
    """Arguments of a server's network interface by which it is one of the servers, and the one behind its port."""
    return {
        "load_balancer_backend_address_pools": [
            _part(balancer.made.id, "backendAddressPools", pool) for pool in (POOL, _slot(index))
        ]
    }


def _slot(index: int) -> str:
    return f"server-{index}"


def balancer(args: HostsArgs, where: Place) -> Balancer:
    """Make it, with ports for SSH, each to a pool that one server joins: Azure retires the older kind, a rule of a
    server's network interface, in September 2027.

    There are ports for more servers than there are, so that a few less are no change: servers that go are gone last,
    and it is not known to us that Azure lets a pool go that still has one.
    https://learn.microsoft.com/en-us/azure/load-balancer/inbound-nat-rules
    """
    plan, name, port = args.plan, name_of(args), args.plan.proxy.port
    address = public_address(args, name, where)
    # Its parts name each other by ids that begin with its own.
    own = pulumi.Output.concat(where.group.id, "/providers/Microsoft.Network/loadBalancers/", name)
    front = _part(own, "frontendIPConfigurations", FRONT)
    slots = range(math.ceil(len(plan.hosts) / SLOTS_STEP) * SLOTS_STEP)
    # A rule takes a whole step of ports for itself, and those of SSH stand side by side.
    left = PORTS - PORTS_STEP * (1 + math.ceil(len(slots) / PORTS_STEP))
    share = left // len(plan.hosts) // PORTS_STEP * PORTS_STEP
    made = network.LoadBalancer(
        name,
        **where.arguments,
        load_balancer_name=name,
        sku={"name": "Standard"},
        frontend_ip_configurations=[{"name": FRONT, "public_ip_address": {"id": address.id}}],
        backend_address_pools=[{"name": POOL}, *({"name": _slot(index)} for index in slots)],
        probes=[
            {
                "name": CHECK,
                "protocol": "Https",
                "port": port,
                "request_path": "/ready",
                "interval_in_seconds": CHECK_SECONDS,
                "number_of_probes": CHECK_MISSES,
                "probe_threshold": CHECK_MISSES,
            }
        ],
        load_balancing_rules=[
            {
                "name": "clients",
                "protocol": "Tcp",
                "frontend_ip_configuration": front,
                "frontend_port": port,
                "backend_address_pool": _part(own, "backendAddressPools", POOL),
                "backend_port": port,
                "probe": _part(own, "probes", CHECK),
                "idle_timeout_in_minutes": max(IDLE_LEAST, math.ceil(silence_seconds(plan) / 60)),
                "enable_tcp_reset": True,
                "disable_outbound_snat": True,
            }
        ],
        inbound_nat_rules=[
            {
                "name": _slot(index),
                "protocol": "Tcp",
                "frontend_ip_configuration": front,
                "frontend_port_range_start": ssh_port(index),
                "frontend_port_range_end": ssh_port(index),
                "backend_address_pool": _part(own, "backendAddressPools", _slot(index)),
                "backend_port": SSH_PORT,
                "idle_timeout_in_minutes": IDLE_MINUTES,
                "enable_tcp_reset": True,
            }
            for index in slots
        ],
        outbound_rules=[
            {
                "name": "outside",
                "protocol": "All",
                "frontend_ip_configurations": [front],
                "backend_address_pool": _part(own, "backendAddressPools", POOL),
                "allocated_outbound_ports": min(PORTS_EACH, share),
                "enable_tcp_reset": True,
            }
        ],
        opts=pulumi.ResourceOptions.merge(where.opts, pulumi.ResourceOptions(delete_before_replace=True)),
    )
    ip = pulumi.Output.all(address.ip_address, made.id).apply(lambda values: str(values[0]))
    return Balancer(made, front_of(args, address, ip), ip)


def front_of(args: HostsArgs, address: network.PublicIPAddress, ip: pulumi.Output[str]) -> Front:
    """What clients use: the name in the DNS where there is one, else the address."""
    if args.settings.azure.dns_label is None:
        return Front(ip, (ip,))
    name = address.dns_settings.apply(lambda found: str(found.fqdn))
    return Front(name, (name, ip))


def _part(whole: pulumi.Output[str], kind: str, name: str) -> dict[str, pulumi.Output[str]]:
    """A part of a load balancer, by its id."""
    return {"id": pulumi.Output.concat(whole, f"/{kind}/{name}")}
