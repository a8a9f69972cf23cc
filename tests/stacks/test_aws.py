"""AWS's servers, as the root program asks for them under Pulumi's mocks, against the SDK's own types.

`test_aws_api` puts the same graphs to AWS's API as botocore and moto have it. The provider's binary and the cloud are
not here: that the cloud does with these resources what they say is not tested.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.stacks.conftest import Run
from tests.support.clouds import assert_born_with_its_key, assert_no_secret_in_clear, cloud_config, one_of, refused
from tests.support.golden import check_golden
from tests.support.mocks import Graph
from tests.support.pulumi import ROOT
from tests.support.sdk import in_the_clear, wrong_arguments

ONE = """\
config:
  slipway:provider: aws
  slipway:release: local-2026.11
  slipway:model: {name: smollm2-135m-instruct, context: 2048}
  slipway:aws:
    zone: eu-north-1a
    instance_type: c7i.2xlarge
    image: ami-0123456789abcdef0
    ssh_from: [192.0.2.7, "2001:db8::/32"]
"""
MODEL = f'{{name: own, source: "https://m.example/own", sha256: {"a" * 64}, size: 16GB, context: 2048}}'
CACHE = (
    ONE + "    cache: 100GB\n    cache_retain: true\n    clients_from: [198.51.100.0/24]\n    labels: {team: models}\n"
)
THREE = ONE + "    spot: 1\n  slipway:hosts: {count: 3}\n  slipway:engine: {replicas: 2}\n"
STATIC = THREE.replace("spot: 1", "static_address: true\n    anti_affinity: spread")
OWN_NETWORK = (
    ONE
    + "    vpc: vpc-0123456789abcdef0\n    subnets: [subnet-0123456789abcdef0]\n    anti_affinity: none\n"
    + "    static_address: true\n"
)
GPU = (
    ONE.replace("local-2026.11", "r580-2026.11-ubuntu-24.04")
    .replace("{name: smollm2-135m-instruct, context: 2048}", MODEL)
    .replace("c7i.2xlarge", "g6e.xlarge")
    + "  slipway:engine: {name: vllm, gpus: 1}\n"
)
WEIGHTS = (
    ONE.replace(
        "{name: smollm2-135m-instruct, context: 2048}",
        f'{{name: own, source: "s3://our-models/own.gguf", sha256: {"a" * 64}, size: 1GB, context: 2048}}',
    )
    + "  slipway:weights: {bucket: our-models}\n"
)
HUNDRED = ONE + "  slipway:hosts: {count: 100}\n"

STACKS = {
    "one": ONE, "cache": CACHE, "three": THREE, "static": STATIC, "own-network": OWN_NETWORK, "gpu": GPU,
    "weights": WEIGHTS,
}  # fmt: skip

INSTANCE, GROUP = "aws:ec2/instance:Instance", "aws:ec2/securityGroup:SecurityGroup"


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    graph = run(STACKS[name])
    assert wrong_arguments(graph, "aws") == {}, "every argument is one of the SDK"
    check_golden(f"stacks/aws-{name}", {"graph.yaml": graph.text()}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", ["cache", "three", "weights"])
@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_clear(run: Run, name: str, preview: bool) -> None:
    graph = run(STACKS[name], preview=preview)
    assert_no_secret_in_clear(graph)
    for server in graph.of(INSTANCE):
        assert list(server.inputs["userData"]) == ["[secret]"]
        assert server.options["secret_outputs"] == ["userData"]


def user_data(graph: Graph, name: str) -> str:
    (server,) = [one for one in graph.of(INSTANCE) if one.name == name]
    text: str = server.inputs["userData"]["[secret]"]
    return text


def test_a_server_is_born_with_the_key_that_the_connection_expects(run: Run) -> None:
    graph = run(THREE)
    for server in graph.of(INSTANCE):
        assert_born_with_its_key(graph, server.name, user_data(graph, server.name), "root")
        assert cloud_config(user_data(graph, server.name))["hostname"] == server.name


def test_programs_on_a_server_cannot_ask_for_its_user_data(run: Run) -> None:
    for server in run(THREE).of(INSTANCE):
        options = server.inputs["metadataOptions"]
        assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)


def opened(graph: Graph) -> dict[str, dict[int, set[str]]]:
    """What each security group lets in: by its name, from where to which port."""
    found: dict[str, dict[int, set[str]]] = {}
    for group in graph.of(GROUP):
        rules: dict[int, set[str]] = {}
        for rule in group.inputs.get("ingress", []):
            assert rule["fromPort"] == rule["toPort"]
            assert rule["protocol"] == "tcp"
            sources = {*rule.get("cidrBlocks", []), *rule.get("ipv6CidrBlocks", []), *rule.get("securityGroups", [])}
            rules.setdefault(rule["fromPort"], set()).update(sources)
        found[group.inputs["name"]] = rules
    return found


def test_only_what_the_plan_lists_is_open(run: Run) -> None:
    ours = {"192.0.2.7/32", "2001:db8::/32"}
    assert opened(run(ONE)) == {"slipway-test": {22: ours, 8443: {"0.0.0.0/0"}}}
    assert opened(run(CACHE))["slipway-test"][8443] == {"198.51.100.0/24"}
    graph = run(THREE)
    assert opened(graph)["slipway-test-front"] == {8443: {"0.0.0.0/0"}}
    servers = opened(graph)["slipway-test"]
    (from_balancer,) = servers.pop(8443)
    assert from_balancer.startswith("sg-"), "clients come through the load balancer"
    assert servers == {22: ours}
    groups = {group for server in graph.of(INSTANCE) for group in server.inputs["vpcSecurityGroupIds"]}
    assert from_balancer not in groups
    assert len(groups) == 1


def test_a_load_balancer_asks_ready_and_lets_open_requests_go_on(run: Run) -> None:
    graph = run(THREE)
    targets = one_of(graph, "aws:lb/targetGroup:TargetGroup")
    check = targets.inputs["healthCheck"]
    assert (check["protocol"], check["path"], check["matcher"]) == ("HTTPS", "/ready", "200")
    (state,) = targets.inputs["targetHealthStates"]
    assert state == {"enableUnhealthyConnectionTermination": False, "unhealthyDrainingInterval": 30 + 60}
    listener = one_of(graph, "aws:lb/listener:Listener")
    assert (listener.inputs["protocol"], listener.inputs["tcpIdleTimeoutSeconds"]) == ("TCP", 5 + 15 + 300)
    attached = graph.of("aws:lb/targetGroupAttachment:TargetGroupAttachment")
    assert [one.name for one in attached] == ["test-0", "test-1", "test-2"]
    assert len({one.inputs["targetId"] for one in attached}) == 3
    services = graph.of("slipway:index:Service")
    assert {service.inputs["desired"]["drain"]["settle"] for service in services} == {30}


def test_a_health_check_can_speak_with_the_proxy() -> None:
    """The load balancer's checks know nothing newer than TLS 1.2.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/network/target-group-health-checks.html"""
    assert "ssl-min-ver TLSv1.2" in (ROOT / "templates/host/haproxy.cfg.j2").read_text()


@pytest.mark.parametrize("text", [THREE, STATIC])
def test_clients_use_one_address_that_certificates_hold(run: Run, text: str) -> None:
    graph = run(text)
    addresses = graph.of("aws:ec2/eip:Eip")
    name = "slipway-test.elb.example"
    assert [one.name for one in addresses] == (["test"] if text == STATIC else [])
    (endpoint,) = graph.outputs["endpoints"]
    assert endpoint == graph.outputs["endpoint"]
    assert endpoint.startswith("https://198.51.100." if text == STATIC else f"https://{name}:8443/v1")
    for certificate in graph.of("slipway:index:Certificate"):
        assert {name, certificate.name, endpoint.removeprefix("https://").split(":")[0]} <= set(
            certificate.inputs["names"]
        )


def test_a_server_alone_may_keep_its_address(run: Run) -> None:
    graph = run(OWN_NETWORK)
    address = one_of(graph, "aws:ec2/eip:Eip")
    assert address.name == "test-0"
    assert address.inputs["instance"].startswith("i-")
    (host,) = graph.outputs["hosts"]
    assert host["address"].startswith("198.51.100.")
    (connected,) = graph.of("slipway:index:Host")
    assert connected.inputs["connection"]["address"] == host["address"]


def test_a_network_that_exists_is_used_and_not_made(run: Run) -> None:
    graph = run(OWN_NETWORK)
    made = {asked.type.rsplit(":", 1)[-1] for asked in graph.resources}
    assert not made & {"Vpc", "Subnet", "InternetGateway", "RouteTable", "RouteTableAssociation"}
    assert one_of(graph, INSTANCE).inputs["subnetId"] == "subnet-0123456789abcdef0"
    assert one_of(graph, GROUP).inputs["vpcId"] == "vpc-0123456789abcdef0"


def test_outputs_say_what_each_host_is_and_costs(run: Run) -> None:
    (host,) = run(GPU).outputs["hosts"]
    assert (host["zone"], host["gpu"]) == ("eu-north-1a", "1 × L40S")
    assert host["price"] == pytest.approx(1.974 * 0.87, rel=0.1), "USD 1.974 in euro"
    (elsewhere,) = run(GPU.replace("eu-north-1a", "eu-west-3a")).outputs["hosts"]
    assert elsewhere["price"] is None, "prices differ by region"


def test_everything_is_in_the_zones_region_and_tagged(run: Run) -> None:
    graph = run(CACHE)
    provider = one_of(graph, "pulumi:providers:aws")
    assert provider.inputs["region"] == "eu-north-1"
    assert json.loads(provider.inputs["defaultTags"])["tags"] == {"slipway-stack": "test", "team": "models"}


def test_the_disk_for_weights_outlives_a_server(run: Run) -> None:
    graph = run(CACHE)
    disk = one_of(graph, "aws:ebs/volume:Volume")
    server = one_of(graph, INSTANCE)
    assert disk.options == {"retain_on_delete": True}
    assert disk.inputs["size"] == 94, "100 GB in GiB, rounded up"
    assert server.options["delete_before_replace"] is True
    attached = one_of(graph, "aws:ec2/volumeAttachment:VolumeAttachment")
    serial = attached.inputs["volumeId"].replace("-", "")
    script = cloud_config(user_data(graph, "test-0"))["bootcmd"][0][-1]
    assert f"blkid -p /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{serial} " in script


def test_several_new_servers_are_kept_apart(run: Run) -> None:
    kind = "aws:ec2/placementGroup:PlacementGroup"
    partition, spread = one_of(run(THREE), kind).inputs, one_of(run(STATIC), kind).inputs
    assert (partition["strategy"], partition["partitionCount"]) == ("partition", 7)
    assert (spread["strategy"], "partitionCount" in spread) == ("spread", False)
    assert not run(ONE).of(kind)


def test_only_the_last_servers_are_spot(run: Run) -> None:
    spot = {
        server.name: server.inputs["instanceMarketOptions"]["spotOptions"]["instanceInterruptionBehavior"]
        for server in run(THREE).of(INSTANCE)
        if "instanceMarketOptions" in server.inputs
    }
    assert spot == {"test-2": "stop"}


def test_a_new_image_or_script_does_not_replace_the_fleet(run: Run) -> None:
    (server,) = run(ONE).of(INSTANCE)
    assert server.options["ignore_changes"] == ["ami", "userData", "placementGroup"]
    (renewed,) = run(ONE + "  slipway:hosts: {renew: [test-0]}\n").of(INSTANCE)
    assert renewed.options["ignore_changes"] == ["placementGroup"]


def policies(graph: Graph) -> dict[str, list[dict[str, Any]]]:
    return {
        one.name: json.loads(one.inputs["policy"])["Statement"] for one in graph.of("aws:iam/userPolicy:UserPolicy")
    }


def test_a_host_may_read_the_bucket_and_nothing_else(run: Run) -> None:
    graph = run(WEIGHTS)
    assert policies(graph)["weights-reader"] == [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::our-models/*"]}
    ]
    for statement in policies(graph)["weights-writer"]:
        assert all("*" not in action for action in statement["Action"])
        assert all(resource.startswith("arn:aws:s3:::our-models") for resource in statement["Resource"])
    (service,) = graph.of("slipway:index:Service")
    (reader,) = [one for one in graph.of("aws:iam/accessKey:AccessKey") if one.name == "weights-reader"]
    assert reader.inputs["user"] == "slipway-test-reader-eu-north-1"
    assert in_the_clear(service.inputs["credentials"])["secret_key"] == "SECRET-weights-reader-secret"
    assert service.inputs["desired"]["model"]["endpoint"] == "https://s3.eu-north-1.amazonaws.com"
    assert all(one_of(graph, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock").inputs[field] for field in (
        "blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets",
    ))  # fmt: skip
    bucket = one_of(graph, "aws:s3/bucket:Bucket")
    assert (bucket.options["retain_on_delete"], bucket.inputs["forceDestroy"]) == (True, False)


def test_a_hundred_hosts_are_previewed(run: Run) -> None:
    graph = run(HUNDRED, preview=True)
    assert len(graph.of(INSTANCE)) == len(graph.of("slipway:index:Host")) == 100
    assert graph.outputs["endpoint"] == "[unknown]"


def test_own_arguments_are_laid_over(run: Run) -> None:
    more = "    instance_args: {monitoring: true, root_block_device: {throughput: 250}}\n"
    (server,) = run(ONE + more).of(INSTANCE)
    assert server.inputs["monitoring"] is True
    root = server.inputs["rootBlockDevice"]
    assert (root["throughput"], root["volumeType"], root["encrypted"]) == (250, "gp3", True)


def test_what_the_sdk_does_not_take_is_one_sentence(run: Run) -> None:
    more = "    instance_args: {monitring: true, root_block_device: {volume_sise: 10}}\n"
    assert refused(run, ONE + more) == (
        "slipway:aws.instance_args: monitring: Instance has no such argument. Did you mean monitoring?; "
        "root_block_device.volume_sise: InstanceRootBlockDevice has no such argument. "
        "Did you mean volume_size?. Correct this, or take it out"
    )


def test_a_missing_sdk_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("stacks.providers.aws")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pulumi_aws", None)
    assert refused(run, ONE) == (
        "slipway:provider: the provider aws needs the package pulumi_aws, which is not installed. "
        "Run: pip install 'slipway[aws]'"
    )
