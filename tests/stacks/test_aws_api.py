"""The stacks of the tests of AWS, put to AWS's API: botocore's model of it, and moto's emulation.

This proves that the API would take what a stack asks for, as far as that model and moto go: names, types, enumerations,
limits, and what refers to what. Not that pulumi-aws makes these calls, nor what the cloud then does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from tests.stacks import test_aws, test_aws_pool
from tests.stacks.conftest import Run
from tests.support.aws_api import Api, misfits
from tests.support.aws_calls import ask
from tests.support.sdk import in_the_clear

REGION = "eu-north-1"
OWN_NETWORK = {"own-network", "pool-public"}
"""stacks whose network exists, which is made here before"""
STACKS = test_aws.STACKS | test_aws_pool.STACKS


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        yield Api(REGION)


def network_there(api: Api) -> None:
    """The network that a stack file names."""
    vpc = api("ec2", "CreateVpc", CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    api.known["vpc-0123456789abcdef0"] = vpc
    for index, zone in enumerate("ab"):
        made = api("ec2", "CreateSubnet", VpcId=vpc, CidrBlock=f"10.1.{index}.0/24", AvailabilityZone=f"{REGION}{zone}")
        api.known[f"subnet-0123456789abcdef{index}"] = made["Subnet"]["SubnetId"]


@pytest.mark.parametrize("name", STACKS)
def test_the_api_takes_what_the_stack_asks_for(run: Run, api: Api, name: str) -> None:
    graph = run(STACKS[name])
    if name in OWN_NETWORK:
        network_there(api)
    ask(api, graph)
    ec2 = api.client("ec2")
    asked = {asked.name for asked in graph.of("aws:ec2/instance:Instance")}
    found = [one for page in ec2.describe_instances()["Reservations"] for one in page["Instances"]]
    assert {tag["Value"] for one in found for tag in one["Tags"] if tag["Key"] == "Name"} == asked
    groups = {one.inputs["name"] for one in graph.of("aws:ec2/securityGroup:SecurityGroup")}
    assert groups <= {one["GroupName"] for one in ec2.describe_security_groups()["SecurityGroups"]}
    pools = {one.inputs["nodeGroupName"] for one in graph.of("aws:eks/nodeGroup:NodeGroup")}
    if pools:
        assert set(api.client("eks").list_nodegroups(clusterName="slipway-test")["nodegroups"]) == pools


def test_the_load_balancer_is_as_it_was_asked_for(run: Run, api: Api) -> None:
    ask(api, run(test_aws.THREE))
    balancing = api.client("elbv2")
    (made,) = balancing.describe_load_balancers()["LoadBalancers"]
    assert (made["Type"], made["Scheme"]) == ("network", "internet-facing")
    (group,) = balancing.describe_target_groups()["TargetGroups"]
    assert (group["HealthCheckProtocol"], group["HealthCheckPath"]) == ("HTTPS", "/ready")
    health = balancing.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    assert len({one["Target"]["Id"] for one in health}) == 3


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("weights-reader", {"get"}),
        ("weights-writer", {"get", "put", "list"}),
    ],
)
def test_a_key_may_do_its_own_and_nothing_else(run: Run, api: Api, role: str, may: set[str]) -> None:
    graph = run(test_aws.WEIGHTS)
    ask(api, graph)
    api.client("s3").put_object(Bucket="our-models", Key="own.gguf", Body=b"weights")
    api("s3", "CreateBucket", Bucket="others", CreateBucketConfiguration={"LocationConstraint": REGION})
    api.client("s3").put_object(Bucket="others", Key="own.gguf", Body=b"of others")
    key = next(value for mock, value in api.known.items() if mock.startswith("AKIA") and _of(api, value, role))
    secret = api.known[f"SECRET-{role}-secret"]
    s3 = boto3.client("s3", REGION, aws_access_key_id=key, aws_secret_access_key=secret)
    calls: dict[str, Callable[[str], object]] = {
        "get": lambda bucket: s3.get_object(Bucket=bucket, Key="own.gguf"),
        "put": lambda bucket: s3.put_object(Bucket=bucket, Key="new", Body=b""),
        "list": lambda bucket: s3.list_objects_v2(Bucket=bucket),
    }
    # moto asks for no rights unless it is told after how many calls to begin.
    judged = set_initial_no_auth_action_count(0)(_code_of)
    done = {(bucket, name): judged(call, bucket) for bucket in ("our-models", "others") for name, call in calls.items()}
    allowed = {("our-models", name) for name in may}
    assert done == {what: "done" if what in allowed else "AccessDenied" for what in done}


def test_a_bucket_is_filled_with_what_the_outputs_say_and_read_as_hosts_do(run: Run, api: Api, tmp_path: Path) -> None:
    """The step of docs/weights.md, by boto3 in place of the command line, with each key's own rights."""
    graph = run(test_aws.WEIGHTS)
    ask(api, graph)
    outputs = api.translated(graph.outputs)
    file, found = tmp_path / "own.gguf", tmp_path / "found.gguf"
    file.write_bytes(b"weights " * 1_200_000)  # two parts: what is large is not put at once
    place = outputs["weights"]
    writer = s3_with(outputs["weights_access_key"], outputs["weights_secret_key"], place["endpoint"], place["region"])
    (service,) = graph.of("slipway:index:Service")
    given, model = api.translated(in_the_clear(service.inputs["credentials"])), service.inputs["desired"]["model"]
    secret = api.translated(in_the_clear(given["secret_key"]))
    reader = s3_with(given["access_key"], secret, model["endpoint"], given["region"])

    def fill_and_read() -> None:
        writer.upload_file(str(file), place["bucket"], "own.gguf")
        assert model["source"] == f"s3://{place['bucket']}/own.gguf"
        reader.download_file(place["bucket"], "own.gguf", str(found))

    set_initial_no_auth_action_count(0)(fill_and_read)()
    assert found.read_bytes() == file.read_bytes()
    assert len(writer.head_object(Bucket=place["bucket"], Key="own.gguf")["ETag"].split("-")) == 2, "it came in parts"


def s3_with(access_key: str, secret_key: str, endpoint: str, region: str) -> Any:
    return boto3.client(
        "s3", region, endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key=secret_key
    )


def _code_of(call: Callable[[str], object], bucket: str) -> str:
    try:
        call(bucket)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def _of(api: Api, key: str, role: str) -> bool:
    """Whether the key is that role's user's."""
    name = api.client("iam").get_access_key_last_used(AccessKeyId=key)["UserName"]
    return role.removeprefix("weights-") in name


def test_roles_are_for_the_service_that_takes_them(run: Run, api: Api) -> None:
    ask(api, run(test_aws_pool.GPU))
    taken = {}
    for role in api.client("iam").list_roles()["Roles"]:
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        taken[role["RoleName"]] = statement["Principal"]["Service"]
    assert taken == {
        "slipway-test-cluster-eu-north-1": "eks.amazonaws.com",
        "slipway-test-nodes-eu-north-1": "ec2.amazonaws.com",
    }


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "wrong"),
    [
        ("ec2", "RunInstances", {"MaxCount": 1, "Immage": "ami-1"}, ["Immage is not known", "MinCount is needed"]),
        ("ec2", "CreatePlacementGroup", {"Strategy": "spred"}, ["Strategy is 'spred', which is none of"]),
        (
            "elbv2", "CreateTargetGroup", {"Name": "n", "HealthCheckIntervalSeconds": 301},
            ["HealthCheckIntervalSeconds is 301, outside of 5 to 300"],
        ),
        ("eks", "CreateNodegroup", {"amiType": "AL2023"}, ["amiType is 'AL2023', which is none of", "is needed"]),
        ("iam", "CreateRole", {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, ["which does not match"]),
    ],
)  # fmt: skip
def test_the_check_finds_what_it_is_for(
    api: Api, service: str, operation: str, parameters: dict[str, object], wrong: list[str]
) -> None:
    shape = api.client(service).meta.service_model.operation_model(operation).input_shape
    found = "\n".join(misfits(shape, parameters, operation))
    for sentence in wrong:
        assert sentence in found
