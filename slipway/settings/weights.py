"""The section `weights`: a bucket of the stack's own in the cloud's object storage, that hosts read the model from."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from slipway.settings.base import Section

STORES = ("upcloud", "gcp", "aws")
"""providers whose object storage speaks S3 and is made here"""

NO_S3 = {"azure": "Azure's Blob storage speaks no S3, so that "}
"""why there is no bucket, for providers that do have an object storage"""

BucketName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$")]


class WeightsSettings(Section):
    """A bucket for weights, made by Slipway in the cloud's own object storage. Hosts read it with a key that may do
    nothing else; the stack's outputs hold another, by which it is filled."""

    bucket: BucketName
    """Its name; slipway:model.source names a file in it as s3://bucket/key."""
    retain: bool = True
    """Keep it and all in it when the stack is destroyed, or this section is taken out. It goes on to cost."""
