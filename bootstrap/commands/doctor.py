"""What `slipway doctor` has done outside the core: the stack's state asked, and clouds, hosts and this computer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bootstrap.clouds import kubernetes
from bootstrap.commands.computer import ask_computer
from bootstrap.commands.measuring import measure_hosts
from bootstrap.commands.status import exported_state, hosts_of
from bootstrap.waits import Waits
from slipway.cli.effects import Doctor
from slipway.desired import Connection
from slipway.doctor.hosts import Unmeasured
from slipway.doctor.market import CloudAnswers, CloudWanted
from slipway.doctor.measured import HostMeasured
from slipway.doctor.types import Made, NoAnswer
from slipway.errors import SlipwayError

CLOUDS = ("upcloud", "aws", "gcp", "azure")
"""those with a module in `bootstrap.clouds`"""
PACKAGES = ("boto3", "botocore")
"""that a cloud's module asks with, and that come with its extra"""
KEY = "slipway:ssh_private_key"
POOLS = ("KubernetesNodeGroup", "NodeGroup", "NodePool", "AgentPool")
"""how SDKs of clouds call a node pool"""
NO_STACK = "no stack named"
"""how Pulumi says that a stack was never made"""


def doctor(root: Path) -> Doctor:
    """The real effects, for the checkout at `root`."""
    return Doctor(
        made=made,
        private_key=private_key,
        measure=_measure,
        cloud=ask_cloud,
        computer=lambda: ask_computer(root),
        cluster=lambda wanted: kubernetes.ask(wanted, os.environ, Waits()),
    )


def made(stack: str) -> Made | NoAnswer:
    """What is in the stack's state; nothing where the stack was never made."""
    try:
        state = exported_state(stack)
        return Made(tuple(connection for connection, _, _ in hosts_of(state)), _has_pool(state))
    except SlipwayError as error:
        return Made() if NO_STACK in error.what else NoAnswer(error.what, error.fix)


def _has_pool(state: dict[str, Any]) -> bool:
    """Whether the pool that serves was made: a cluster's small one for itself does not count."""
    resources = (state.get("deployment") or {}).get("resources") or ()
    return any(
        str(resource["type"]).rsplit(":", 1)[-1] in POOLS
        and not str(resource["urn"]).endswith(("::system", "-system"))
        and not resource.get("delete")
        for resource in resources
    )


def private_key(stack: str) -> str | NoAnswer:
    """The stack's secret key for hosts that exist already. It goes from Pulumi's standard output into memory only."""
    command = ["pulumi", "config", "get", "--stack", stack, KEY]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return NoAnswer("there is no pulumi on PATH, which has the key", 'Run: eval "$(make env)", or install Pulumi')
    if done.returncode != 0 or not done.stdout.strip():
        fix = f"Run: pulumi config set --secret {KEY} --stack {stack} < KEY; without one, ask again after `pulumi up`"
        return NoAnswer("there is no key yet that opens these hosts", fix, "not asked")
    return done.stdout


def ask_cloud(wanted: CloudWanted) -> CloudAnswers:
    """What the cloud says, by its own module, where it has one."""
    if wanted.provider not in CLOUDS:
        nobody = NoAnswer("doctor does not know how to ask this cloud", "Ask it with its own tools", "not asked")
        return CloudAnswers.none(nobody, nobody)
    try:
        ask: Callable[..., CloudAnswers] = import_module(f"bootstrap.clouds.{wanted.provider}").ask
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        fix = f"Run: pip install 'slipway[{wanted.provider}]'"
        nobody = NoAnswer(f"the package {error.name} asks it, and is not installed", fix)
        return CloudAnswers.none(nobody, nobody)
    return ask(wanted, os.environ, Waits())


def _measure(
    connections: Sequence[Connection], read: str, gpu: bool, tell: Callable[[str], None]
) -> tuple[HostMeasured | Unmeasured, ...]:
    return measure_hosts(connections, read=read, gpu=gpu, tell=tell)
