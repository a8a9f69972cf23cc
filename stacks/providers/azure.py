"""Servers at Azure, with the official SDK `pulumi-azure-native` (extra `azure`). It reads what `az login` leaves, or
variables named ARM_….

cloud-init installs the host key that Pulumi made, so that the first SSH connection is verified already: it is in the
custom data, which Azure gives to the server's first boot and to nobody else. Nothing connects before the network's
rules are there. A single server has an address of its own; several have that of a load balancer, through which SSH
comes, too. Node pools are in `azure_pool`.

Spot servers are stopped when they are taken away, with their disks and addresses kept. Azure starts none again, and
neither does `pulumi up`: `az vm start` does. Nothing else steps in for one: `slipway:azure.spot` says how many servers
may be such.

Left out: a bucket for weights, as Blob storage speaks no S3; shared file storage (Azure Files); scale sets, proximity
placement groups, dedicated hosts, reservations; networks and resource groups that exist; disks of a key of one's own;
IPv6; NVIDIA's VM extension, which installs drivers that nobody pins.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import compute, network

from slipway.hosting import DiskSize, boot_disk, user_data
from slipway.plan_types import Plan
from slipway.settings.azure import IMAGE_DISK, AzureSettings
from slipway.settings.resolving import balanced
from slipway.units import GB
from stacks.providers import Host, HostsArgs, born_with
from stacks.providers.azure_balancer import Balancer, balancer, front_of, joined, ssh_port
from stacks.providers.azure_network import Place, name_of, place, private_network, public_address, rules_of, zone_name
from stacks.providers.azure_pool import create_cluster
from stacks.providers.native import laid_over
from stacks.providers.shared import SSH_PORT, Front, server_host, size_gib
from stacks.resources import HostKey

__all__ = ["VERIFIED", "create_cluster", "create_hosts"]

VERIFIED = (
    "not run: never against Azure itself; its resources were checked against the argument types of "
    "pulumi-azure-native 3.29.0 under Pulumi's mocks"
)

CACHE_LUN = 0
CACHE_DEVICE = f"/dev/disk/azure/scsi1/lun{CACHE_LUN}"
"""the disk for weights, by rules of Azure's agent; sizes whose disks are NVMe have no such name
https://learn.microsoft.com/en-us/azure/virtual-machines/linux/azure-virtual-machine-utilities"""

BORN_WITH = (
    "osProfile.customData",
    "storageProfile.imageReference",
    "storageProfile.osDisk.diskSizeGB",
    "hardwareProfile.vmSize",
    "availabilitySet",
)
"""what Azure changes of no server that exists, or of all at once with a restart"""


@dataclass(frozen=True)
class _Site:
    """What all servers of a stack are made in and with."""

    place: Place
    subnet: network.Subnet
    balancer: Balancer | None
    apart: compute.AvailabilitySet | None


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Make a network and one server for each host of the plan, and for several a load balancer in front.

    Raises PlanError for arguments that the SDK does not have.
    """
    plan, chosen = args.plan, args.settings.azure
    pulumi.log.info(f"boot disk of each server, in GB: {_boot_disk(plan, chosen).why}")
    where, in_front = place(args, opts), balanced(args.settings)
    site = _Site(
        place=where,
        subnet=private_network(args, where, rules_of(args, checked=in_front)).subnet,
        balancer=balancer(args, where) if in_front else None,
        apart=_apart(args, where),
    )
    return [_host(args, index, site, opts) for index in range(len(plan.hosts))]


def _apart(args: HostsArgs, where: Place) -> compute.AvailabilitySet | None:
    """There for one server as well: one that exists cannot join it when a second comes. It costs nothing."""
    chosen = args.settings.azure
    if chosen.apart != "availability-set":
        return None
    return compute.AvailabilitySet(
        name_of(args),
        **where.arguments,
        sku={"name": "Aligned"},
        platform_fault_domain_count=chosen.fault_domains,
        opts=where.opts,
    )


@dataclass(frozen=True)
class _Door:
    """How a server is reached: what its network interface joins, where SSH comes in, and what clients use."""

    joined: dict[str, Any]
    address: pulumi.Output[str]
    port: int
    front: Front | None


def _door(args: HostsArgs, index: int, site: _Site) -> _Door:
    if site.balancer is not None:
        through = site.balancer
        return _Door(joined(through, index), through.address, ssh_port(index), through.front)
    address = public_address(args, args.plan.hosts[index].name, site.place)
    named = front_of(args, address, address.ip_address) if args.settings.azure.dns_label is not None else None
    return _Door({"public_ip_address": {"id": address.id}}, address.ip_address, SSH_PORT, named)


def _host(args: HostsArgs, index: int, site: _Site, opts: pulumi.ResourceOptions) -> Host:
    chosen, name, door = args.settings.azure, args.plan.hosts[index].name, _door(args, index, site)
    key = HostKey(f"{name}-key", name=name, opts=opts)
    server = _server(args, index, site, key, door.joined)
    return server_host(
        args,
        name,
        server=server,
        key=key,
        # Whoever gets it waits for the server, and so for the network's rules.
        address=pulumi.Output.all(door.address, server.id).apply(lambda values: str(values[0])),
        ssh_port=door.port,
        user=chosen.user,
        zone=zone_name(chosen, chosen.domain(index)),
        front=door.front,
        store=None,
    )


def _server(args: HostsArgs, index: int, site: _Site, key: HostKey, joined: dict[str, Any]) -> compute.VirtualMachine:
    plan, chosen, where = args.plan, args.settings.azure, site.place
    name, zone, spot = plan.hosts[index].name, chosen.domain(index), index >= len(plan.hosts) - chosen.spot
    zones = [zone] if zone is not None else None
    interface = network.NetworkInterface(
        name,
        **where.arguments,
        enable_accelerated_networking=chosen.accelerated_networking,
        ip_configurations=[
            {
                "name": "server",
                "primary": True,
                "subnet": {"id": site.subnet.id},
                "private_ip_allocation_method": "Dynamic",
                **joined,
            }
        ],
        opts=where.opts,
    )
    cache = _cache(args, name, zones, where)
    storage: dict[str, Any] = {
        "image_reference": _image(chosen.image or ""),
        "os_disk": {
            "create_option": "FromImage",
            "disk_size_gb": size_gib(_boot_disk(plan, chosen).gigabytes * GB),
            "managed_disk": {"storage_account_type": chosen.disk_type},
            "caching": "ReadWrite",
            "delete_option": "Delete",
        },
    }
    if cache is not None:
        storage["data_disks"] = [
            {
                "lun": CACHE_LUN,
                "create_option": "Attach",
                "managed_disk": {"id": cache.id},
                "caching": "None",
                "delete_option": "Detach",
            }
        ]
    written: dict[str, Any] = {
        # No name: a server that is made anew has another one.
        **where.arguments,
        "hardware_profile": {"vm_size": chosen.vm_size},
        "storage_profile": storage,
        "network_profile": {"network_interfaces": [{"id": interface.id, "primary": True, "delete_option": "Detach"}]},
        "os_profile": {
            "computer_name": name,
            "admin_username": chosen.user,
            "custom_data": _custom_data(key, cached=cache is not None),
            "linux_configuration": {
                "disable_password_authentication": True,
                "ssh": {
                    "public_keys": [
                        {
                            "path": f"/home/{chosen.user}/.ssh/authorized_keys",
                            "key_data": args.keys.ssh_public_key,
                        }
                    ]
                },
            },
        },
    }
    if chosen.trusted_launch:
        # The driver's modules are built on the host, and nobody has signed them.
        firmware = {"secure_boot_enabled": False, "v_tpm_enabled": True}
        written["security_profile"] = {"security_type": "TrustedLaunch", "uefi_settings": firmware}
    if zones is not None:
        written["zones"] = zones
    if spot:
        # A price of -1 is whatever it costs, up to that of a server that is not spot.
        written |= {"priority": "Spot", "eviction_policy": "Deallocate", "billing_profile": {"max_price": -1.0}}
    elif site.apart is not None:
        written["availability_set"] = {"id": site.apart.id}
    kept = born_with(args, name, *BORN_WITH)
    return compute.VirtualMachine(
        name,
        **laid_over(compute.VirtualMachineArgs, written, chosen.vm_args, "slipway:azure.vm_args"),
        opts=pulumi.ResourceOptions.merge(
            where.opts,
            pulumi.ResourceOptions(
                # It holds the host's private key.
                additional_secret_outputs=["os_profile"],
                ignore_changes=kept,
                replace_on_changes=[] if kept else list(BORN_WITH),
                # A network interface and a disk are a server's own, one at a time.
                delete_before_replace=True,
            ),
        ),
    )


def _image(said: str) -> dict[str, str]:
    """An image by its id, or by the four parts of its name.

    >>> _image("Debian:debian-12:12-gen2:0.20251112.2294")["version"]
    '0.20251112.2294'
    """
    if said.startswith("/"):
        return {"id": said}
    return dict(zip(("publisher", "offer", "sku", "version"), said.split(":"), strict=True))


def _boot_disk(plan: Plan, chosen: AzureSettings) -> DiskSize:
    if chosen.disk is not None:
        return DiskSize(math.ceil(chosen.disk / GB), "slipway:azure.disk")
    computed, least = boot_disk(plan, weights_elsewhere=chosen.cache is not None), math.ceil(IMAGE_DISK / GB)
    if computed.gigabytes >= least:
        return computed
    return DiskSize(least, f"{computed.why}; the image's own disk has {least} GB")


def _cache(args: HostsArgs, name: str, zones: list[str] | None, where: Place) -> compute.Disk | None:
    """The disk for weights: a resource of its own, so that a server that is replaced finds them again."""
    chosen = args.settings.azure
    if chosen.cache is None:
        return None
    return compute.Disk(
        f"{name}-models",
        **where.arguments,
        creation_data={"create_option": "Empty"},
        disk_size_gb=size_gib(chosen.cache),
        sku={"name": chosen.disk_type},
        zones=zones,
        # Nobody has to download it.
        network_access_policy="DenyAll",
        public_network_access="Disabled",
        opts=pulumi.ResourceOptions.merge(where.opts, pulumi.ResourceOptions(retain_on_delete=chosen.cache_retain)),
    )


def _custom_data(key: HostKey, *, cached: bool) -> pulumi.Output[str]:
    """The server's user data, in base64."""

    def written(values: list[Any]) -> str:
        private, public = values
        text = user_data(private, public, cache_device=CACHE_DEVICE if cached else None)
        return base64.b64encode(text.encode()).decode()

    return pulumi.Output.secret(pulumi.Output.all(key.private_key, key.public_key).apply(written))
