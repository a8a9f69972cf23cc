"""Machines booted here: a VM or a system container beside the one who runs `pulumi up`."""

from __future__ import annotations

import pulumi

from slipway.units import MIB
from stacks.config import artifacts, state_dir
from stacks.providers import Host, HostsArgs
from stacks.resources import HostKey, Machine

VERIFIED = "run: boots systemd-nspawn machines in the end-to-end tests"


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Boot one machine for each host of the plan. Its SSH host key is made first, so that it is known before boot."""
    return [_host(args, name, opts) for name in (host.name for host in args.plan.hosts)]


def _host(args: HostsArgs, name: str, opts: pulumi.ResourceOptions) -> Host:
    local = args.settings.local
    key = HostKey(f"{name}-key", name=name, opts=opts)
    machine = Machine(
        name,
        name=name,
        stack=args.plan.stack,
        kind=local.machine,
        authorized_key=args.keys.ssh_public_key,
        host_key_public=key.public_key,
        host_key_private=key.private_key,
        base=artifacts().base_of(args.plan.host.os),
        state=str(state_dir() / "machines" / args.plan.stack / name),
        cpus=local.cpus,
        memory_mib=local.memory // MIB,
        disk_gib=local.disk // (1024 * MIB),
        forward=[args.plan.proxy.port],
        # A new base tree is for new machines; one that runs keeps what it was born from.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["base"])),
    )
    return Host(
        name=name,
        connection={
            "name": name,
            "address": machine.address,
            "port": machine.port,
            "user": "root",
            "private_key": args.keys.ssh_private_key,
            "host_key": key.public_key,
            "host_key_policy": "pinned",
        },
        address=machine.address,
        port=machine.service_ports.apply(lambda ports: int(ports[str(args.plan.proxy.port)])),
        machine=machine,
    )
