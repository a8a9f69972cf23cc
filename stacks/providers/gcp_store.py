"""Google's object storage: a bucket for weights, a key that reads it, and a key that fills it.

Both are HMAC keys of service accounts that may do nothing else, with which the storage is asked as S3 is.
https://cloud.google.com/storage/docs/interoperability
"""

from __future__ import annotations

import pulumi
from pulumi_gcp import serviceaccount, storage

from slipway.pools import dns_label
from slipway.settings.weights import WeightsSettings
from stacks.providers import HostsArgs, Store, StoreKeys
from stacks.providers.gcp_network import labels_of
from stacks.providers.shared import short_name

ENDPOINT = "https://storage.googleapis.com"
REGION = "auto"
"""that requests are signed for, wherever the bucket is"""

READS, FILLS = "roles/storage.legacyObjectReader", "roles/storage.objectUser"
"""the first one reads objects and does not list them, as the newer objectViewer would
https://cloud.google.com/storage/docs/access-control/iam-roles"""

MOST_ACCOUNT = 30
"""characters of an account's id"""


def store(args: HostsArgs, weights: WeightsSettings, opts: pulumi.ResourceOptions) -> Store:
    """Make it in the region of the hosts, which read it there; what it costs grows with what is in it."""
    chosen = args.settings.gcp
    bucket = storage.Bucket(
        "weights",
        project=chosen.project,
        name=weights.bucket,
        location=(chosen.region or "").upper(),
        storage_class="STANDARD",
        uniform_bucket_level_access=True,
        public_access_prevention="enforced",
        # With everything in it, where it does not stay.
        force_destroy=not weights.retain,
        labels=labels_of(args),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=weights.retain)),
    )
    return Store(
        bucket=bucket.name,
        endpoint=ENDPOINT,
        filled_at=ENDPOINT,
        region=REGION,
        reader=_account(args, bucket, "reader", READS, opts),
        writer=_account(args, bucket, "writer", FILLS, opts),
    )


def _account(args: HostsArgs, bucket: storage.Bucket, name: str, role: str, opts: pulumi.ResourceOptions) -> StoreKeys:
    """A service account that has one role at the bucket, and a key of it that is given out once it has."""
    label, project = f"weights-{name}", args.settings.gcp.project
    account = serviceaccount.Account(
        label,
        project=project,
        account_id=f"{short_name(dns_label(args.plan.stack), MOST_ACCOUNT - len(name) - 1)}-{name}",
        display_name=f"slipway {args.plan.stack} {name} of weights",
        opts=opts,
    )
    granted = storage.BucketIAMMember(
        label, bucket=bucket.name, role=role, member=pulumi.Output.concat("serviceAccount:", account.email), opts=opts
    )
    key = storage.HmacKey(
        label,
        project=project,
        service_account_email=account.email,
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(depends_on=[granted], additional_secret_outputs=["secret"])
        ),
    )
    return StoreKeys(key.access_id, pulumi.Output.secret(key.secret))
