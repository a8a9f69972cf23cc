"""UpCloud's object storage: a bucket for weights, a key that reads it, and a key that fills it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pulumi
import pulumi_upcloud as upcloud

from slipway.settings.clouds import UpCloudSettings
from slipway.settings.weights import WeightsSettings
from stacks.providers import Store, StoreKeys
from stacks.providers.shared import FILLS, LISTS, READS, bucket_policy

PRIVATE, PUBLIC = "private", "public"


def kept(weights: WeightsSettings | None) -> pulumi.ResourceOptions:
    """For what a bucket cannot be without: it stays where the bucket does, as a network that is in use cannot go."""
    return pulumi.ResourceOptions(retain_on_delete=weights is not None and weights.retain)


def store(
    weights: WeightsSettings,
    chosen: UpCloudSettings,
    *,
    name: str,
    network: upcloud.Network,
    labels: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> Store:
    """Make it in the private network of the hosts, which read it there; what it costs grows with what is in it."""
    open_at = [{"name": PRIVATE, "type": PRIVATE, "family": "IPv4", "uuid": network.id}]
    if chosen.weights_public:
        open_at.append({"name": PUBLIC, "type": PUBLIC, "family": "IPv4"})
    stays = pulumi.ResourceOptions.merge(opts, kept(weights))
    service = upcloud.ManagedObjectStorage(
        "weights",
        name=f"{name}-weights",
        region=chosen.weights_region or "",
        configured_status="started",
        networks=open_at,
        labels=labels,
        opts=stays,
    )
    # UpCloud deletes a bucket with everything in it.
    bucket = upcloud.ManagedObjectStorageBucket("weights", service_uuid=service.id, name=weights.bucket, opts=stays)
    return Store(
        bucket=bucket.name,
        # Whoever waits for the endpoint waits for the bucket as well.
        endpoint=pulumi.Output.all(_endpoint(service, PRIVATE), bucket.id).apply(lambda found: str(found[0])),
        filled_at=_endpoint(service, PUBLIC if chosen.weights_public else PRIVATE),
        region=chosen.weights_region or "",
        reader=_user(service, "reader", document(bucket_policy(weights.bucket, READS)), opts),
        writer=_user(service, "writer", document(bucket_policy(weights.bucket, FILLS, LISTS)), opts),
    )


def document(policy: dict[str, object]) -> str:
    """A policy, encoded as a part of a URL, as UpCloud's API takes it.
    https://github.com/UpCloudLtd/terraform-provider-upcloud examples/resources/upcloud_managed_object_storage_policy
    """
    return quote(json.dumps(policy, separators=(",", ":")), safe="")


def _user(
    service: upcloud.ManagedObjectStorage, name: str, policy_document: str, opts: pulumi.ResourceOptions
) -> StoreKeys:
    """A user of the store who may do what the policy says, and nothing before that is attached."""
    label = f"weights-{name}"
    policy = upcloud.ManagedObjectStoragePolicy(
        label, service_uuid=service.id, name=label, document=policy_document, opts=opts
    )
    user = upcloud.ManagedObjectStorageUser(label, service_uuid=service.id, username=name, opts=opts)
    attached = upcloud.ManagedObjectStorageUserPolicy(
        label, service_uuid=service.id, username=user.username, name=policy.name, opts=opts
    )
    key = upcloud.ManagedObjectStorageUserAccessKey(
        label,
        service_uuid=service.id,
        username=user.username,
        status="Active",
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[attached])),
    )
    return StoreKeys(key.access_key_id, pulumi.Output.secret(key.secret_access_key))


def _endpoint(service: upcloud.ManagedObjectStorage, kind: str) -> pulumi.Output[str]:
    return service.endpoints.apply(
        lambda found: "https://" + next((str(one.domain_name) for one in found if one.type == kind), "")
    )
