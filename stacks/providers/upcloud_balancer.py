"""UpCloud's load balancer: it passes TLS through to the servers, and asks each whether it is ready."""

from __future__ import annotations

import pulumi
import pulumi_upcloud as upcloud

from slipway.plan_types import Plan
from slipway.settings.clouds import CHECK_MISSES, CHECK_SECONDS, UpCloudSettings
from stacks.providers.shared import Front, silence_seconds

PUBLIC, PRIVATE = "public", "private"


def balancer(
    plan: Plan,
    chosen: UpCloudSettings,
    *,
    name: str,
    network: upcloud.Network,
    addresses: dict[str, pulumi.Output[str]],
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> Front:
    """Make it, with one member for each host (`addresses`: private ones, by host)."""
    zone = chosen.zone or ""
    floating = None
    if chosen.floating_ip:
        floating = upcloud.FloatingIpAddress(plan.stack, zone=zone, family="IPv4", opts=opts)
    service = upcloud.Loadbalancer(
        plan.stack,
        name=name,
        plan=chosen.load_balancer_plan,
        zone=zone,
        configured_status="started",
        networks=[
            {"name": PUBLIC, "type": "public", "family": "IPv4"},
            {"name": PRIVATE, "type": "private", "family": "IPv4", "network": network.id},
        ],
        ip_addresses=[{"address": floating.ip_address, "network_name": PUBLIC}] if floating is not None else None,
        labels=labels,
        opts=opts,
    )
    silence = silence_seconds(plan)
    backend = upcloud.LoadbalancerBackend(
        plan.stack,
        loadbalancer=service.id,
        name="hosts",
        properties={
            "health_check_type": "http",
            # Asked at the member's own port; its certificate is of the stack's own authority, unknown to the cloud.
            "health_check_url": "https://localhost/ready",
            "health_check_tls_verify": False,
            "health_check_expected_status": 200,
            "health_check_interval": CHECK_SECONDS,
            "health_check_fall": CHECK_MISSES,
            "health_check_rise": 1,
            "timeout_server": silence,
            "timeout_tunnel": silence,
        },
        opts=opts,
    )
    upcloud.LoadbalancerFrontend(
        plan.stack,
        loadbalancer=service.id,
        name="api",
        mode="tcp",
        port=plan.proxy.port,
        default_backend_name=backend.name,
        networks=[{"name": PUBLIC}],
        properties={"timeout_client": silence},
        opts=opts,
    )
    for host, address in addresses.items():
        upcloud.LoadbalancerStaticBackendMember(
            host,
            backend=backend.id,
            name=host,
            ip=address,
            port=plan.proxy.port,
            weight=100,
            max_sessions=chosen.load_balancer_sessions or sessions(plan),
            enabled=True,
            opts=opts,
        )
    named = service.networks.apply(lambda found: next(str(one.dns_name) for one in found or () if one.name == PUBLIC))
    if floating is None:
        return Front(named, (named,))
    return Front(floating.ip_address, (named, floating.ip_address))


def sessions(plan: Plan) -> int:
    """Connections to one host: what its replicas run at once, and what may wait in its queue.

    With fewer, the proxy's own queue, which answers 429 with Retry-After once it is full, would never fill. Clients
    that keep idle connections open count as well: give them room with slipway:upcloud.load_balancer_sessions.
    """
    return plan.proxy.concurrency * len(plan.replicas) + plan.proxy.queue
