"""What doctor asks of AWS, through moto; quotas through botocore's stubs, which check both sides against AWS's own
description of the service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from bootstrap.clouds import aws
from bootstrap.commands import doctor
from bootstrap.waits import Waits
from slipway.doctor.market import CloudAnswers, CloudWanted, Limit
from slipway.doctor.types import NoAnswer
from slipway.units import GIB

REGION = "eu-north-1"
WANTED = CloudWanted(
    provider="aws",
    zone="eu-north-1a",
    region=REGION,
    instances=("g6e.xlarge", "no.such"),
    others=("m5.large", "g5.xlarge"),
    servers=2,
    image=None,
    disk=100e9,
    addresses=2,
    gpus=1,
    offer=None,
)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        yield


def clients(quota: Any, operation: str = "get_service_quota") -> aws.Clients:
    """moto's clients, and a stub for quotas: a value, or the code of an error."""

    def client(service: str) -> Any:
        made = boto3.client(service, region_name=REGION)
        if service == "service-quotas":
            stub = Stubber(made)
            if isinstance(quota, str):
                stub.add_client_error(operation, quota)
            else:
                stub.add_response(operation, {"Quota": {"ServiceCode": "ec2", "Value": quota}}, EXPECTED)
            stub.activate()
        return made

    return client


EXPECTED = {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}


def ask(wanted: CloudWanted = WANTED, quota: Any = 16.0) -> CloudAnswers:
    return aws.ask(wanted, {}, Waits(), clients(quota))


@pytest.mark.usefixtures("account")
def test_an_account_with_everything() -> None:
    said = ask()
    assert not isinstance(said.account, NoAnswer)
    assert said.account.startswith("arn:aws:sts::")
    assert said.zones == ("eu-north-1a", "eu-north-1b", "eu-north-1c")
    assert not isinstance(said.types, NoAnswer)
    assert set(said.types) == {"g6e.xlarge", "m5.large"}
    assert (said.types["g6e.xlarge"].cores, said.types["g6e.xlarge"].memory) == (4, 32 * GIB)
    assert (said.types["g6e.xlarge"].gpus, said.types["g6e.xlarge"].gpu) == (1, "L40S")
    assert isinstance(said.stock, NoAnswer)
    assert said.stock.verdict == "not asked"


@pytest.mark.usefixtures("account")
def test_quota_counts_what_runs_of_the_same_kind() -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    image = ec2.describe_images()["Images"][0]["ImageId"]
    for kind in ("g6e.xlarge", "m5.large"):
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType=kind)
    said = ask()
    assert not isinstance(said.limits, NoAnswer)
    assert said.limits == {"cores": Limit(16.0, 4.0, "vCPUs")}
    alone = ask(replace(WANTED, servers=0))
    assert alone.limits == {}


@pytest.mark.usefixtures("account")
def test_a_family_without_a_known_quota() -> None:
    said = ask(replace(WANTED, instances=("inf2.xlarge",)))
    assert isinstance(said.limits, NoAnswer)
    assert said.limits.verdict == "not asked"


@pytest.mark.usefixtures("account")
def test_a_zone_that_offers_none_of_the_types() -> None:
    assert ask(replace(WANTED, instances=("no.such",), others=())).types == {}


@pytest.mark.usefixtures("account")
def test_images() -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    image = ec2.describe_images()["Images"][0]
    assert ask(replace(WANTED, image=image["ImageId"])).image == image["Name"]
    gone = ask(replace(WANTED, image="ami-00000000")).image
    assert isinstance(gone, NoAnswer)
    assert gone.verdict == "off"


@pytest.mark.usefixtures("account")
def test_versions_of_clusters_through_botocores_stub() -> None:
    """moto has no such call."""

    def client(service: str) -> Any:
        made = clients(16.0)(service)
        if service == "eks":
            stub = Stubber(made)
            first = {"clusterVersion": "1.34", "versionStatus": "STANDARD_SUPPORT", "defaultVersion": True}
            second = {"clusterVersion": "1.31", "versionStatus": "EXTENDED_SUPPORT", "defaultVersion": False}
            stub.add_response("describe_cluster_versions", {"clusterVersions": [first], "nextToken": "n"}, {})
            stub.add_response("describe_cluster_versions", {"clusterVersions": [second]}, {"nextToken": "n"})
            stub.activate()
        return made

    said = aws.ask(replace(WANTED, version="1.33"), {}, Waits(), client)
    assert said.versions == ("1.34", "1.31")
    assert isinstance(ask().versions, NoAnswer)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("code", "verdict", "why"),
    [
        ("AccessDeniedException", "no answer", "may not ask GetServiceQuota"),
        ("TooManyRequestsException", "no answer", "answered GetServiceQuota with TooManyRequestsException"),
        ("ExpiredTokenException", "off", "refuses the credentials"),
    ],
)
def test_refusals(code: str, verdict: str, why: str) -> None:
    limits = ask(quota=code).limits
    assert isinstance(limits, NoAnswer)
    assert (limits.verdict, why in limits.why) == (verdict, True)


def test_credentials_that_are_refused() -> None:
    def client(service: str) -> Any:
        made = boto3.client(service, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")
        stub = Stubber(made)
        stub.add_client_error("get_caller_identity", "InvalidClientTokenId", "The token is invalid")
        stub.activate()
        return made

    said = aws.ask(WANTED, {}, Waits(), client)
    assert said.account == NoAnswer("AWS refuses the credentials: The token is invalid", aws.FIX, "off")
    assert isinstance(said.types, NoAnswer)
    assert said.types.verdict == "not asked"


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    said = aws.ask(WANTED, {}, Waits())
    assert isinstance(said.account, NoAnswer)
    assert (said.account.verdict, said.account.why.startswith("there are no whole credentials")) == ("off", True)


@pytest.mark.net
def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    said = aws.ask(WANTED, {}, Waits())
    assert isinstance(said.account, NoAnswer)
    assert (said.account.verdict, "is not reached" in said.account.why) == ("no answer", True)


def test_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "bootstrap.clouds.aws", raising=False)
    said = doctor.ask_cloud(WANTED)
    assert said.account == NoAnswer(
        "the package boto3 asks it, and is not installed", "Run: pip install 'slipway[aws]'"
    )


def test_a_cloud_that_nobody_can_ask() -> None:
    said = doctor.ask_cloud(replace(WANTED, provider="elsewhere"))
    assert isinstance(said.account, NoAnswer)
    assert said.account.verdict == "not asked"
