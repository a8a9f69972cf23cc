"""Servers at Google Cloud, with the official SDK `pulumi-gcp` (extra `gcp`). It reads application default credentials.

cloud-init installs the host key that Pulumi made, so that the first SSH connection is verified already, and nothing
connects before the firewall's rules are there. Google's images of Debian have no cloud-init; the guest agent of those
that have it is told to make no host keys. Node pools are in `gcp_pool`, the bucket for weights in `gcp_store`.

Spot servers are stopped when they are taken away, with their disks and addresses kept, and `pulumi up` starts them
again if there is room. Nothing else steps in for one: `slipway:gcp.spot` says how many servers may be such.

Left out: what turns on the APIs of a project, reservations, confidential VMs, shared file storage (Filestore), IPv6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_gcp import compute

from slipway.hosting import DiskSize, boot_disk, user_data
from slipway.plan_types import Plan
from slipway.settings.gcp import GcpSettings
from slipway.settings.resolving import balanced
from slipway.units import GB
from stacks.providers import Host, HostsArgs, born_with
from stacks.providers.gcp_balancer import balancer
from stacks.providers.gcp_network import Network, firewall, labels_of, name_of, private_network
from stacks.providers.gcp_pool import create_cluster
from stacks.providers.gcp_store import store as weights_store
from stacks.providers.native import laid_over
from stacks.providers.shared import Front, server_host
from stacks.resources import HostKey

__all__ = ["VERIFIED", "create_cluster", "create_hosts"]

VERIFIED = (
    "not run: never against Google Cloud itself; its resources were checked against the argument types of "
    "pulumi-gcp 10.2.0 under Pulumi's mocks"
)

GROUPS = 8
"""availability domains of a spread placement policy at the most; the number cannot change under servers that use it
https://cloud.google.com/compute/docs/instances/placement-policies-overview"""

MODELS = "models"
"""how the guest knows the disk for weights: /dev/disk/by-id/google-<name>
https://cloud.google.com/compute/docs/disks/disk-symlinks"""

AGENT = {"/etc/default/instance_configs.cfg": "[InstanceSetup]\nset_host_keys = false\n"}
"""https://github.com/GoogleCloudPlatform/guest-agent README.md"""


@dataclass(frozen=True)
class _Made:
    """A server and what it is reached by; `address` is known once the firewall stands."""

    instance: compute.Instance
    key: HostKey
    address: pulumi.Output[str]


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Make a network and one server for each host of the plan, and for several a load balancer in front.

    Raises PlanError for arguments that the SDK does not have.
    """
    plan, chosen = args.plan, args.settings.gcp
    pulumi.log.info(f"boot disk of each server, in GB: {_boot_disk(plan, chosen).why}")
    network = private_network(args, opts)
    front = _address(args, name_of(args), opts) if balanced(args.settings) else None
    rules = firewall(args, network, front, opts)
    policy = None
    if len(plan.hosts) > 1 and chosen.anti_affinity == "spread":
        policy = compute.ResourcePolicy(
            name_of(args),
            project=chosen.project,
            region=chosen.region,
            group_placement_policy={"availability_domain_count": GROUPS},
            opts=opts,
        )
    first_spot = len(plan.hosts) - chosen.spot
    made = {
        host.name: _server(args, host.name, network, rules, policy=policy, spot=index >= first_spot, opts=opts)
        for index, host in enumerate(plan.hosts)
    }
    reached = None
    if front is not None:
        rule = balancer(args, network, front, [one.instance for one in made.values()], opts)
        # Whoever gets the address waits until something stands there.
        address = pulumi.Output.all(front.address, rule.id).apply(lambda values: str(values[0]))
        reached = Front(address, (address,))
    bucket = weights_store(args, args.settings.weights, opts) if args.settings.weights is not None else None
    return [
        server_host(
            args,
            host,
            server=one.instance,
            key=one.key,
            address=one.address,
            user=chosen.user,
            zone=chosen.zone,
            front=reached,
            store=bucket,
        )
        for host, one in made.items()
    ]


def _server(
    args: HostsArgs,
    name: str,
    network: Network,
    rules: list[compute.Firewall],
    *,
    policy: compute.ResourcePolicy | None,
    spot: bool,
    opts: pulumi.ResourceOptions,
) -> _Made:
    plan, chosen = args.plan, args.settings.gcp
    key = HostKey(f"{name}-key", name=name, opts=opts)
    cache, address = _cache(args, name, opts), _address(args, name, opts)
    written: dict[str, Any] = {
        # No name: one that Pulumi makes lets the load balancer see when a server is another one.
        "project": chosen.project,
        "zone": chosen.zone,
        "machine_type": chosen.machine_type,
        "boot_disk": {
            "auto_delete": True,
            "initialize_params": {
                "image": chosen.image,
                "size": _boot_disk(plan, chosen).gigabytes,
                "type": chosen.disks,
                "labels": labels_of(args),
            },
        },
        "network_interfaces": [
            {"subnetwork": network.subnet.id, "access_configs": [{"nat_ip": address.address}]},
        ],
        "metadata": {
            "user-data": _user_data(key, name, cached=cache is not None),
            "ssh-keys": args.keys.ssh_public_key.apply(lambda public: f"{chosen.user}:{public}"),
            "block-project-ssh-keys": "TRUE",
            "enable-oslogin": "FALSE",
        },
        "tags": [network.tag],
        "scheduling": _scheduling(gpus=chosen.gpu is not None, spot=spot),
        # The driver's modules are built on the host, and nobody has signed them.
        "shielded_instance_config": {"enable_secure_boot": False, "enable_vtpm": True},
        "desired_status": "RUNNING",
        "labels": labels_of(args),
        # A new type stops a server; one that is to be made anew is stopped anyway.
        "allow_stopping_for_update": name in args.settings.hosts.renew,
    }
    if chosen.accelerator is not None:
        written["guest_accelerators"] = [{"type": chosen.accelerator, "count": args.settings.engine.gpus}]
    if cache is not None:
        written["attached_disks"] = [{"source": cache.id, "device_name": MODELS}]
    if policy is not None:
        written["resource_policies"] = policy.id
    instance = compute.Instance(
        name,
        **laid_over(compute.InstanceArgs, written, chosen.instance_args, "slipway:gcp.instance_args"),
        opts=pulumi.ResourceOptions.merge(
            opts,
            pulumi.ResourceOptions(
                # They hold the host's private key.
                additional_secret_outputs=["metadata"],
                ignore_changes=born_with(
                    args, name, 'metadata["user-data"]', "bootDisk.initializeParams.image", "machineType"
                ),
                # An address and a disk are a server's own, one at a time.
                delete_before_replace=True,
            ),
        ),
    )
    guarded = pulumi.Output.all(address.address, instance.id, *(rule.id for rule in rules))
    return _Made(instance, key, guarded.apply(lambda values: str(values[0])))


def _scheduling(*, gpus: bool, spot: bool) -> dict[str, Any]:
    """A machine with GPUs cannot be moved while it runs, and one that may be taken away is stopped, not deleted.
    https://cloud.google.com/compute/docs/gpus/gpu-host-maintenance"""
    if spot:
        return {
            "provisioning_model": "SPOT",
            "preemptible": True,
            "automatic_restart": False,
            "on_host_maintenance": "TERMINATE",
            "instance_termination_action": "STOP",
        }
    return {"automatic_restart": True, "on_host_maintenance": "TERMINATE" if gpus else "MIGRATE"}


def _address(args: HostsArgs, name: str, opts: pulumi.ResourceOptions) -> compute.Address:
    """An address that stays: a server that is stopped, or made anew, keeps it. One in use costs what any costs."""
    return compute.Address(
        name, project=args.settings.gcp.project, region=args.settings.gcp.region, labels=labels_of(args), opts=opts
    )


def _boot_disk(plan: Plan, chosen: GcpSettings) -> DiskSize:
    if chosen.disk is not None:
        return DiskSize(math.ceil(chosen.disk / GB), "slipway:gcp.disk")
    return boot_disk(plan, weights_elsewhere=chosen.cache is not None)


def _cache(args: HostsArgs, name: str, opts: pulumi.ResourceOptions) -> compute.Disk | None:
    """The disk for weights: a resource of its own, so that a server that is replaced finds them again."""
    chosen = args.settings.gcp
    if chosen.cache is None:
        return None
    return compute.Disk(
        f"{name}-{MODELS}",
        project=chosen.project,
        zone=chosen.zone,
        size=math.ceil(chosen.cache / GB),
        type=chosen.disks,
        labels=labels_of(args),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=chosen.cache_retain)),
    )


def _user_data(key: HostKey, name: str, *, cached: bool) -> pulumi.Output[str]:
    device = f"/dev/disk/by-id/google-{MODELS}" if cached else None

    def written(values: list[Any]) -> str:
        private, public = values
        return user_data(private, public, cache_device=device, hostname=name, files=AGENT)

    return pulumi.Output.secret(pulumi.Output.all(key.private_key, key.public_key).apply(written))
