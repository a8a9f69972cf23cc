"""What AWS says, by boto3 (extra `aws`), which checks every question against AWS's own description of its services.

Credentials and addresses are those that the `aws` command reads. Never run against AWS itself here: the tests go
through moto, an emulator, and for quotas, which it has none of, through botocore's stubs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import boto3
from botocore import exceptions
from botocore.config import Config

from bootstrap.clouds.asking import DEADLINE, UnansweredError, answered
from bootstrap.waits import Waits
from slipway.doctor.market import NO_VERSIONS, CloudAnswers, CloudWanted, Limit, ServerType
from slipway.doctor.types import NoAnswer
from slipway.units import MIB

T = TypeVar("T")
Clients = Callable[[str], Any]
"""name of a service → its client"""

FIX = "Run `aws sts get-caller-identity`, and log in as it says, or set AWS_PROFILE"
REFUSED = (
    "InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException", "SignatureDoesNotMatch", "AuthFailure",
    "UnrecognizedClientException", "IncompleteSignature",
)  # fmt: skip
"""codes by which AWS refuses credentials: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html"""
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")

QUOTAS = {"g": "L-DB2E81BA", "vt": "L-DB2E81BA", "p": "L-417A185B"}
"""quotas of running on-demand vCPUs by the letters that a type begins with; each is for one kind of family:
https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html"""
STANDARD = ("L-1216C47A", ("a", "c", "d", "h", "i", "m", "r", "t", "z"))
NO_STOCK = NoAnswer(
    "AWS says which types a zone offers, and never how many of them are left",
    "Have another type or zone ready; a capacity reservation is the only promise",
    "not asked",
)
NO_PRICES = NoAnswer("prices of AWS are not asked for yet", "See https://aws.amazon.com/ec2/pricing/", "not asked")


def ask(wanted: CloudWanted, environ: Mapping[str, str], waits: Waits, clients: Clients | None = None) -> CloudAnswers:
    """Everything that `wanted` is held against. Nothing is made or changed. boto3 reads the environment itself, and has
    retries of its own."""
    del environ, waits
    client = cache(clients or _clients(wanted.region))
    account = _asked(lambda: str(client("sts").get_caller_identity()["Arn"]))
    if isinstance(account, NoAnswer):
        return CloudAnswers.none(account)
    types = _asked(lambda: _types(client("ec2"), wanted))
    return CloudAnswers(
        account=account,
        zones=_asked(lambda: _zones(client("ec2"))),
        types=types,
        stock=NO_STOCK,
        image=_asked(lambda: _image(client("ec2"), wanted.image)),
        limits=_asked(lambda: _limits(client, wanted)) if wanted.servers else {},
        prices=NO_PRICES,
        currency="USD",
        versions=_asked(lambda: _versions(client("eks"))) if wanted.version else NO_VERSIONS,
    )


def _clients(region: str) -> Clients:
    session = boto3.Session(region_name=region or None)
    config = Config(
        connect_timeout=DEADLINE, read_timeout=DEADLINE, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return lambda service: session.client(service, config=config)


def _asked(question: Callable[[], T]) -> T | NoAnswer:
    """As `answered`, with boto3's own errors as answers."""
    try:
        return answered(question)
    except exceptions.ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in REFUSED:
            return NoAnswer(f"AWS refuses the credentials: {said or code}", FIX, "off")
        if code in DENIED:
            return NoAnswer(f"the credentials may not ask {error.operation_name}", "Give them the right to read that")
        return NoAnswer(f"AWS answered {error.operation_name} with {code}: {said}"[:200], "Try again later")
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        return NoAnswer(f"there are no whole credentials: {error}", FIX, "off")
    except exceptions.BotoCoreError as error:
        return NoAnswer(f"AWS is not reached: {error}"[:200], "Check the network, the region and AWS_PROFILE")


def _zones(ec2: Any) -> tuple[str, ...]:
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    return tuple(str(zone["ZoneName"]) for zone in zones if zone["State"] == "available")


def _types(ec2: Any, wanted: CloudWanted) -> dict[str, ServerType]:
    """Of the types that the stack would take, those that the zone offers."""
    names = [*wanted.instances, *wanted.others]
    filters = [{"Name": "location", "Values": [wanted.zone]}, {"Name": "instance-type", "Values": names}]
    offered = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=filters)
    there = [str(offer["InstanceType"]) for offer in offered["InstanceTypeOfferings"]]
    if not there:
        return {}
    return {
        str(kind["InstanceType"]): ServerType(
            cores=int(kind["VCpuInfo"]["DefaultVCpus"]),
            memory=int(kind["MemoryInfo"]["SizeInMiB"]) * MIB,
            gpus=sum(int(gpu["Count"]) for gpu in kind.get("GpuInfo", {}).get("Gpus", ())),
            gpu=", ".join(str(gpu["Name"]) for gpu in kind.get("GpuInfo", {}).get("Gpus", ())),
        )
        for kind in ec2.describe_instance_types(InstanceTypes=there)["InstanceTypes"]
    }


def _versions(eks: Any) -> tuple[str, ...]:
    """Versions that a cluster can be made with, in standard or extended support."""
    pages = eks.get_paginator("describe_cluster_versions").paginate()
    return tuple(str(one["clusterVersion"]) for page in pages for one in page["clusterVersions"])


def _image(ec2: Any, image: str | None) -> str:
    if image is None:
        return ""
    try:
        found = ec2.describe_images(ImageIds=[image])["Images"]
    except exceptions.ClientError as error:
        if not error.response["Error"]["Code"].startswith("InvalidAMIID"):
            raise
        found = []
    if not found:
        fix = "Set slipway:aws.image to an AMI of this region"
        raise UnansweredError(NoAnswer("the region has no such AMI, or the account may not see it", fix, "off"))
    return str(found[0]["Name"])


def _limits(client: Clients, wanted: CloudWanted) -> dict[str, Limit]:
    """vCPUs of running on-demand instances of the wanted kind of family, in this region."""
    name = wanted.instances[0] if wanted.instances else ""
    letters = _letters(name)
    code = QUOTAS.get(letters) or (STANDARD[0] if letters in STANDARD[1] else None)
    if code is None:
        raise UnansweredError(
            NoAnswer(f"no quota of {name} is known", "See Service Quotas in the console", "not asked")
        )
    most = client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
    kinds: Counter[str] = Counter()
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    ec2 = client("ec2")
    for page in ec2.get_paginator("describe_instances").paginate(Filters=running):
        for reservation in page["Reservations"]:
            kinds.update(
                str(instance["InstanceType"])
                for instance in reservation["Instances"]
                if instance.get("InstanceLifecycle") != "spot" and _same(_letters(instance["InstanceType"]), letters)
            )
    described = ec2.describe_instance_types(InstanceTypes=list(kinds))["InstanceTypes"] if kinds else ()
    used = sum(int(kind["VCpuInfo"]["DefaultVCpus"]) * kinds[kind["InstanceType"]] for kind in described)
    return {"cores": Limit(float(most), float(used), "vCPUs")}


def _letters(name: str) -> str:
    """The letters that a type begins with.

    >>> _letters("g6e.xlarge"), _letters("p5.48xlarge"), _letters("inf2.xlarge")
    ('g', 'p', 'inf')
    """
    family = name.partition(".")[0]
    return family[: next((at for at, letter in enumerate(family) if letter.isdigit()), len(family))]


def _same(one: str, other: str) -> bool:
    """Whether two kinds of family share a quota."""
    return one == other or (one in STANDARD[1] and other in STANDARD[1]) or {one, other} == {"g", "vt"}
