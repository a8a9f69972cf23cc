"""What provider modules of several clouds need, whatever the cloud."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import pulumi

from slipway.plan_types import Plan
from slipway.units import GIB
from stacks.providers import Host, HostsArgs, Store
from stacks.resources import HostKey

SSH_PORT = 22


@dataclass(frozen=True)
class Front:
    """A load balancer. `address` is what clients use; `names` all that may stand in a certificate."""

    address: pulumi.Output[str]
    names: tuple[pulumi.Input[str], ...]


def server_host(
    args: HostsArgs,
    name: str,
    *,
    server: pulumi.Resource,
    key: HostKey,
    address: pulumi.Output[str],
    ssh_port: int = SSH_PORT,
    user: str,
    zone: str | None,
    front: Front | None,
    store: Store | None,
) -> Host:
    """A server that was born with `key`, whose clients and whose SSH come to the same address."""
    return Host(
        name=name,
        connection={
            "name": name,
            "address": address,
            "port": ssh_port,
            "user": user,
            "private_key": args.keys.ssh_private_key,
            "host_key": key.public_key,
            "host_key_policy": "pinned",
        },
        address=address,
        port=args.plan.proxy.port,
        machine=server,
        zone=zone or "",
        front=front.address if front is not None else None,
        names=front.names if front is not None else (),
        store=store,
    )


def silence_seconds(plan: Plan) -> int:
    """How long a connection may carry nothing: a load balancer in TCP mode sees neither a request that waits in a
    host's queue nor one that waits for its first token."""
    return plan.proxy.connect_seconds + plan.proxy.queue_seconds + plan.proxy.stream_seconds


def short_name(name: str, most: int) -> str:
    """The name, or where it is longer than `most` characters, its beginning and 8 hex digits of a digest."""
    if len(name) <= most:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: most - 9].rstrip('-')}-{digest}"


def size_gib(size: int) -> int:
    """Bytes in the unit that some clouds count disks in, rounded up."""
    return math.ceil(size / GIB)


def kubeconfig(name: str, server: str, certificate: str, user: dict[str, Any]) -> str:
    """The text of a kubeconfig with one context; `certificate` is the authority's, base64 of PEM. JSON is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": certificate}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        indent=1,
    )


READS = ("s3:GetObject",)
FILLS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
LISTS = ("s3:ListBucket", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads")


def bucket_policy(bucket: str, on_objects: tuple[str, ...], on_bucket: tuple[str, ...] = ()) -> dict[str, object]:
    """A policy of one bucket, as IAM has it, and as stores that speak S3 have it from there."""
    allowed = [{"Effect": "Allow", "Action": list(on_objects), "Resource": [f"arn:aws:s3:::{bucket}/*"]}]
    if on_bucket:
        allowed.append({"Effect": "Allow", "Action": list(on_bucket), "Resource": [f"arn:aws:s3:::{bucket}"]})
    return {"Version": "2012-10-17", "Statement": allowed}
