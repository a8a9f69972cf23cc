"""Node pools of GKE, as the root program asks for them under Pulumi's mocks."""

from __future__ import annotations

import pytest
import yaml

from tests.stacks.conftest import Run
from tests.support.clouds import assert_no_secret_in_clear, one_of, only, refused
from tests.support.golden import check_golden
from tests.support.mocks import Asked, Graph
from tests.support.sdk import wrong_arguments

CPU = """\
config:
  slipway:provider: gcp
  slipway:kind: node-pool
  slipway:release: local-2026.11
  slipway:model: {name: own, source: "https://models.example/own.gguf", sha256: SHA256, size: 16GB, context: 2048}
  slipway:cluster:
    version: "1.33"
    api_from: [10.0.0.0/24]
    gpu_layer: none
    images:
      engine-llama-cpp: registry.example/llama-cpp@sha256:SHA256
      proxy: registry.example/proxy@sha256:SHA256
      collector: registry.example/collector@sha256:SHA256
  slipway:pool: {nodes: 2}
  slipway:gcp: {project: my-project, zone: europe-west4-a, machine_type: t2d-standard-8}
""".replace("SHA256", "a" * 64)
GPU = (
    CPU.replace("local-2026.11", "r580-2026.11-ubuntu-24.04")
    .replace("own.gguf", "own.safetensors")
    .replace("t2d-standard-8", "g2-standard-8")
    .replace("{nodes: 2}", "{nodes: 2, max_nodes: 4, image: 1.33.4-gke.1000000}")
    .replace("      engine-llama-cpp: registry.example/llama-cpp@sha256:" + "a" * 64 + "\n", "")
    + "  slipway:engine: {name: vllm, gpus: 1}\n"
)
OPERATOR = GPU.replace("gpu_layer: none", "gpu_layer: operator").replace("api_from:", "private: false\n    api_from:")
WEIGHTS = CPU.replace("https://models.example", "s3://our-models") + "  slipway:weights: {bucket: our-models}\n"
STACKS = {"pool": CPU, "pool-gpu": GPU, "pool-operator": OPERATOR, "pool-weights": WEIGHTS}

CLUSTER, POOL = "gcp:container/cluster:Cluster", "gcp:container/nodePool:NodePool"


def pool(graph: Graph) -> Asked:
    """The stack's pool, which is not the one of the cluster's own needs."""
    (found,) = [one for one in graph.of(POOL) if one.name != "system"]
    return found


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    text = only(run(STACKS[name]), "gcp").text()
    check_golden(f"stacks/gcp-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", STACKS)
def test_every_argument_is_one_of_the_sdk(run: Run, name: str) -> None:
    assert wrong_arguments(run(STACKS[name]), "gcp") == {}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_clear(run: Run, name: str, preview: bool) -> None:
    graph = run(STACKS[name], preview=preview)
    assert_no_secret_in_clear(graph)
    assert "kubeconfig" in graph.secret_outputs


def test_the_api_server_is_private_and_lets_in_who_is_named(run: Run) -> None:
    for text, private, address in ((CPU, True, "10.78.0.2"), (OPERATOR, False, "198.51.100.251")):
        graph = run(text)
        cluster = one_of(graph, CLUSTER).inputs
        assert cluster["privateClusterConfig"] == {"enablePrivateNodes": True, "enablePrivateEndpoint": private}
        assert cluster["masterAuthorizedNetworksConfig"]["cidrBlocks"] == [{"cidrBlock": "10.0.0.0/24"}]
        config = yaml.safe_load(graph.outputs["kubeconfig"])
        assert config["clusters"][0]["cluster"]["server"] == f"https://{address}"
        assert config["users"][0]["user"]["exec"]["command"] == "gke-gcloud-auth-plugin"


def test_nodes_have_no_public_address_and_reach_the_internet_first(run: Run) -> None:
    graph = run(CPU)
    nat = one_of(graph, "gcp:compute/routerNat:RouterNat")
    assert nat.key in one_of(graph, CLUSTER).dependencies


def test_nodes_are_nobody_who_may_edit_the_project(run: Run) -> None:
    graph = run(CPU)
    grant = one_of(graph, "gcp:projects/iAMMember:IAMMember")
    assert grant.inputs["role"] == "roles/container.defaultNodeServiceAccount"
    for one in graph.of(POOL):
        assert grant.inputs["member"] == f"serviceAccount:{one.inputs['nodeConfig']['serviceAccount']}"
        assert one.inputs["nodeConfig"]["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert one_of(graph, CLUSTER).inputs["workloadIdentityConfig"] == {"workloadPool": "my-project.svc.id.goog"}


def test_labels_and_taints_of_the_plan_are_on_the_nodes(run: Run) -> None:
    node = pool(run(GPU)).inputs["nodeConfig"]
    assert node["labels"]["slipway.dev/release"] == "r580-2026.11-ubuntu-24.04"
    assert node["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    assert pool(run(CPU)).inputs["nodeConfig"]["taints"] == []


def test_the_driver_comes_with_a_pinned_node_or_from_the_operator(run: Run) -> None:
    by_image, by_operator = pool(run(GPU)).inputs, pool(run(OPERATOR)).inputs
    assert by_image["version"] == "1.33.4-gke.1000000"
    (gpu,) = by_image["nodeConfig"]["guestAccelerators"]
    assert gpu == {"type": "nvidia-l4", "count": 1, "gpuDriverInstallationConfig": {"gpuDriverVersion": "DEFAULT"}}
    (gpu,) = by_operator["nodeConfig"]["guestAccelerators"]
    assert gpu["gpuDriverInstallationConfig"] == {"gpuDriverVersion": "INSTALLATION_DISABLED"}
    assert by_operator["nodeConfig"]["imageType"] == "UBUNTU_CONTAINERD"
    assert by_operator["nodeConfig"]["labels"]["gke-no-default-nvidia-gpu-device-plugin"] == "true"
    assert by_operator["nodeConfig"]["shieldedInstanceConfig"]["enableSecureBoot"] is False


def test_what_needs_other_nodes_is_a_pool_beside_the_old(run: Run) -> None:
    before, same = pool(run(CPU)), pool(run(CPU.replace("nodes: 2", "nodes: 3")))
    assert (same.name, same.inputs["namePrefix"]) == (before.name, before.inputs["namePrefix"])
    assert (before.inputs["nodeCount"], same.inputs["nodeCount"]) == (2, 3)
    for old, new in (("1.33", "1.34"), ("t2d-standard-8", "t2d-standard-16")):
        after = pool(run(CPU.replace(old, new)))
        assert after.name != before.name
        assert after.inputs["namePrefix"] != before.inputs["namePrefix"]
    assert before.inputs["namePrefix"][0].isalpha(), "names of pools begin with a letter"


def test_a_pool_is_scaled_where_the_plan_says_so(run: Run) -> None:
    scaled = pool(run(GPU)).inputs
    assert scaled["autoscaling"] == {"minNodeCount": 2, "maxNodeCount": 4}
    assert "nodeCount" not in scaled
    assert "autoscaling" not in pool(run(CPU)).inputs


def test_nodes_of_the_pool_keep_their_version_in_any_channel(run: Run) -> None:
    for text, channel in ((CPU, "REGULAR"), (CPU.replace("zone: e", "release_channel: STABLE, zone: e"), "STABLE")):
        graph = run(text)
        assert one_of(graph, CLUSTER).inputs["releaseChannel"] == {"channel": channel}
        kept = {one.name: "maintenancePolicies" in one.inputs for one in graph.of(POOL)}
        assert kept == {pool(graph).name: True, "system": False}
        assert pool(graph).inputs["maintenancePolicies"] == [{"exclusionUntilEndOfSupports": [{"enabled": True}]}]


def test_a_large_pool_is_previewed(run: Run) -> None:
    graph = run(CPU.replace("nodes: 2", "nodes: 100"), preview=True)
    assert pool(graph).inputs["nodeCount"] == 100


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = "{cluster_args: {enable_intranode_visibility: true}, pool_args: {node_config: {spot: true}}, project: m"
    graph = run(CPU.replace("{project: m", more))
    assert one_of(graph, CLUSTER).inputs["enableIntranodeVisibility"] is True
    assert pool(graph).inputs["nodeConfig"]["spot"] is True
    assert refused(run, CPU.replace("{project: m", "{pool_args: {max_pods: 9}, project: m")) == (
        "slipway:gcp.pool_args: max_pods: NodePool has no such argument. Did you mean max_pods_per_node?. "
        "Correct this, or take it out"
    )
