"""The network of a stack at Google Cloud: a subnet of its own, what may come in, and a way out for private nodes.

Nothing comes in but what a rule lets in, and everything may go out: both are the rules that every network there has.
https://cloud.google.com/firewall/docs/firewalls#default_firewall_rules
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

from slipway.pools import dns_label
from stacks.providers import HostsArgs
from stacks.providers.shared import SSH_PORT

CHECKERS = ("35.191.0.0/16", "209.85.152.0/22", "209.85.204.0/22")
"""where health checks of a passthrough load balancer come from https://cloud.google.com/load-balancing/docs/firewall-rules"""


@dataclass(frozen=True)
class Network:
    network: compute.Network
    subnet: compute.Subnetwork
    tag: str
    """which servers the rules are for"""


def name_of(args: HostsArgs) -> str:
    """What the stack's resources are called there; Pulumi adds to it what makes it unique."""
    return f"slipway-{dns_label(args.plan.stack)}"


def labels_of(args: HostsArgs) -> dict[str, str]:
    return {"slipway-stack": dns_label(args.plan.stack), **args.settings.gcp.labels}


def private_network(args: HostsArgs, opts: pulumi.ResourceOptions) -> Network:
    """The network and its one subnet, in the region of the stack's zone."""
    chosen, name = args.settings.gcp, name_of(args)
    network = compute.Network(
        name, project=chosen.project, auto_create_subnetworks=False, routing_mode="REGIONAL", opts=opts
    )
    subnet = compute.Subnetwork(
        name,
        project=chosen.project,
        region=chosen.region,
        network=network.id,
        ip_cidr_range=chosen.network,
        # Weights in Google's own storage are read without a way over the internet.
        private_ip_google_access=True,
        opts=opts,
    )
    return Network(network, subnet, name)


def firewall(
    args: HostsArgs, network: Network, front: compute.Address | None, opts: pulumi.ResourceOptions
) -> list[compute.Firewall]:
    """What may come in: SSH, and clients. A passthrough load balancer leaves their addresses as they are, and packets
    come with its own as their destination: behind one, a server's own address is closed to them."""
    chosen, port = args.settings.gcp, args.plan.proxy.port
    sources = {
        "ssh": list(chosen.ssh_from),
        "clients": list(chosen.clients_from if front is None else (*chosen.clients_from, *CHECKERS)),
    }
    ports = {"ssh": SSH_PORT, "clients": port}
    return [
        compute.Firewall(
            f"{network.tag}-{what}",
            project=chosen.project,
            network=network.network.id,
            direction="INGRESS",
            allows=[{"protocol": "tcp", "ports": [str(ports[what])]}],
            source_ranges=sources[what],
            destination_ranges=[front.address] if front is not None and what == "clients" else None,
            target_tags=[network.tag],
            opts=opts,
        )
        for what in ports
    ]


def way_out(args: HostsArgs, network: Network, opts: pulumi.ResourceOptions) -> compute.RouterNat:
    """Lets nodes without public addresses reach registries and package archives."""
    chosen, name = args.settings.gcp, name_of(args)
    router = compute.Router(name, project=chosen.project, region=chosen.region, network=network.network.id, opts=opts)
    return compute.RouterNat(
        name,
        project=chosen.project,
        region=chosen.region,
        router=router.name,
        nat_ip_allocate_option="AUTO_ONLY",
        source_subnetwork_ip_ranges_to_nat="LIST_OF_SUBNETWORKS",
        subnetworks=[{"name": network.subnet.id, "source_ip_ranges_to_nats": ["ALL_IP_RANGES"]}],
        opts=opts,
    )
