"""Rules about the section of AWS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator

from slipway.settings import cloud_findings
from slipway.settings.finding import Finding
from slipway.settings.resolving import balanced, driver_from
from slipway.settings.sections import Settings
from slipway.units import GIB

AWS = "aws"

DISK = (8 * GIB, 16384 * GIB)
"""bytes: what an image of Debian's or Ubuntu's needs, and the most of a gp3 volume
https://docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html"""

SPREAD = 7
"""servers of a spread placement group in one zone
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/placement-strategies.html"""

RESERVED, BALANCER = 5, 8
"""addresses of a subnet that AWS keeps, and that a load balancer wants free
https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html"""
POD_ADDRESSES = 64
"""addresses of the nodes' subnet a node, taken by its network plugin ahead of pods; an assumption on the safe side"""
LARGEST = 16
"""bits of the largest VPC"""
IDLE_MOST = 6000
"""seconds that a network load balancer keeps a silent connection at the most
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html"""

OWNED = {
    "instance_type": "slipway:aws.instance_type",
    "key_name": "",
    "user_data": "",
    "user_data_base64": "",
    "metadata_options": "",
    "subnet_id": "slipway:aws.subnets",
    "availability_zone": "slipway:aws.zone",
    "vpc_security_group_ids": "slipway:aws.ssh_from and clients_from",
    "associate_public_ip_address": "",
    "instance_market_options": "slipway:aws.spot",
    "placement_group": "slipway:aws.anti_affinity",
}
OWNED_POOL = {
    "cluster_name": "",
    "node_group_name": "",
    "instance_types": "slipway:aws.instance_type",
    "release_version": "slipway:pool.image",
    "labels": "slipway:pool.labels",
    "taints": "slipway:pool.taint",
    "scaling_config": "slipway:pool.nodes and max_nodes",
    "launch_template": "slipway:pool.disk",
    "subnet_ids": "slipway:aws.subnets",
}
OWNED_CLUSTER = {
    "name": "",
    "version": "slipway:cluster.version",
    "vpc_config": "slipway:cluster.private and api_from, and slipway:aws.subnets",
}

OF_HOSTS = (
    "image", "user", "disk", "cache", "cache_retain", "ssh_from", "clients_from", "anti_affinity", "static_address",
    "spot", "load_balancer", "instance_args",
)  # fmt: skip
OF_POOLS = ("second_zone", "system_instance_type", "cluster_args", "pool_args")


def section(settings: Settings) -> Iterator[Finding]:
    yield from cloud_findings.elsewhere(settings, AWS, "AWS")
    if settings.provider != AWS:
        return
    chosen, provider_used = settings.aws, (("provider",),)
    if chosen.zone is None:
        fix = "Add zone, such as eu-north-1a; `aws ec2 describe-availability-zones` lists those of a region"
        yield Finding((AWS, "zone"), "the provider aws needs the availability zone of its servers", fix, provider_used)
    if settings.kind == "host" and chosen.image is None:
        fix = (
            "Add image, such as what `aws ec2 describe-images --owners 136693071363 --filters "
            "Name=name,Values='debian-12-amd64-*' --query 'sort_by(Images,&CreationDate)[-1].ImageId'` prints for "
            "Debian 12, or --owners 099720109477 and 'ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*'"
        )
        what = "the provider aws needs the AMI of its servers, which differs from region to region"
        yield Finding((AWS, "image"), what, fix, (("provider",), ("kind",)))
    yield from cloud_findings.unreachable(settings, AWS)
    yield from cloud_findings.instance(settings, AWS, "type")
    yield from cloud_findings.disks(settings, AWS, *DISK)
    yield from cloud_findings.settles(settings, AWS)
    for field, owners in (("instance_args", OWNED), ("cluster_args", OWNED_CLUSTER), ("pool_args", OWNED_POOL)):
        yield from cloud_findings.owned(settings, AWS, field, owners)
    yield from cloud_findings.only_of(settings, AWS, "host", OF_HOSTS)
    yield from cloud_findings.only_of(settings, AWS, "node-pool", OF_POOLS)


def network(settings: Settings) -> Iterator[Finding]:
    chosen, cluster = settings.aws, settings.kind == "node-pool"
    if settings.provider != AWS:
        return
    if (chosen.vpc is None) != (not chosen.subnets):
        missing = "subnets" if chosen.vpc is not None else "vpc"
        what = f"a network that exists is its vpc and its subnets, and {missing} is missing"
        yield Finding((AWS, missing), what, "Write both, or neither: a network is made then", ((AWS, "vpc"),))
        return
    if chosen.vpc is None:
        needed = settings.hosts.count + RESERVED + BALANCER
        if cluster:
            # Its subnets are quarters of the network.
            needed = 4 * (max(settings.pool.nodes, settings.pool.max_nodes or 0) * POD_ADDRESSES + RESERVED)
        yield from cloud_findings.private_network(settings, AWS, "network", needed)
        if ipaddress.ip_network(chosen.network).prefixlen < LARGEST:
            what = f"{chosen.network} is larger than a VPC can be"
            yield Finding((AWS, "network"), what, f"Write one of /{LARGEST} or smaller")
        yield from _second_zone(settings)
        return
    if "network" in chosen.model_fields_set:
        what = "this is a network that is made, and vpc names one that exists"
        yield Finding((AWS, "network"), what, "Take it out", ((AWS, "vpc"),))
    if chosen.second_zone is not None:
        what = "this is of a network that is made, and vpc names one that exists"
        yield Finding((AWS, "second_zone"), what, "Take it out", ((AWS, "vpc"),))
    if not cluster and len(chosen.subnets) > 1:
        what = "servers are in one subnet, that of zone"
        yield Finding((AWS, "subnets"), what, "Leave one there", (("kind",),))
    if cluster and len(chosen.subnets) < 2:
        what = "EKS wants subnets in two zones, and this is one"
        yield Finding((AWS, "subnets"), what, "Add one of another zone; nodes go into the first", (("kind",),))


def _second_zone(settings: Settings) -> Iterator[Finding]:
    chosen, where = settings.aws, (AWS, "second_zone")
    used = (("kind",), (AWS, "zone"))
    if settings.kind != "node-pool" or chosen.zone is None:
        return
    if chosen.second_zone is None:
        fix = "Add second_zone, another zone of the region, or the subnets of a network that exists"
        yield Finding(where, "EKS wants subnets in two zones, and only zone is said", fix, used)
    elif chosen.second_zone == chosen.zone or chosen.second_zone[:-1] != chosen.region:
        what = f"{chosen.second_zone} is no other zone of {chosen.region}"
        yield Finding(where, what, f"Write another zone of {chosen.region}", used)


def servers(settings: Settings) -> Iterator[Finding]:
    chosen, count = settings.aws, settings.hosts.count
    if settings.provider != AWS or settings.kind != "host":
        return
    yield from cloud_findings.spot(settings, AWS)
    if chosen.anti_affinity == "spread" and count > SPREAD:
        what = f"{count} servers are more than the {SPREAD} that a zone keeps on racks of their own"
        yield Finding((AWS, "anti_affinity"), what, "Write partition", (("hosts", "count"),))
    proxy = settings.proxy
    silence = proxy.queue_timeout + proxy.stream_timeout
    if balanced(settings) and silence + 60 > IDLE_MOST:
        what = f"a load balancer at AWS ends connections that are silent for {IDLE_MOST} s"
        fix = "Lower it, so that with queue_timeout it is a minute less than that"
        yield Finding(("proxy", "stream_timeout"), what, fix, (("proxy", "queue_timeout"), (AWS, "load_balancer")))


def cluster(settings: Settings) -> Iterator[Finding]:
    chosen, pool = settings.cluster, settings.pool
    if settings.provider != AWS or settings.kind != "node-pool":
        return
    kind = (("kind",),)
    if chosen.version is None:
        fix = 'Add version, such as "1.33"; `aws eks describe-cluster-versions` lists them'
        yield Finding(("cluster", "version"), "the version of a cluster at AWS is not said", fix, kind)
    elif chosen.version.count(".") != 1:
        what = f"EKS chooses the patch of a version itself, and this is {chosen.version}"
        yield Finding(("cluster", "version"), what, f'Write "{".".join(chosen.version.split(".")[:2])}"', kind)
    elif pool.image is not None and re.fullmatch(rf"{re.escape(chosen.version)}\.\d+-\d{{8}}", pool.image) is None:
        what = f"{pool.image} is no release of a node image for Kubernetes {chosen.version}"
        fix = (
            f"Write one such as {chosen.version}.4-20251120; https://github.com/awslabs/amazon-eks-ami/releases "
            "lists them, and which driver each has"
        )
        yield Finding(("pool", "image"), what, fix, (("cluster", "version"),))
    if settings.engine.gpus and driver_from(settings) == "operator":
        what = "EKS's node images bring a driver, and NVIDIA's operator installs none on Amazon Linux"
        fix = "Write gpu_layer: plugin, or operator.driver: image, and pin the image as slipway:pool.image"
        yield Finding(("cluster", "gpu_layer"), what, fix, (("engine", "gpus"), *kind))


RULES: tuple[Callable[[Settings], Iterator[Finding]], ...] = (section, network, servers, cluster)
