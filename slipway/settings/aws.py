"""The section `aws`: servers and node pools at AWS."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from slipway.settings import base
from slipway.settings.clouds import SEEN as CHECKS_FAILED
from slipway.settings.clouds import CloudSection, LabelName, Login
from slipway.units import Bytes

AvailabilityZone = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$")]
InstanceType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$")]
ImageId = Annotated[str, StringConstraints(pattern=r"^ami-[0-9a-f]{8,17}$")]
VpcId = Annotated[str, StringConstraints(pattern=r"^vpc-[0-9a-f]{8,17}$")]
SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]


class AwsSettings(CloudSection):
    """Servers and node pools at AWS. Credentials are never here: the SDK reads what the `aws` command reads."""

    INSTANCE: ClassVar[str] = "instance_type"
    # Its nodes act on a failed check when they hear of it, which AWS states no time for: as long again is assumed.
    SEEN: ClassVar[int] = 2 * CHECKS_FAILED

    zone: AvailabilityZone | None = None
    """Availability zone of every server and node, such as eu-north-1a. Its region is that of everything."""
    second_zone: AvailabilityZone | None = None
    """Another zone of that region, for a second address of a cluster's API server, which EKS demands. No node is there.
    """
    instance_type: InstanceType | None = None
    """Type of every server or node, such as g6e.xlarge; what slipway:gpu chooses when left out."""
    system_instance_type: InstanceType = "m7i.large"
    """Type of the one node without a GPU that a cluster runs its own pods on, where slipway:pool.taint keeps them off
    the others."""
    image: ImageId | None = None
    """AMI that new servers are born from, of the release's OS, in that region."""
    user: Login = "root"
    """Login; anyone but root needs sudo without a password."""
    disk: Bytes | None = None
    """Boot disk of a server; computed from system, images and weights when left out."""
    disk_throughput: Annotated[int, Field(strict=True, ge=125, le=1000)] = 500
    """MiB a second of each disk (gp3), by which weights are loaded; above 125 costs extra."""
    encrypt: bool = True
    """Encrypt the disks at rest, with the account's key for EBS."""
    cache: Bytes | None = None
    """A disk of its own for each server's weights, which outlives the server; on the boot disk when left out."""
    cache_retain: bool = False
    """Keep the cache disks when the stack is destroyed. They go on to cost."""
    ssh_from: tuple[base.Cidr, ...] = ()
    """Addresses that may connect to SSH, as CIDR: those of whoever runs `pulumi up`."""
    clients_from: tuple[base.Cidr, ...] = ("0.0.0.0/0",)
    """Addresses that may connect to the proxy, as CIDR. Behind a load balancer, no server is open to clients."""
    network: base.Cidr = "10.77.0.0/16"
    """The VPC that is made. A cluster's pods take addresses of it, dozens a node."""
    vpc: VpcId | None = None
    """A VPC that exists, with subnets of its own; one is made when left out."""
    subnets: tuple[SubnetId, ...] = ()
    """Subnets of that VPC: for servers one, in zone, with a way to the internet; for a cluster two or more, in two
    zones, of which the first is for nodes."""
    anti_affinity: Literal["partition", "spread", "none"] = "partition"
    """How several new servers are kept apart: in up to 7 partitions that share no rack, or each on a rack of its own, 7
    at the most. One that is there stays where it is."""
    static_address: bool = False
    """An address (Elastic IP) that outlives a stop: of each server, or of the load balancer in front."""
    spot: base.CountOrNone = 0
    """How many servers, the last ones, are spot. AWS may stop those at any time and starts them again when it can; the
    others serve on. Nothing else steps in."""
    labels: dict[LabelName, str] = Field(default={})
    """More tags of everything that takes tags."""
    instance_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_aws.ec2.Instance itself, laid over those that Slipway writes."""
    cluster_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_aws.eks.Cluster itself, laid over those that Slipway writes."""
    pool_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_aws.eks.NodeGroup itself, laid over those that Slipway writes."""

    @property
    def region(self) -> str | None:
        return self.zone[:-1] if self.zone is not None else None
