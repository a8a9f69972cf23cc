"""Node pools of EKS, as the root program asks for them under Pulumi's mocks."""

from __future__ import annotations

import ipaddress
import json

import pytest

from tests.stacks.conftest import Run
from tests.support.clouds import assert_no_secret_in_clear, one_of, only, refused
from tests.support.golden import check_golden
from tests.support.mocks import Asked, Graph
from tests.support.sdk import in_the_clear, wrong_arguments

CPU = """\
config:
  slipway:provider: aws
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
  slipway:aws: {zone: eu-north-1a, second_zone: eu-north-1b, instance_type: c7i.2xlarge}
""".replace("SHA256", "a" * 64)
GPU = (
    CPU.replace("local-2026.11", "r580-2026.11-ubuntu-24.04")
    .replace("own.gguf", "own.safetensors")
    .replace("c7i.2xlarge", "g6e.xlarge")
    .replace("gpu_layer: none", "gpu_layer: plugin")
    .replace("{nodes: 2}", "{nodes: 2, max_nodes: 4, image: 1.33.4-20251120, labels: {team: models}}")
    .replace("      engine-llama-cpp: registry.example/llama-cpp@sha256:" + "a" * 64 + "\n", "")
    + "  slipway:engine: {name: vllm, gpus: 1}\n"
)
PUBLIC = CPU.replace("api_from:", "private: false\n    api_from:").replace(
    "second_zone: eu-north-1b",
    "vpc: vpc-0123456789abcdef0, subnets: [subnet-0123456789abcdef0, subnet-0123456789abcdef1]",
)
WEIGHTS = CPU.replace("https://models.example", "s3://our-models") + "  slipway:weights: {bucket: our-models}\n"
STACKS = {"pool": CPU, "pool-gpu": GPU, "pool-public": PUBLIC, "pool-weights": WEIGHTS}

CLUSTER, POOL = "aws:eks/cluster:Cluster", "aws:eks/nodeGroup:NodeGroup"


def pool(graph: Graph) -> Asked:
    """The stack's pool, which is not the one of the cluster's own needs."""
    (found,) = [one for one in graph.of(POOL) if not one.name.endswith("-system")]
    return found


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    graph = run(STACKS[name])
    assert wrong_arguments(graph, "aws") == {}, "every argument is one of the SDK"
    text = only(graph, "aws").text()
    check_golden(f"stacks/aws-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_clear(run: Run, preview: bool) -> None:
    graph = run(WEIGHTS, preview=preview)
    assert_no_secret_in_clear(graph)
    assert "kubeconfig" in graph.secret_outputs


def test_the_api_server_is_private_unless_it_is_said(run: Run) -> None:
    private = one_of(run(CPU), CLUSTER).inputs["vpcConfig"]
    assert (private["endpointPrivateAccess"], private["endpointPublicAccess"]) == (True, False)
    assert "publicAccessCidrs" not in private
    public = one_of(run(PUBLIC), CLUSTER).inputs["vpcConfig"]
    assert (public["endpointPublicAccess"], public["publicAccessCidrs"]) == (True, ["10.0.0.0/24"])


def test_only_those_who_may_reach_the_api_server_do(run: Run) -> None:
    graph = run(CPU)
    group = one_of(graph, "aws:ec2/securityGroup:SecurityGroup")
    (rule,) = group.inputs["ingress"]
    assert (rule["fromPort"], rule["toPort"], rule["cidrBlocks"]) == (443, 443, ["10.0.0.0/24"])
    assert one_of(graph, CLUSTER).inputs["vpcConfig"]["securityGroupIds"][0].startswith("sg-")
    assert one_of(run(PUBLIC), "aws:ec2/securityGroup:SecurityGroup").inputs["ingress"] == []


def test_nodes_are_private_in_one_zone_and_have_a_way_out(run: Run) -> None:
    graph = run(CPU)
    subnets = {one.name: one.inputs for one in graph.of("aws:ec2/subnet:Subnet")}
    zones = {name: subnet["availabilityZone"] for name, subnet in subnets.items()}
    assert zones == {"test": "eu-north-1a", "test-second": "eu-north-1b", "test-nat": "eu-north-1a"}
    networks = [ipaddress.ip_network(subnet["cidrBlock"]) for subnet in subnets.values()]
    assert not any(a.overlaps(b) for a in networks for b in networks if a is not b)
    assert not any(subnet.get("mapPublicIpOnLaunch") for subnet in subnets.values())
    (way_out,) = next(one for one in graph.of("aws:ec2/routeTable:RouteTable") if one.name == "test").inputs["routes"]
    assert way_out["natGatewayId"].startswith("nat-")
    assert len(pool(graph).inputs["subnetIds"]) == 1
    assert "aws:ec2/routeTableAssociation:RouteTableAssociation::test" in pool(graph).dependencies


def test_the_image_brings_the_driver_and_is_pinned(run: Run) -> None:
    inputs = pool(run(GPU)).inputs
    assert (inputs["amiType"], inputs["releaseVersion"]) == ("AL2023_x86_64_NVIDIA", "1.33.4-20251120")
    assert pool(run(CPU)).inputs["amiType"] == "AL2023_x86_64_STANDARD"


def test_nodes_say_what_they_are_and_keep_other_pods_away(run: Run) -> None:
    graph = run(GPU)
    found = pool(graph).inputs
    assert found["labels"]["team"] == "models"
    assert found["labels"]["slipway.dev/pool"] == pool(graph).name == found["nodeGroupName"]
    assert found["taints"] == [{"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}]
    (system,) = [one for one in graph.of(POOL) if one is not pool(graph)]
    assert "taints" not in system.inputs, "the cluster's own pods need a place"
    assert [one.name for one in run(CPU).of(POOL)] == [pool(run(CPU)).name]


def test_another_image_makes_another_pool_beside_the_old(run: Run) -> None:
    old, new = pool(run(GPU)), pool(run(GPU.replace("1.33.4-20251120", "1.33.5-20251201")))
    assert old.name != new.name
    assert old.inputs["nodeGroupName"] != new.inputs["nodeGroupName"]
    assert "delete_before_replace" not in new.options


def test_an_autoscaler_may_say_how_many_nodes_there_are(run: Run) -> None:
    found = pool(run(GPU))
    assert found.inputs["scalingConfig"] == {"desiredSize": 2, "minSize": 2, "maxSize": 4}
    assert found.options["ignore_changes"] == ["scalingConfig.desiredSize"]
    assert "ignore_changes" not in pool(run(CPU)).options


def test_pods_cannot_ask_for_the_rights_of_their_node(run: Run) -> None:
    for template in run(GPU).of("aws:ec2/launchTemplate:LaunchTemplate"):
        options = template.inputs["metadataOptions"]
        assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)
        (disk,) = template.inputs["blockDeviceMappings"]
        assert disk["ebs"]["encrypted"] == "true"


def test_the_kubeconfig_holds_no_token(run: Run) -> None:
    text = in_the_clear(run(CPU).outputs["kubeconfig"])
    found = json.loads(text)
    (user,) = found["users"]
    assert user["user"]["exec"]["args"][:4] == ["eks", "get-token", "--cluster-name", "slipway-test"]
    (cluster,) = found["clusters"]
    assert cluster["cluster"]["server"].startswith("https://")
    assert found["current-context"] == found["contexts"][0]["name"]


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = CPU.replace("instance_type:", "cluster_args: {deletion_protection: true}, instance_type:")
    assert one_of(run(more), CLUSTER).inputs["deletionProtection"] is True
    wrong = CPU.replace("instance_type:", "pool_args: {ami_typ: x}, instance_type:")
    assert refused(run, wrong).startswith("slipway:aws.pool_args: ami_typ: NodeGroup has no such argument.")
