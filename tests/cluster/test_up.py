"""`pulumi up` of the repository's own program on a real control plane: a hundred nodes of eight GPUs, two hundred pods.

The tests go in order, on one stack. Nodes and pods are KWOK's: they exist in the API only, and no container runs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster_stack import GPUS, LABELS, cluster_stack
from tests.support.control_plane import ControlPlane
from tests.support.stack import Stack

pytestmark = [pytest.mark.net, pytest.mark.pulumi, pytest.mark.slow]

NODES, PODS = 100, 200
NAMESPACE, NAME = "slipway-test", "test"
DEPLOYMENT = ("deployment", NAME, "-n", NAMESPACE)


@pytest.fixture(scope="module")
def stack(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    plane.make_nodes(NODES, GPUS, LABELS)
    return cluster_stack(plane, tmp_path_factory.mktemp("cluster"), PODS, NODES)


def status(plane: ControlPlane) -> dict[str, Any]:
    found: dict[str, Any] = plane.get(*DEPLOYMENT)["status"]
    return found


@contextmanager
def available(plane: ControlPlane) -> Iterator[list[int]]:
    """How many pods are available at each change of the Deployment, once the block has ended."""
    seen: list[int] = []
    column = 'jsonpath={.status.availableReplicas}{"\\n"}'
    with subprocess.Popen(
        [*plane.kubectl_command, "get", *DEPLOYMENT, "--watch", "-o", column], stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        first = watch.stdout.readline()
        try:
            yield seen
        finally:
            watch.terminate()
            seen += [int(line or 0) for line in [first.strip(), *watch.stdout.read().split("\n")[:-1]]]


def test_two_hundred_pods_are_ready(plane: ControlPlane, stack: Stack) -> None:
    stack.up()
    assert status(plane)["readyReplicas"] == PODS
    pods = plane.get("pods", "-n", NAMESPACE)["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == NODES, "pods are spread over all nodes"


def test_nothing_is_left_to_do(stack: Stack) -> None:
    again = stack.up("--expect-no-changes")
    assert set(again.resource_steps().values()) == {"same"}


def test_the_cluster_is_what_is_rendered(plane: ControlPlane, stack: Stack, tmp_path: Path) -> None:
    file = stack.project.folder / f"Pulumi.{stack.project.stack}.yaml"
    slipway = Path(sys.executable).with_name("slipway")
    done = subprocess.run(
        [slipway, "render", file, "--out", tmp_path],
        cwd=stack.project.folder, env=stack.project.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    diff = plane.kubectl_run("diff", "-f", tmp_path)
    assert (diff.returncode, diff.stdout) == (0, ""), diff.stderr


def test_what_somebody_changed_by_hand_is_seen_and_put_back(plane: ControlPlane, stack: Stack) -> None:
    plane.kubectl("scale", *DEPLOYMENT, f"--replicas={PODS - 1}")
    plane.kubectl("label", "service", NAME, "-n", NAMESPACE, "app.kubernetes.io/managed-by=me", "--overwrite")
    seen = stack.project.refresh()
    assert seen.resource_steps()[f"Deployment/{NAME}"] == "update"
    assert seen.resource_steps()[f"Service/{NAME}"] == "update"
    stack.up()
    assert status(plane)["readyReplicas"] == PODS
    assert (
        plane.get("service", NAME, "-n", NAMESPACE)["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "slipway"
    )


def test_a_change_rolls_within_the_budget(plane: ControlPlane, stack: Stack) -> None:
    before = {pod["metadata"]["name"] for pod in plane.get("pods", "-n", NAMESPACE)["items"]}
    allowed = plane.get("pdb", NAME, "-n", NAMESPACE)["spec"]["maxUnavailable"]
    stack.write(proxy={"concurrency": 64, "queue": 64})
    with available(plane) as seen:
        stack.up()
    after = {pod["metadata"]["name"] for pod in plane.get("pods", "-n", NAMESPACE)["items"]}
    assert not before & after
    assert min(seen) >= PODS - allowed
    assert status(plane)["readyReplicas"] == PODS


def test_destroy_leaves_nothing(plane: ControlPlane, stack: Stack) -> None:
    stack.project.destroy()
    assert NAMESPACE not in {item["metadata"]["name"] for item in plane.get("namespaces")["items"]}
    kinds = plane.kubectl("api-resources", "--verbs=list", "--namespaced=false", "-o", "name").split()
    left = plane.get(",".join(kinds), "-l", f"app.kubernetes.io/instance={NAME}")["items"]
    assert left == []
