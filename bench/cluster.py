"""A service of many pods in a cluster: rendered, made, and made again with nothing to do.

    make bench-cluster       or: python -m bench.cluster --pods 200 --rounds 3

A real control plane runs on loopback; nodes and pods are KWOK's, which is Ready as soon as a pod has a node. The floor
is kubectl, which applies the same manifests and waits until all pods are Ready: what is above it is Pulumi's and ours.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import yaml

from bench.report import Report, say
from bench.running import run_main, timed, workspace
from slipway.manifests import objects
from slipway.plan_types import Plan
from tests.support.cluster_stack import GPUS, LABELS, OF, cluster_stack, settings
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.stack import Stack
from tests.templates.clusters import plan_of, rendered

SERVICES = 100
AIM_RENDER = 1.0
"""seconds for SERVICES services"""
PODS_A_NODE = 2
FIRST, AGAIN, FLOOR, RENDER = "up", "up again", "kubectl", f"render {SERVICES}"


def plan(pods: int, stack: str = "test") -> Plan:
    config = {**settings(Path("/none"), pods, max(1, pods // PODS_A_NODE)), "slipway:release": OF}
    return plan_of(yaml.safe_dump({"config": config}), stack)


def render() -> float:
    """Seconds for the manifests of SERVICES services, from their plans."""
    plans = [plan(2, f"service-{number}") for number in range(SERVICES)]
    begun = time.monotonic()
    for one in plans:
        rendered(one)
    return time.monotonic() - begun


def up(stack: Stack, *arguments: str) -> float:
    said = ("--stack", stack.project.stack, "--yes", "--skip-preview", "--non-interactive", "--suppress-progress")
    project = stack.project
    return timed("pulumi up", ["pulumi", "up", *said, *arguments], env=project.env, cwd=project.folder).seconds


def floor(plane: ControlPlane, pods: int) -> float:
    """Seconds until all pods of the same manifests are Ready, applied by kubectl; they are gone at the end."""
    found = objects(rendered(plan(pods)))
    namespace = next(item for item in found if item["kind"] == "Namespace")["metadata"]["name"]
    begun = time.monotonic()
    plane.apply(found)
    plane.kubectl("rollout", "status", "deployment", "-n", namespace, "--timeout=300s")
    seconds = time.monotonic() - begun
    plane.kubectl("delete", "--wait", "-f", "-", given=yaml.safe_dump_all(found))
    return seconds


def report(measured: dict[str, list[float]], pods: int, nodes: int) -> Report:
    return Report(
        name="cluster",
        what=f"a service of {pods} pods on {nodes} nodes of KWOK: until all are Ready, and again with nothing to do",
        seconds=measured,
        ratios={"up / kubectl": (FIRST, FLOOR), "up again / up": (AGAIN, FIRST)},
        facts={"pods": pods, "nodes": nodes, "services": SERVICES, "aims": {RENDER: AIM_RENDER}},
    )


def run(pods: int, rounds: int) -> Report:
    """Starts a control plane and stops it."""
    nodes = max(1, pods // PODS_A_NODE)
    measured: dict[str, list[float]] = {name: [] for name in (FIRST, AGAIN, FLOOR, RENDER)}
    with workspace() as folder, control_plane(folder / "plane") as plane:
        plane.make_nodes(nodes, GPUS, LABELS)
        stack = cluster_stack(plane, folder, pods, nodes)
        for number in range(1, rounds + 1):
            measured[RENDER].append(render())
            measured[FLOOR].append(floor(plane, pods))
            measured[FIRST].append(up(stack))
            measured[AGAIN].append(up(stack, "--expect-no-changes"))
            stack.project.destroy()
            say(f"round {number}: " + ", ".join(f"{name} {times[-1]:.2f} s" for name, times in measured.items()))
    return report(measured, pods, nodes)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pods", type=int, default=200, metavar="N", help="pods of the service (default: 200)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="times that it is made (default: 3)")
    return parser.parse_args(argv)


def main() -> None:
    arguments = parse()
    run(arguments.pods, arguments.rounds).show()


if __name__ == "__main__":
    run_main(main)
