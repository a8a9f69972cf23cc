"""AWS's object storage: a bucket for weights, a key that reads it, and a key that fills it."""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from slipway.settings.weights import WeightsSettings
from stacks.providers import HostsArgs, Store, StoreKeys
from stacks.providers.aws_network import Network, name_of
from stacks.providers.shared import FILLS, LISTS, READS, bucket_policy, short_name

USER_NAME_MOST = 64


def store(args: HostsArgs, weights: WeightsSettings, network: Network, opts: pulumi.ResourceOptions) -> Store:
    """Make it in the stack's region, closed to everybody else; hosts of a network that is made here reach it without
    the internet, and so without a price a GB."""
    region, name = args.settings.aws.region or "", name_of(args)
    bucket = aws.s3.Bucket(
        "weights",
        bucket=weights.bucket,
        force_destroy=not weights.retain,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=weights.retain)),
    )
    aws.s3.BucketPublicAccessBlock(
        "weights",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=weights.retain)),
    )
    if network.routes:
        aws.ec2.VpcEndpoint(
            "weights",
            vpc_id=network.vpc,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in network.routes],
            tags={"Name": name},
            opts=opts,
        )
    # Whoever waits for the endpoint waits for the bucket as well.
    endpoint = bucket.id.apply(lambda _: f"https://s3.{region}.amazonaws.com")
    return Store(
        bucket=bucket.bucket,
        endpoint=endpoint,
        filled_at=endpoint,
        region=region,
        reader=_user("reader", f"{name}-reader-{region}", bucket_policy(weights.bucket, READS), opts),
        writer=_user("writer", f"{name}-writer-{region}", bucket_policy(weights.bucket, FILLS, LISTS), opts),
    )


def _user(role: str, name: str, policy: dict[str, object], opts: pulumi.ResourceOptions) -> StoreKeys:
    """A user who may do what the policy says and nothing else, and its key. Its name is one of the whole account."""
    resource = f"weights-{role}"
    user = aws.iam.User(resource, name=short_name(name, USER_NAME_MOST), opts=opts)
    allowed = aws.iam.UserPolicy(resource, user=user.name, policy=json.dumps(policy), opts=opts)
    key = aws.iam.AccessKey(
        resource,
        user=user.name,
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(depends_on=[allowed], additional_secret_outputs=["secret"])
        ),
    )
    return StoreKeys(key.id, pulumi.Output.secret(key.secret))
