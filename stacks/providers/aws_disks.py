"""AWS's disks (EBS): how fast they are, the one for weights, and where a server finds that."""

from __future__ import annotations

import math
from typing import Any

import pulumi
import pulumi_aws as aws

from slipway.settings.aws import AwsSettings
from stacks.providers.shared import size_gib

KIND = "gp3"
IOPS_LEAST = 3000
THROUGHPUT_AN_IOPS = 0.25
"""MiB a second, at the most, for each operation a second, of which a volume has 3000 at the least
https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html"""

CACHE_DEVICE = "/dev/sdf"
"""the name that an attachment has to have; Nitro machines name disks otherwise"""
CACHE_BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
"""and the volume's id without its hyphen, which is its NVMe serial number
https://docs.aws.amazon.com/ebs/latest/userguide/identify-nvme-ebs-device.html"""


def speed(chosen: AwsSettings) -> dict[str, Any]:
    """Arguments of a volume's throughput (MiB a second) and of the operations a second that this takes."""
    throughput = chosen.disk_throughput
    return {"throughput": throughput, "iops": max(IOPS_LEAST, math.ceil(throughput / THROUGHPUT_AN_IOPS))}


def cache_disk(chosen: AwsSettings, name: str, opts: pulumi.ResourceOptions) -> aws.ebs.Volume | None:
    """The disk for weights: a resource of its own, so that a server that is replaced finds them again."""
    if chosen.cache is None:
        return None
    return aws.ebs.Volume(
        f"{name}-models",
        availability_zone=chosen.zone or "",
        size=size_gib(chosen.cache),
        type=KIND,
        encrypted=chosen.encrypt,
        **speed(chosen),
        tags={"Name": f"{name}-models"},
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=chosen.cache_retain)),
    )


def attach(
    cache: aws.ebs.Volume, server: aws.ec2.Instance, name: str, opts: pulumi.ResourceOptions
) -> aws.ec2.VolumeAttachment:
    """The disk for weights at its server, which is running then and waits for it."""
    return aws.ec2.VolumeAttachment(
        name,
        device_name=CACHE_DEVICE,
        volume_id=cache.id,
        instance_id=server.id,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(deleted_with=server)),
    )


def device_of(volume: str) -> str:
    """The path of a volume on its server, by the volume's id."""
    return f"{CACHE_BY_ID}{volume.replace('-', '')}"
