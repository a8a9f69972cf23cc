"""Hosts that exist already: an inventory in the stack file. Nothing is created here, and nothing destroyed."""

from __future__ import annotations

import pulumi

from stacks.config import secret
from stacks.providers import Host, HostsArgs

VERIFIED = "run: system containers reached over SSH in the end-to-end tests"


def create_hosts(args: HostsArgs, opts: pulumi.ResourceOptions) -> list[Host]:
    """Return the inventory as hosts.

    The key that opens them is the secret `slipway:ssh_private_key`; without it, the stack's own key is used, whose
    public half is the stack output `ssh_public_key`.
    """
    del opts  # nothing is created
    private_key = secret("ssh_private_key") or args.keys.ssh_private_key
    policy = args.settings.ssh.host_key_policy
    return [
        Host(
            name=host.name,
            connection={
                "name": host.name,
                "address": host.address or host.name,
                "port": host.ssh_port,
                "user": host.ssh_user,
                "private_key": private_key,
                "host_key": host.host_key,
                "host_key_policy": policy,
            },
            address=host.address or host.name,
            port=args.plan.proxy.port,
        )
        for host in args.plan.hosts
    ]
