"""Servers at UpCloud, with the official SDK `pulumi-upcloud` (extra `upcloud`). It reads UPCLOUD_TOKEN.

cloud-init installs the host key that Pulumi made, so that the first SSH connection is verified already, and nothing
connects before the firewall's rules are there. Node pools are in `upcloud_pool`, the bucket for weights in
`upcloud_store`.

Left out: spot with a fallback. The SDK has no argument for it; spot servers seem to be plans of their own (people write
of GPU-SPOT-20xCPU-256GB-3xL40S), and such a plan can be named, but nothing steps in for a server that is taken away.
Shared file storage for weights: hosts would fetch and prune the same files beside each other, which nothing here locks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_upcloud as upcloud

from slipway.errors import PlanError
from slipway.hosting import UPCLOUD_TEMPLATES, DiskSize, boot_disk, user_data
from slipway.plan_types import Plan
from slipway.pools import dns_label
from slipway.settings.clouds import UpCloudSettings
from slipway.settings.resolving import balanced
from slipway.units import GB
from stacks.providers import Host, HostsArgs, born_with
from stacks.providers.native import laid_over
from stacks.providers.shared import server_host
from stacks.providers.upcloud_balancer import balancer
from stacks.providers.upcloud_network import firewall, labels_of, private_network
from stacks.providers.upcloud_pool import create_cluster
from stacks.providers.upcloud_store import store as weights_store
from stacks.resources import HostKey

__all__ = ["VERIFIED", "create_cluster", "create_hosts"]

VERIFIED = (
    "not run: never against UpCloud itself; its resources were checked against the argument types of "
    "pulumi-upcloud 0.23.0 under Pulumi's mocks"
)

AFFINITY = {"strict": "strict", "best-effort": "yes", "none": "no"}


@dataclass(frozen=True)
class _Made:
    """A server and what it is reached by; `public` is known once its firewall stands."""

    server: upcloud.Server
    key: HostKey
    public: pulumi.Output[str]
    private: pulumi.Output[str]


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Make a private network and one server for each host of the plan, and for several a load balancer in front.

    Raises PlanError for an OS without a known template, and for arguments that the SDK does not have.
    """
    plan, chosen = args.plan, args.settings.upcloud
    pulumi.log.info(f"boot disk of each server, in GB: {_boot_disk(plan, chosen).why}")
    name, labels = f"slipway-{dns_label(plan.stack)}", labels_of(args)
    network = private_network(args, nat=False, labels=labels, opts=opts).network
    group = None
    if len(plan.hosts) > 1:
        group = upcloud.ServerGroup(
            plan.stack,
            title=name,
            anti_affinity_policy=AFFINITY[chosen.anti_affinity],
            # Servers name their group; a group that tracked them as well would differ after each change.
            track_members=False,
            labels=labels,
            opts=opts,
        )
    made = {
        host.name: _server(args, host.name, network=network, group=group, labels=labels, opts=opts)
        for host in plan.hosts
    }
    front = None
    if balanced(args.settings):
        front = balancer(
            plan,
            chosen,
            name=name,
            network=network,
            addresses={host: one.private for host, one in made.items()},
            labels=labels,
            opts=opts,
        )
    store = None
    if args.settings.weights is not None:
        store = weights_store(args.settings.weights, chosen, name=name, network=network, labels=labels, opts=opts)
    return [
        server_host(
            args,
            host,
            server=one.server,
            key=one.key,
            address=one.public,
            user=chosen.user,
            zone=chosen.zone,
            front=front,
            store=store,
        )
        for host, one in made.items()
    ]


def _server(
    args: HostsArgs,
    name: str,
    *,
    network: upcloud.Network,
    group: upcloud.ServerGroup | None,
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> _Made:
    plan, chosen = args.plan, args.settings.upcloud
    key = HostKey(f"{name}-key", name=name, opts=opts)
    cache = _cache(plan, chosen, name, labels, opts)
    written: dict[str, Any] = {
        "hostname": name,
        "title": f"slipway {plan.stack} {name}",
        "zone": _zone(chosen),
        "plan": chosen.plan,
        # Plans with GPUs bring no disk, and images are born from cloud-init, which asks the metadata service.
        "template": {
            "storage": _template(plan, chosen),
            "size": _boot_disk(plan, chosen).gigabytes,
            "tier": chosen.disk_tier,
            "encrypt": chosen.encrypt,
            "title": name,
        },
        "metadata": True,
        "user_data": _user_data(key, cache),
        "login": {
            "user": chosen.user,
            "keys": [args.keys.ssh_public_key],
            "create_password": False,
            "password_delivery": "none",
        },
        "network_interfaces": [
            {"type": "public", "ip_address_family": "IPv4", "index": 1},
            {"type": "private", "network": network.id, "index": 2},
        ],
        "firewall": True,
        "labels": labels,
    }
    if cache is not None:
        written["storage_devices"] = [{"storage": cache.id, "address": "virtio"}]
    if group is not None:
        written["server_group"] = group.id
    server = upcloud.Server(
        name,
        **laid_over(upcloud.ServerArgs, written, chosen.server_args, "slipway:upcloud.server_args"),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                # It holds the host's private key.
                additional_secret_outputs=["user_data"],
                ignore_changes=born_with(args, name, "user_data", "template.storage"),
                # A disk is attached to one server at a time.
                delete_before_replace=cache is not None,
            ),
        ),
    )
    rules = upcloud.ServerFirewallRules(
        name,
        server_id=server.id,
        firewall_rules=firewall(plan, chosen, open_to_clients=not balanced(args.settings)),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(deleted_with=server)),
    )
    public, private = (_address(server, interface) for interface in (0, 1))
    # Whoever waits for the address waits for the rules as well.
    guarded = pulumi.Output.all(public, rules.id).apply(lambda values: str(values[0]))
    return _Made(server, key, guarded, private)


def _boot_disk(plan: Plan, chosen: UpCloudSettings) -> DiskSize:
    if chosen.disk is not None:
        return DiskSize(math.ceil(chosen.disk / GB), "slipway:upcloud.disk")
    return boot_disk(plan, weights_elsewhere=chosen.cache is not None)


def _cache(
    plan: Plan, chosen: UpCloudSettings, name: str, labels: dict[str, str], opts: pulumi.ResourceOptions
) -> upcloud.Storage | None:
    """The disk for weights: a resource of its own, so that a server that is replaced finds them again."""
    if chosen.cache is None:
        return None
    return upcloud.Storage(
        f"{name}-models",
        title=f"slipway {plan.stack} {name} models",
        zone=_zone(chosen),
        size=math.ceil(chosen.cache / GB),
        tier=chosen.disk_tier,
        encrypt=chosen.encrypt,
        labels=labels,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=chosen.cache_retain)),
    )


def _user_data(key: HostKey, cache: upcloud.Storage | None) -> pulumi.Output[str]:
    """A disk's serial number is its UUID without hyphens, cut to 20 characters, as virtio has no room for more.
    https://github.com/UpCloudLtd/upcloud-csi internal/filesystem/linux_utils.go"""
    disk: pulumi.Input[str] = cache.id if cache is not None else ""

    def written(values: list[Any]) -> str:
        private, public, identity = values
        device = f"/dev/disk/by-id/virtio-{identity.replace('-', '')[:20]}" if identity else None
        return user_data(private, public, cache_device=device)

    return pulumi.Output.secret(pulumi.Output.all(key.private_key, key.public_key, disk).apply(written))


def _address(server: upcloud.Server, interface: int) -> pulumi.Output[str]:
    return server.network_interfaces.apply(lambda found: str((found or ())[interface].ip_address))


def _template(plan: Plan, chosen: UpCloudSettings) -> str:
    template = chosen.template or UPCLOUD_TEMPLATES.get(plan.host.os)
    if template is None:
        raise PlanError(
            f"no template of {plan.host.os}, the OS of release {plan.release}, is known",
            where="slipway:upcloud.template",
            fix="Add its UUID; `upctl storage list --public --template` lists them",
        )
    return template


def _zone(chosen: UpCloudSettings) -> str:
    return chosen.zone or ""
