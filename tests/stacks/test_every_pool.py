"""Every cloud's pools and buckets fulfil docs/add-a-provider.md.

The stacks are those of each module's own tests: CPU, GPU and, where it has buckets, WEIGHTS of test_<provider>_pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml

from slipway.plan import make_plan
from slipway.plan_types import PoolPlan, Taint
from slipway.releases import load_release
from slipway.settings import parse_stack_file
from slipway.settings.weights import STORES
from stacks.providers import AVAILABLE
from tests.stacks.conftest import Run
from tests.stacks.test_providers import SECTIONS, SMALL
from tests.support.clouds import assert_no_secret_in_clear
from tests.support.locks import lock_of
from tests.support.mocks import Asked, Graph, in_clear

MAKERS = [
    provider
    for provider in AVAILABLE
    if provider != "kubernetes" and hasattr(import_module(f"stacks.providers.{provider}"), "create_cluster")
]
"""modules that make clusters; one takes those that exist"""

IN_A_BUCKET = {"name": "own", "source": "s3://our-models/own.gguf", "sha256": "a" * 64, "size": "1GB", "context": 2048}
OF_A_STORE = {"upcloud": {"weights_region": "europe-1"}}
"""what a section needs besides, where there is a bucket"""


@pytest.fixture(params=MAKERS)
def cloud(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stack(cloud: str, name: str) -> str:
    text: str = getattr(import_module(f"tests.stacks.test_{cloud}_pool"), name)
    return text


def planned(text: str) -> PoolPlan:
    settings = parse_stack_file(text, "Pulumi.test.yaml")
    release = load_release(settings.release)
    plan = make_plan(settings, release, lock_of(release.name), {}, stack="test")
    assert plan.cluster is not None
    return plan.cluster.pool


def pool_of(graph: Graph, text: str) -> Asked:
    """The resource that pods wait for, under the name that the plan gives the pool."""
    (deployment,) = graph.of("kubernetes:apps/v1:Deployment")
    (found,) = [one for one in graph.resources if one.name == planned(text).name and one.key in deployment.dependencies]
    return found


def inside(value: Any) -> Iterator[Any]:
    """The value and everything in it."""
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(item)


def is_taint(value: Any, taint: Taint) -> bool:
    """Whether the cloud was told it, in its own way."""
    if isinstance(value, dict) and value.get("key") == taint.key:
        effect = str(value["effect"]).replace("_", "").lower()
        return (value["value"], effect) == (taint.value, taint.effect.lower())
    return bool(value == f"{taint.key}={taint.value}:{taint.effect}")


def test_labels_and_taints_are_on_the_nodes(run: Run, cloud: str) -> None:
    text = stack(cloud, "GPU")
    plan, made = planned(text), pool_of(run(text), text)
    values = list(inside(made.inputs))
    assert any(isinstance(value, dict) and plan.labels.items() <= value.items() for value in values)
    assert plan.taints
    assert all(any(is_taint(value, taint) for value in values) for taint in plan.taints)


def test_the_generation_is_in_the_name(run: Run, cloud: str) -> None:
    text = stack(cloud, "CPU")
    old = pool_of(run(text), text)
    named = [value for value in old.inputs.values() if isinstance(value, str) and planned(text).generation in value]
    assert named, "another pool could not stand beside it"
    newer = text.replace("1.33", "1.34")
    assert pool_of(run(newer), newer).name != old.name
    larger = text.replace("nodes: 2", "nodes: 3")
    assert pool_of(run(larger), larger).name == old.name, "more nodes are no other pool"


def test_the_api_server_is_not_open_to_the_world(run: Run, cloud: str) -> None:
    text = stack(cloud, "CPU")
    graph = run(text)
    clusters = [one for one in graph.resources if one.type.endswith("Cluster") and not one.type.startswith("slipway:")]
    (cluster,) = clusters
    assert "0.0.0.0/0" not in set(in_clear(cluster.inputs))
    said = {key: value for one in inside(cluster.inputs) if isinstance(one, dict) for key, value in one.items()}
    private = [key for key, value in said.items() if "private" in key.lower() and value is True]
    # A private address may have a name in the public DNS.
    assert not [key for key, value in said.items() if "public" in key.lower() and value is True and key not in private]
    sources = set(parse_stack_file(text, "Pulumi.test.yaml").cluster.api_from)
    assert private or (sources and sources <= {text for one in graph.resources for text in in_clear(one.inputs)})


@pytest.mark.parametrize("preview", [False, True])
def test_the_kubeconfig_is_a_secret(run: Run, cloud: str, preview: bool) -> None:
    graph = run(stack(cloud, "CPU"), preview=preview)
    assert "kubeconfig" in graph.secret_outputs
    assert_no_secret_in_clear(graph)


def test_what_a_cluster_needs_itself_has_a_node_without_a_taint(run: Run, cloud: str) -> None:
    text = stack(cloud, "GPU")
    graph = run(text)
    pool = pool_of(graph, text)
    others = [one.inputs for one in graph.of(pool.type) if one is not pool]
    # One cloud's clusters are made with a pool in them.
    others += [one for asked in graph.resources for one in asked.inputs.get("agentPoolProfiles", [])]
    assert [one for one in others if not any(is_taint(value, t) for value in inside(one) for t in planned(text).taints)]


def test_stores_are_of_clouds_that_there_are() -> None:
    assert set(STORES) <= set(AVAILABLE)


def hosts_with_bucket(cloud: str, retain: bool = True) -> str:
    name, section = f"slipway:{cloud}", SECTIONS[cloud]
    chosen = {**section, name: {**section[name], **OF_A_STORE.get(cloud, {})}}  # type: ignore[dict-item]
    weights = {"slipway:weights": {"bucket": "our-models", "retain": retain}}
    return yaml.safe_dump(
        {"config": {"slipway:provider": cloud, **SMALL, "slipway:model": IN_A_BUCKET, **chosen, **weights}}
    )


@pytest.mark.parametrize("cloud", STORES)
def test_hosts_and_pods_read_a_bucket_with_keys_of_their_own(run: Run, cloud: str) -> None:
    for text in (hosts_with_bucket(cloud), stack(cloud, "WEIGHTS")):
        graph = run(text)
        assert {"weights", "weights_access_key", "weights_secret_key"} <= graph.outputs.keys()
        assert graph.outputs["weights"].keys() == {"bucket", "endpoint", "region"}
        assert "weights_secret_key" in graph.secret_outputs
        assert_no_secret_in_clear(graph)
    services = run(hosts_with_bucket(cloud)).of("slipway:index:Service")
    given = [one.inputs["credentials"].get("[secret]", one.inputs["credentials"]) for one in services]
    assert len(given) == 2
    assert given[0] == given[1], "the store is one"
    assert given[0]["access_key"] != run(hosts_with_bucket(cloud)).outputs["weights_access_key"], "hosts may not write"
    assert all(one.inputs["desired"]["model"]["endpoint"].startswith("https://") for one in services)


@pytest.mark.parametrize("cloud", STORES)
def test_a_bucket_stays_unless_it_is_said(run: Run, cloud: str) -> None:
    def kept(retain: bool) -> list[Asked]:
        return [one for one in run(hosts_with_bucket(cloud, retain)).resources if one.options.get("retain_on_delete")]

    assert [one for one in kept(retain=True) if "our-models" in one.inputs.values()]
    assert kept(retain=False) == []
