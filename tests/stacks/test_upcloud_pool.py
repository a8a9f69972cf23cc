"""Node groups of UpCloud's managed Kubernetes, as the root program asks for them under Pulumi's mocks."""

from __future__ import annotations

import pytest

from tests.stacks.conftest import Run
from tests.support.clouds import only
from tests.support.golden import check_golden
from tests.support.mocks import Asked, Graph, in_clear
from tests.support.sdk import wrong_arguments

CPU = """\
config:
  slipway:provider: upcloud
  slipway:kind: node-pool
  slipway:release: local-2026.11
  slipway:model: {name: own, source: "https://models.example/own.gguf", sha256: SHA256, size: 16GB, context: 2048}
  slipway:cluster:
    version: "1.33"
    api_from: [192.0.2.7/32]
    images:
      engine-llama-cpp: registry.example/llama-cpp@sha256:SHA256
      proxy: registry.example/proxy@sha256:SHA256
      collector: registry.example/collector@sha256:SHA256
  slipway:pool: {nodes: 2}
  slipway:upcloud: {zone: fi-hel2, plan: 4xCPU-8GB}
""".replace("SHA256", "a" * 64)
WEIGHTS = (
    CPU.replace("https://models.example", "s3://models").replace("plan: 4x", "weights_region: europe-1, plan: 4x")
    + "  slipway:weights: {bucket: models}\n"
)
GPU = (
    CPU.replace("local-2026.11", "r580-2026.11-ubuntu-24.04")
    .replace("own.gguf", "own.safetensors")
    .replace("4xCPU-8GB", "GPU-8xCPU-64GB-1xL40S")
    .replace("      engine-llama-cpp: registry.example/llama-cpp@sha256:" + "a" * 64 + "\n", "")
    + "  slipway:engine: {name: vllm, gpus: 1}\n"
)
STACKS = {"pool": CPU, "pool-weights": WEIGHTS, "pool-gpu": GPU}

CLUSTER, GROUP = (
    "upcloud:index/kubernetesCluster:KubernetesCluster",
    "upcloud:index/kubernetesNodeGroup:KubernetesNodeGroup",
)


def group(graph: Graph) -> Asked:
    """The stack's pool, which is not the one of the cluster's own needs."""
    (found,) = [one for one in graph.of(GROUP) if one.name != "system"]
    return found


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    text = only(run(STACKS[name]), "upcloud").text()
    check_golden(f"stacks/upcloud-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", STACKS)
def test_every_argument_is_one_of_the_sdk(run: Run, name: str) -> None:
    assert wrong_arguments(run(STACKS[name]), "upcloud") == {}


def test_the_api_server_lets_in_who_is_named_and_nobody_else(run: Run) -> None:
    (cluster,) = run(CPU).of(CLUSTER)
    assert cluster.inputs["controlPlaneIpFilters"] == ["192.0.2.7/32"]


def test_nodes_are_private_and_start_behind_their_gateway(run: Run) -> None:
    graph = run(CPU)
    (cluster,), (network,) = graph.of(CLUSTER), graph.of("upcloud:index/network:Network")
    (gateway,) = graph.of("upcloud:index/gateway:Gateway")
    assert cluster.inputs["privateNodeGroups"] is True
    assert gateway.key in cluster.dependencies
    assert network.inputs["ipNetwork"]["dhcpDefaultRoute"] is True
    assert network.inputs["router"] == gateway.inputs["router"]["id"]


@pytest.mark.parametrize("preview", [False, True])
def test_the_kubeconfig_is_a_secret(run: Run, preview: bool) -> None:
    graph = run(CPU, preview=preview)
    assert "kubeconfig" in graph.secret_outputs
    assert graph.of(CLUSTER)[0].options["secret_outputs"] == ["kubeconfig"]
    for asked in graph.resources:
        assert not [text for text in in_clear(asked.inputs) if "SECRET" in text], asked.key
    if not preview:
        assert graph.outputs["kubeconfig"] == "SECRET-kubeconfig-test"


def test_what_needs_other_nodes_is_a_group_beside_the_old(run: Run) -> None:
    before, same = group(run(CPU)), group(run(CPU.replace("nodes: 2", "nodes: 3")))
    assert (same.name, same.inputs["namePrefix"]) == (before.name, before.inputs["namePrefix"])
    assert (before.inputs["nodeCount"], same.inputs["nodeCount"]) == (2, 3)
    for old, new in (("1.33", "1.34"), ("4xCPU-8GB", "8xCPU-32GB")):
        after = group(run(CPU.replace(old, new)))
        assert after.name != before.name
        assert after.inputs["namePrefix"] != before.inputs["namePrefix"]


def test_a_version_is_stated_and_moves_no_node_in_place(run: Run) -> None:
    (cluster,) = run(CPU).of(CLUSTER)
    assert (cluster.inputs["version"], cluster.inputs["upgradeStrategyType"]) == ("1.33", "manual")


def test_several_nodes_are_kept_apart(run: Run) -> None:
    assert group(run(CPU)).inputs["antiAffinity"] is True
    assert group(run(CPU.replace("nodes: 2", "nodes: 1"))).inputs["antiAffinity"] is False
    assert group(run(CPU.replace("plan: 4x", "anti_affinity: none, plan: 4x"))).inputs["antiAffinity"] is False


def test_a_gpu_plan_brings_no_disk_and_keeps_other_pods_away(run: Run) -> None:
    made = group(run(GPU)).inputs
    # (10 system + 60 images + 2 × 16.0 weights) ÷ 0.9
    assert made["gpuPlan"] == {"storageSize": 120, "storageTier": "maxiops"}
    assert made["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}]
    said = group(run(GPU.replace("{nodes: 2}", "{nodes: 2, disk: 500GB}"))).inputs
    assert said["gpuPlan"]["storageSize"] == 500
    assert "gpuPlan" not in group(run(CPU)).inputs


def test_a_cluster_whose_pool_is_tainted_has_a_node_of_its_own(run: Run) -> None:
    (system,) = [one for one in run(GPU).of(GROUP) if one.name == "system"]
    assert (system.inputs["plan"], system.inputs["nodeCount"]) == ("2xCPU-4GB", 1)
    assert "taints" not in system.inputs, "the cluster's own pods need a place"
    said = run(GPU.replace("zone: fi-hel2", "system_plan: 4xCPU-8GB, zone: fi-hel2"))
    assert [one.inputs["plan"] for one in said.of(GROUP) if one.name == "system"] == ["4xCPU-8GB"]
    for text in (CPU, GPU.replace("{nodes: 2}", "{nodes: 2, taint: false}")):
        assert [one.name for one in run(text).of(GROUP)] == [group(run(text)).name]


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = "cluster_args: {labels: {team: models}}, pool_args: {utility_network_access: false}, plan: 4x"
    graph = run(CPU.replace("plan: 4x", more))
    assert graph.of(CLUSTER)[0].inputs["labels"] == {"slipway-stack": "test", "team": "models"}
    assert group(graph).inputs["utilityNetworkAccess"] is False


def test_an_argument_that_there_is_not_is_one_sentence(run: Run) -> None:
    graph = Graph()
    with pytest.raises(SystemExit):
        run(CPU.replace("plan: 4x", "pool_args: {antiaffinity: true}, plan: 4x"), graph=graph)
    assert graph.log[-1] == (
        "slipway:upcloud.pool_args: antiaffinity: KubernetesNodeGroup has no such argument. "
        "Did you mean anti_affinity?. Correct this, or take it out"
    )


def test_outputs_are_those_of_every_cluster(run: Run) -> None:
    outputs = run(CPU).outputs
    assert outputs["cluster"] == {"name": "slipway-test", "zone": "fi-hel2", "pool": group(run(CPU)).name}
    assert outputs["monthly_cost"] == round(2 * 0.0712 * 730, 2)
