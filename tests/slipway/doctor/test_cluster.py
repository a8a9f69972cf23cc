"""What is said of a cluster; what is asked of it is in tests/bootstrap/clouds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from slipway.doctor.cluster import (
    MADE,
    MONITORING,
    ROUTE,
    SCALER,
    ClusterAnswers,
    ClusterWanted,
    Node,
    cluster_wanted,
    fitting,
    judge_cluster,
    quantity,
)
from slipway.doctor.types import Check, NoAnswer
from slipway.plan_types import ClusterPlan, Plan
from slipway.units import GIB
from tests.templates.clusters import case

FOUND = case("one-gpu")
assert FOUND.cluster is not None
ONE = replace(FOUND, cluster=replace(FOUND.cluster, gpu_layer="plugin"))
"""three pods of a GPU each, on four nodes, behind a Gateway, scaled and watched; the device plugin is the stack's"""
CUSTOM = (*ROUTE, *SCALER, *MONITORING)
NODE = Node("n1", True, cpus=8, memory=64 * GIB, storage=200 * GIB, gpus=1)
SAID = ClusterAnswers(
    "v1.33.2",
    tuple(replace(NODE, name=f"n{index}") for index in range(4)),
    frozenset(CUSTOM),
    dict.fromkeys(MADE, True),
)
NOBODY = NoAnswer("nobody home")


def of(plan: Plan) -> tuple[ClusterPlan, ClusterWanted]:
    assert plan.cluster is not None
    wanted = cluster_wanted(plan.cluster)
    assert wanted is not None
    return plan.cluster, wanted


def checks(said: ClusterAnswers = SAID, plan: Plan = ONE) -> dict[str, Check]:
    cluster, wanted = of(plan)
    return {check.name: check for check in judge_cluster(plan, cluster, wanted, said)}


def test_a_cluster_that_is_well() -> None:
    found = checks()
    assert {name: check.verdict for name, check in found.items()} == {
        "version": "ok",
        "nodes": "ok",
        "GPUs": "ok",
        "places for pods": "ok",
        "custom resources": "ok",
        "rights": "ok",
    }
    assert {check.group for check in found.values()} == {"cluster prod"}


def test_what_is_asked() -> None:
    _, wanted = of(ONE)
    assert wanted.custom == CUSTOM
    assert dict(wanted.selector)["nvidia.com/gpu.product"] == "NVIDIA-L40S"
    assert ("keda.sh", "scaledobjects") in wanted.rights
    assert ("apps", "deployments") in wanted.rights


def test_a_cluster_that_the_stack_makes_is_not_asked() -> None:
    made = case("eight-gpus").cluster
    assert made is not None
    assert cluster_wanted(made) is None


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"version": "v1.28.9"}, "version", "off"),
    ({"version": "unknown"}, "version", "no answer"),
    ({"version": NOBODY}, "reached", "no answer"),
    ({"nodes": NOBODY}, "nodes", "no answer"),
    ({"nodes": SAID.nodes[:3] if not isinstance(SAID.nodes, NoAnswer) else ()}, "nodes", "off"),
    ({"nodes": (replace(NODE, ready=False),) * 4}, "nodes", "off"),
    ({"nodes": (replace(NODE, arch="arm64"),) * 4}, "nodes", "off"),
    ({"nodes": (replace(NODE, gpus=0),) * 4}, "GPUs", "not asked"),
    ({"nodes": (NODE, NODE, replace(NODE, gpus=0))}, "GPUs", "off"),
    ({"nodes": (replace(NODE, cpus=2),) * 4}, "places for pods", "off"),
    ({"custom": frozenset(ROUTE)}, "custom resources", "off"),
    ({"custom": NOBODY}, "custom resources", "no answer"),
    ({"rights": {("", "secrets"): False, ("apps", "deployments"): True}}, "rights", "off"),
    ({"rights": NOBODY}, "rights", "no answer"),
]


@pytest.mark.parametrize(("said", "name", "verdict"), CASES)
def test_what_is_off(said: dict[str, Any], name: str, verdict: str) -> None:
    found = checks(replace(SAID, **said))[name]
    assert found.verdict == verdict
    assert found.fix or verdict == "no answer"


def test_rights_that_are_missing_are_named() -> None:
    found = checks(replace(SAID, rights={("", "secrets"): False, ("apps", "deployments"): True}))["rights"]
    assert found.found == "not secrets"


@pytest.mark.parametrize(
    ("node", "pods"),
    [
        (replace(NODE, gpus=4, cpus=100, memory=1000 * GIB, storage=1000 * GIB), 4),
        (replace(NODE, gpus=4, cpus=9, memory=1000 * GIB, storage=1000 * GIB), 2),
        (replace(NODE, gpus=4, cpus=100, memory=1000 * GIB, storage=20 * GIB), 1),
        (replace(NODE, gpus=0), 0),
    ],
)
def test_room_for_pods(node: Node, pods: int) -> None:
    assert fitting(node, ONE, of(ONE)[0]) == pods


@pytest.mark.parametrize("text", ["", "1 Gi", "12Q", "-1", "1e3"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("batch", ("batch", "cronjobs")),
        ("warm", ("apps", "daemonsets")),
        ("ingress", ("networking.k8s.io", "ingresses")),
    ],
)
def test_rights_are_asked_for_what_this_stack_makes(name: str, right: tuple[str, str]) -> None:
    assert right in of(case(name))[1].rights
    assert right not in of(ONE)[1].rights
