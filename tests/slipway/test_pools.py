"""The cluster part of a plan: what a pool is named after, and what it leaves as it is."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.plan_types import PodPlan, Taint
from slipway.pools import cluster_plan, dns_label, label_value, pool_plan
from slipway.settings import Settings

BASE: dict[str, Any] = {
    "provider": "upcloud",
    "kind": "node-pool",
    "release": "r580-2026.11-ubuntu-24.04",
    "model": "smollm2-135m-instruct",
    "engine": {"name": "vllm", "gpus": 2, "tensor_parallel": 1, "replicas": 2},
    "upcloud": {"zone": "fi-hel2", "plan": "GPU-8xCPU-64GB-1xL40S", "ssh_from": ("192.0.2.7/32",)},
    "pool": {"nodes": 3},
}


def settings(**changed: Any) -> Settings:
    return Settings.model_validate(BASE | changed)


def test_a_pool_says_what_it_is_made_from() -> None:
    pool = pool_plan(settings(), "Prod Berlin")
    assert pool.name == f"prod-berlin-{pool.generation}"
    assert (pool.nodes, pool.max_nodes, pool.gpus, pool.gpu, pool.driver) == (3, 3, 2, "L40S", "image")
    assert pool.labels == {
        "slipway.dev/stack": "Prod-Berlin",
        "slipway.dev/release": "r580-2026.11-ubuntu-24.04",
        "slipway.dev/pool": pool.name,
    }
    assert pool.taints == (Taint("nvidia.com/gpu", "present", "NoSchedule"),)


@pytest.mark.parametrize(
    "changed",
    [
        {"release": "r620-2026.11-ubuntu-24.04"},
        {"upcloud": {"zone": "fi-hel2", "plan": "GPU-16xCPU-80GB-1xRTXPRO6000"}},
        {"cluster": {"version": "1.33"}},
        {"cluster": {"gpu_layer": "operator"}},
        {"pool": {"nodes": 3, "image": "20261101"}},
        {"pool": {"nodes": 3, "disk": "100GB"}},
        {"pool": {"nodes": 3, "taint": False}},
    ],
)
def test_what_needs_other_nodes_makes_another_pool(changed: dict[str, Any]) -> None:
    assert pool_plan(settings(**changed), "prod").name != pool_plan(settings(), "prod").name


@pytest.mark.parametrize(
    "changed",
    [{"pool": {"nodes": 9}}, {"pool": {"max_nodes": 9}}, {"pool": {"labels": {"team": "a"}}}, {"proxy": {"queue": 9}}],
)
def test_what_nodes_can_take_changes_the_pool_in_place(changed: dict[str, Any]) -> None:
    assert pool_plan(settings(**changed), "prod").name == pool_plan(settings(), "prod").name


def test_the_longest_stack_name_fits_the_strictest_cloud() -> None:
    assert len(pool_plan(settings(), "a" * 100).name) == 40
    assert "--" not in pool_plan(settings(), "a" * 30 + "-b").name


POD = PodPlan(10, 60, 120, 600, 10, 4, 2**30, 2**30, None, False)


def test_pods_fill_the_nodes_unless_said() -> None:
    plan = cluster_plan(settings(), "prod", POD, None)
    assert (plan.namespace, plan.replicas, plan.gpu_layer, plan.private) == ("slipway-prod", 6, "plugin", True)
    assert cluster_plan(settings(cluster={"replicas": 5, "namespace": "models"}), "prod", POD, None).replicas == 5


def test_a_pool_without_gpus_has_no_gpu_layer_and_no_taint() -> None:
    plan = cluster_plan(settings(engine={"name": "llama.cpp"}, release="local-2026.11"), "prod", POD, None)
    assert (plan.gpu_layer, plan.pool.taints) == ("none", ())


@pytest.mark.parametrize(("text", "label"), [("a b", "a-b"), ("x" * 70, "x" * 63), ("-a.", "a"), ("v1.2_3", "v1.2_3")])
def test_label_values_are_kubernetes_own(text: str, label: str) -> None:
    assert label_value(text) == label


def test_dns_labels_are_never_empty() -> None:
    assert (dns_label("Prod_1"), dns_label("---")) == ("prod-1", "host")
