"""The section `gcp`: servers and node pools at Google Cloud."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from slipway.settings import base
from slipway.settings.clouds import SEEN as CHECKS_FAILED
from slipway.settings.clouds import CloudSection, Login
from slipway.units import Bytes

Project = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$")]
GcpZone = Annotated[str, StringConstraints(pattern=r"^[a-z]+-[a-z]+[0-9]{1,2}-[a-z]$")]
MachineType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{1,7}(-[a-z0-9]+)+$")]
Accelerator = Annotated[str, StringConstraints(pattern=r"^nvidia-[a-z0-9-]{1,56}$")]
GcpImage = Annotated[
    str, StringConstraints(pattern=r"^projects/[a-z][a-z0-9.:-]{1,62}/global/images/[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")
]
GcpLabelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
GcpLabelValue = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{0,63}$")]

HYPERDISK_ONLY = ("a4-", "a4x-", "a3-ultragpu-", "g4-", "c4-", "c4a-", "c4d-", "n4-", "n4a-", "n4d-")
"""machines that take no persistent disk
https://cloud.google.com/compute/docs/accelerator-optimized-machines
https://cloud.google.com/compute/docs/general-purpose-machines"""
NOT_ON_DEMAND = ("a3-highgpu-1g", "a3-highgpu-2g", "a3-highgpu-4g", "a3-ultragpu-", "a4-", "a4x-")
"""machines that are started as spot, for a reservation, or when their turn has come, and not when they are asked for
https://cloud.google.com/compute/docs/accelerator-optimized-machines"""
OWN_GPUS = {
    "a2-highgpu-": "nvidia-tesla-a100",
    "a2-megagpu-": "nvidia-tesla-a100",
    "a2-ultragpu-": "nvidia-a100-80gb",
    "a3-highgpu-": "nvidia-h100-80gb",
    "a3-edgegpu-": "nvidia-h100-80gb",
    "a3-megagpu-": "nvidia-h100-mega-80gb",
    "a3-ultragpu-": "nvidia-h200-141gb",
    "a4-highgpu-": "nvidia-b200",
    "g2-standard-": "nvidia-l4",
    "g4-standard-": "nvidia-rtx-pro-6000",
}
"""machines that have GPUs of their own, and which https://cloud.google.com/compute/docs/gpus"""


class GcpSettings(CloudSection):
    """Servers and node pools at Google Cloud. Credentials are never here: the SDK reads what `gcloud` leaves as
    application default credentials, or GOOGLE_CREDENTIALS."""

    INSTANCE: ClassVar[str] = "machine_type"
    SEEN: ClassVar[int] = CHECKS_FAILED

    project: Project | None = None
    """Id of the project that everything is made in."""
    zone: GcpZone | None = None
    """Zone of every server and node, such as europe-west4-a. Its region is that of everything else."""
    machine_type: MachineType | None = None
    """Type of every server or node, such as g2-standard-8; what slipway:gpu chooses when left out."""
    accelerator: Accelerator | None = None
    """GPU that is added to a machine of type n1, such as nvidia-tesla-t4, as often as engine.gpus says. Types with
    GPUs of their own need it only where Slipway does not know them."""
    image: GcpImage | None = None
    """Image that new servers are born from, with cloud-init in it, such as
    projects/ubuntu-os-cloud/global/images/ubuntu-2404-noble-amd64-v20261015."""
    user: Login = "slipway"
    """Login, which the image's guest agent makes, with sudo without a password."""
    disk: Bytes | None = None
    """Boot disk of a server; computed from system, images and weights when left out."""
    disk_type: Literal["pd-balanced", "pd-ssd", "hyperdisk-balanced"] | None = None
    """Type of the disks; hyperdisk-balanced for machines that take no other, else pd-ssd, when left out."""
    cache: Bytes | None = None
    """A disk of its own for each server's weights, which outlives the server; on the boot disk when left out."""
    cache_retain: bool = False
    """Keep the cache disks when the stack is destroyed. They go on to cost."""
    ssh_from: tuple[base.Cidr, ...] = ()
    """Addresses that may connect to SSH, as CIDR: those of whoever runs `pulumi up`."""
    clients_from: tuple[base.Cidr, ...] = ("0.0.0.0/0",)
    """Addresses that may connect to the proxy, as CIDR. Behind a load balancer, only through that."""
    network: base.Cidr = "10.78.0.0/22"
    """The subnet that is made, of servers or nodes. Pods and services of a cluster get ranges of their own."""
    anti_affinity: Literal["spread", "none"] = "spread"
    """Whether several servers are kept on different machines of the cloud, in up to 8 groups."""
    spot: base.CountOrNone = 0
    """How many servers, the last ones, are spot. Google may stop those at any time, and the next `pulumi up` starts
    them again, if there is room; the others serve on. Nothing else steps in."""
    release_channel: Literal["STABLE", "REGULAR", "EXTENDED"] = "REGULAR"
    """Channel by which Google upgrades the control plane and the cluster's own node. The pool's nodes keep their
    version until its support ends."""
    system_machine_type: MachineType = "e2-standard-4"
    """Type of the one node beside the pool that runs what a cluster needs for itself."""
    labels: dict[GcpLabelName, GcpLabelValue] = Field(default={})
    """More labels of everything that takes labels."""
    instance_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_gcp.compute.Instance itself, laid over those that Slipway writes."""
    cluster_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_gcp.container.Cluster itself, laid over those that Slipway writes."""
    pool_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_gcp.container.NodePool itself, laid over those that Slipway writes."""

    @property
    def region(self) -> str | None:
        return self.zone.rsplit("-", 1)[0] if self.zone is not None else None

    @property
    def disks(self) -> str:
        """The type of the disks."""
        only = (self.machine_type or "").startswith(HYPERDISK_ONLY)
        return self.disk_type or ("hyperdisk-balanced" if only else "pd-ssd")

    @property
    def gpu(self) -> str | None:
        """The GPU of a machine, in Google's words, in use or not; None where none is known."""
        kind = self.machine_type or ""
        own = (gpu for prefix, gpu in OWN_GPUS.items() if kind.startswith(prefix))
        return self.accelerator or next(own, None)
