"""Google's passthrough network load balancer: packets reach the servers as clients sent them.

It asks each server `/ready` over TLS; health checks there verify no certificate
(https://cloud.google.com/load-balancing/docs/health-check-concepts#criteria-certificates), so that one of the stack's
own authority will do. It ends no connection, so that it has no timeouts and cannot count a server's connections: what
is too much for one waits in its proxy's queue, or is answered 429.

It forgets a connection that was silent for 60 s, and then finds its server anew by the addresses: the same one, unless
one came or went meanwhile.
https://cloud.google.com/php/docs/reference/cloud-compute/latest/V1.BackendServiceConnectionTrackingPolicy

Servers take the balancer's address for their own, which the guest agent of Google's images sees to.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_gcp import compute

from slipway.settings.clouds import CHECK_MISSES, CHECK_SECONDS
from stacks.providers import HostsArgs
from stacks.providers.gcp_network import Network, labels_of, name_of

MOST_DRAIN = 3600
"""seconds that a connection may go on at the most after its server was taken out"""


def balancer(
    args: HostsArgs,
    network: Network,
    address: compute.Address,
    instances: Sequence[compute.Instance],
    opts: pulumi.ResourceOptions,
) -> compute.ForwardingRule:
    """Make it at that address, in front of all of the servers."""
    chosen, name, port = args.settings.gcp, name_of(args), args.plan.proxy.port
    group = compute.InstanceGroup(
        name,
        project=chosen.project,
        zone=chosen.zone,
        network=network.network.id,
        # A server that is made anew has another name, so that the group takes it in.
        instances=[instance.self_link for instance in instances],
        opts=opts,
    )
    check = compute.RegionHealthCheck(
        name,
        project=chosen.project,
        region=chosen.region,
        check_interval_sec=CHECK_SECONDS,
        timeout_sec=CHECK_SECONDS,
        unhealthy_threshold=CHECK_MISSES,
        healthy_threshold=1,
        https_health_check={"port": port, "request_path": "/ready"},
        opts=opts,
    )
    backend = compute.RegionBackendService(
        name,
        project=chosen.project,
        region=chosen.region,
        load_balancing_scheme="EXTERNAL",
        protocol="TCP",
        health_checks=check.id,
        backends=[{"group": group.self_link, "balancing_mode": "CONNECTION"}],
        session_affinity="NONE",
        connection_draining_timeout_sec=min(round(args.plan.drain.deadline), MOST_DRAIN),
        opts=opts,
    )
    return compute.ForwardingRule(
        name,
        project=chosen.project,
        region=chosen.region,
        load_balancing_scheme="EXTERNAL",
        ip_address=address.address,
        ip_protocol="TCP",
        ports=[str(port)],
        backend_service=backend.id,
        labels=labels_of(args),
        opts=opts,
    )
