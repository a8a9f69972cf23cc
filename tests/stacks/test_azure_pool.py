"""Node pools of AKS, as the root program asks for them under Pulumi's mocks."""

from __future__ import annotations

import json
import re

import pytest

from tests.stacks.conftest import Run
from tests.support.clouds import assert_no_secret_in_clear, one_of, only, refused
from tests.support.golden import check_golden
from tests.support.mock_azure import KUBECONFIG, SUBSCRIPTION
from tests.support.mocks import Asked
from tests.support.sdk import wrong_arguments

CPU = """\
config:
  slipway:provider: azure
  slipway:kind: node-pool
  slipway:release: local-2026.11
  slipway:model: {name: own, source: "https://models.example/own.gguf", sha256: SHA256, size: 16GB, context: 2048}
  slipway:cluster:
    version: "1.33"
    gpu_layer: none
    images:
      engine-llama-cpp: registry.example/llama-cpp@sha256:SHA256
      proxy: registry.example/proxy@sha256:SHA256
      collector: registry.example/collector@sha256:SHA256
  slipway:pool: {nodes: 2}
  slipway:azure: {subscription: SUBSCRIPTION, location: swedencentral, vm_size: Standard_D8s_v5}
""".replace("SHA256", "a" * 64).replace("SUBSCRIPTION", SUBSCRIPTION)
SNAPSHOT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/images/providers/Microsoft.ContainerService/snapshots/one"
GPU = (
    CPU.replace("local-2026.11", "r580-2026.11-ubuntu-24.04")
    .replace("own.gguf", "own.safetensors")
    .replace("Standard_D8s_v5", "Standard_NC24ads_A100_v4, zone: 1")
    .replace("{nodes: 2}", f"{{nodes: 2, max_nodes: 4, image: {SNAPSHOT}}}")
    .replace("gpu_layer: none", "gpu_layer: plugin")
    .replace("      engine-llama-cpp: registry.example/llama-cpp@sha256:" + "a" * 64 + "\n", "")
    + "  slipway:engine: {name: vllm, gpus: 1}\n"
)
OPERATOR = (
    GPU.replace("gpu_layer: plugin", "gpu_layer: operator\n    private: false\n    api_from: [192.0.2.0/24]")
    .replace(f", image: {SNAPSHOT}", "")
    .replace("max_nodes: 4", "disk: 200GiB")
)
STACKS = {"pool": CPU, "pool-gpu": GPU, "pool-operator": OPERATOR}

CLUSTER = "azure-native:containerservice:ManagedCluster"
POOL = "azure-native:containerservice:AgentPool"


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    text = only(run(STACKS[name]), "azure-native").text()
    check_golden(f"stacks/azure-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", STACKS)
def test_every_argument_is_one_of_the_sdk(run: Run, name: str) -> None:
    assert wrong_arguments(run(STACKS[name]), "azure-native") == {}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_clear(run: Run, name: str, preview: bool) -> None:
    graph = run(STACKS[name], preview=preview)
    assert_no_secret_in_clear(graph)
    assert "kubeconfig" in graph.secret_outputs


def test_the_kubeconfig_is_asked_for_once_the_cluster_is_there(run: Run) -> None:
    assert json.loads(run(CPU).outputs["kubeconfig"]) == KUBECONFIG
    assert run(CPU, preview=True).outputs["kubeconfig"] == "[unknown]"


def test_the_api_server_is_private_or_lets_in_who_is_named(run: Run) -> None:
    for text, access in (
        (CPU, {"enablePrivateCluster": True, "privateDNSZone": "system", "enablePrivateClusterPublicFQDN": True}),
        (OPERATOR, {"enablePrivateCluster": False, "authorizedIPRanges": ["192.0.2.0/24"]}),
    ):
        assert one_of(run(text), CLUSTER).inputs["apiServerAccessProfile"] == access


def test_nodes_have_no_public_address(run: Run) -> None:
    graph = run(GPU)
    cluster, pool = one_of(graph, CLUSTER), one_of(graph, POOL)
    (system,) = cluster.inputs["agentPoolProfiles"]
    for nodes in (system, pool.inputs):
        assert nodes["enableNodePublicIP"] is False
        assert "/subnets/slipway-test" in nodes["vnetSubnetID"]
        assert nodes["availabilityZones"] == ["1"]
    assert not graph.of("azure-native:network:PublicIPAddress")


def test_the_cluster_may_use_its_network_and_nothing_else(run: Run) -> None:
    graph = run(CPU)
    role, cluster = one_of(graph, "azure-native:authorization:RoleAssignment"), one_of(graph, CLUSTER)
    assert role.inputs["scope"].split("/")[-2] == "virtualNetworks"
    assert role.inputs["roleDefinitionId"].endswith("/4d97b98b-1d4f-4787-a291-c67834d212e7")
    assert role.key in cluster.dependencies
    (identity,) = cluster.inputs["identity"]["userAssignedIdentities"]
    assert "/userAssignedIdentities/slipway-test" in identity


def test_what_the_cluster_needs_itself_has_a_node_that_every_pod_may_use(run: Run) -> None:
    (system,) = one_of(run(GPU), CLUSTER).inputs["agentPoolProfiles"]
    assert (system["mode"], system["count"], system["vmSize"]) == ("System", 1, "Standard_D4s_v5")
    assert "nodeTaints" not in system


def test_labels_and_taints_of_the_plan_are_on_the_nodes(run: Run) -> None:
    pool = one_of(run(GPU), POOL).inputs
    assert pool["nodeLabels"]["slipway.dev/release"] == "r580-2026.11-ubuntu-24.04"
    assert pool["nodeTaints"] == ["nvidia.com/gpu=present:NoSchedule"]
    assert one_of(run(CPU), POOL).inputs["nodeTaints"] == []


def test_the_driver_comes_with_a_pinned_image_or_from_the_operator(run: Run) -> None:
    by_image, by_operator = one_of(run(GPU), POOL).inputs, one_of(run(OPERATOR), POOL).inputs
    assert (by_image["gpuProfile"], by_operator["gpuProfile"]) == ({"driver": "Install"}, {"driver": "None"})
    assert by_image["creationData"] == {"sourceResourceId": SNAPSHOT}
    assert "orchestratorVersion" not in by_image, "the snapshot has one"
    assert (by_operator["orchestratorVersion"], by_operator["osDiskSizeGB"]) == ("1.33", 200)
    assert "gpuProfile" not in one_of(run(CPU), POOL).inputs
    assert one_of(run(GPU), CLUSTER).inputs["autoUpgradeProfile"] == {
        "upgradeChannel": "none",
        "nodeOSUpgradeChannel": "None",
    }


def named(pool: Asked) -> tuple[str, str]:
    return pool.name, pool.inputs["agentPoolName"]


def test_what_needs_other_nodes_is_a_pool_beside_the_old(run: Run) -> None:
    before, same = one_of(run(CPU), POOL), one_of(run(CPU.replace("nodes: 2", "nodes: 3")), POOL)
    assert named(same) == named(before)
    assert (before.inputs["count"], same.inputs["count"]) == (2, 3)
    for old, new in (("1.33", "1.34"), ("Standard_D8s_v5", "Standard_D16s_v5")):
        after = one_of(run(CPU.replace(old, new)), POOL)
        assert after.name != before.name
        assert after.inputs["agentPoolName"] != before.inputs["agentPoolName"]
    assert re.fullmatch("[a-z][a-z0-9]{0,11}", before.inputs["agentPoolName"]), "what AKS takes"


def test_a_pool_is_scaled_where_the_plan_says_so(run: Run) -> None:
    scaled, fixed = one_of(run(GPU), POOL), one_of(run(CPU), POOL)
    assert (scaled.inputs["minCount"], scaled.inputs["maxCount"]) == (2, 4)
    assert (scaled.inputs["enableAutoScaling"], scaled.options["ignore_changes"]) == (True, ["count"])
    assert "enableAutoScaling" not in fixed.inputs
    assert "ignore_changes" not in fixed.options


def test_a_size_that_azure_cannot_change_is_left_as_it_is(run: Run) -> None:
    assert one_of(run(CPU), CLUSTER).options["ignore_changes"] == ["agentPoolProfiles[0].vmSize"]


def test_a_large_pool_is_previewed(run: Run) -> None:
    graph = run(CPU.replace("nodes: 2", "nodes: 100"), preview=True)
    assert one_of(graph, POOL).inputs["count"] == 100


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = "{cluster_args: {oidc_issuer_profile: {enabled: true}}, pool_args: {max_pods: 40}, subscription"
    graph = run(CPU.replace("{subscription", more))
    assert one_of(graph, CLUSTER).inputs["oidcIssuerProfile"] == {"enabled": True}
    assert one_of(graph, POOL).inputs["maxPods"] == 40
    assert refused(run, CPU.replace("{subscription", "{pool_args: {maxpods: 9}, subscription")) == (
        "slipway:azure.pool_args: maxpods: AgentPool has no such argument. Did you mean max_pods?. "
        "Correct this, or take it out"
    )
