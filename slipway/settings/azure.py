"""The section `azure`: servers and node pools at Azure."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

from slipway.settings import base
from slipway.settings.clouds import SEEN as CHECKS_FAILED
from slipway.settings.clouds import CloudSection, LabelName, Login
from slipway.units import GIB, Bytes

Subscription = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Location = Annotated[str, StringConstraints(pattern=r"^[a-z]{3,}[a-z0-9]*$")]
VmSize = Annotated[str, StringConstraints(pattern=r"^Standard_[A-Za-z0-9][A-Za-z0-9_-]{1,60}$")]
IMAGE = (
    r"^([A-Za-z0-9._-]+:){3}[0-9]+(\.[0-9]+){2,3}$"
    r"|^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/"
    r"(images/[^/]+|galleries/[^/]+/images/[^/]+/versions/[0-9]+(\.[0-9]+){2})$"
)
AzureImage = Annotated[str, StringConstraints(pattern=IMAGE)]
AzureZone = Annotated[
    Literal["1", "2", "3"],
    # YAML has a number where there are no quotes.
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    WithJsonSchema({"enum": ["1", "2", "3", 1, 2, 3]}),
]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$")]

IDLE_MOST = 30 * 60
"""seconds that a public address, or a rule of a load balancer, keeps a silent connection at the most
https://learn.microsoft.com/en-us/rest/api/load-balancer/load-balancers/create-or-update"""

SSH_FIRST, SSH_MOST = 50000, 1000
"""port of the first server's SSH at a load balancer, and how many ports from there on are kept for it"""

IMAGE_DISK = 30 * GIB
"""bytes of the disk in Canonical's and Debian's images; a boot disk cannot be smaller"""

ZONES = ("1", "2", "3")
"""of a region that has zones; which machines they are differs from subscription to subscription
https://learn.microsoft.com/en-us/azure/reliability/availability-zones-overview"""


class AzureSettings(CloudSection):
    """Servers and node pools at Azure. Credentials are never here: the SDK reads what `az login` leaves, or ARM_…
    variables."""

    INSTANCE: ClassVar[str] = "vm_size"
    SEEN: ClassVar[int] = CHECKS_FAILED

    subscription: Subscription | None = None
    """Id of the subscription that everything is made in."""
    location: Location | None = None
    """Region of everything, such as swedencentral."""
    zone: AzureZone | None = None
    """Zone of every server or node: 1, 2 or 3; Azure chooses when left out. Not every size is in every zone."""
    vm_size: VmSize | None = None
    """Size of every server or node, such as Standard_NC24ads_A100_v4; what slipway:gpu chooses when left out."""
    image: AzureImage | None = None
    """Image that new servers are born from, with cloud-init in it: publisher:offer:sku:version, such as
    Canonical:ubuntu-24_04-lts:server:24.04.202511100, or the id of an image or of a gallery image's version."""
    user: Login = "slipway"
    """Login, which cloud-init makes, with sudo without a password."""
    disk: Bytes | None = None
    """Boot disk of a server; computed from system, images and weights when left out."""
    disk_type: Literal["Premium_LRS", "StandardSSD_LRS", "Standard_LRS"] = "Premium_LRS"
    """Type of the disks. Premium_LRS loads weights fastest and wants a size with an s, as those with GPUs are."""
    cache: Bytes | None = None
    """A disk of its own for each server's weights, which outlives the server; on the boot disk when left out."""
    cache_retain: bool = False
    """Keep the cache disks, and the resource group that they are in, when the stack is destroyed. They go on to
    cost."""
    ssh_from: tuple[base.Cidr, ...] = ()
    """Addresses that may connect to SSH, as CIDR: those of whoever runs `pulumi up`."""
    clients_from: tuple[base.Cidr, ...] = ("0.0.0.0/0",)
    """Addresses that may connect to the proxy, as CIDR. Behind a load balancer, servers have no address outside."""
    network: base.Cidr = "10.79.0.0/22"
    """The subnet that is made, of servers or nodes. Pods and services of a cluster get ranges of their own."""
    anti_affinity: Literal["availability-set", "zones", "none"] | None = None
    """How several servers are kept apart. availability-set: in as many racks as fault_domains says; Azure takes neither
    spot nor servers with a zone into one. zones: in the region's three zones by turns. When left out, availability-set
    where no zone is said, else none."""
    fault_domains: Literal[2, 3] = 2
    """Racks of an availability set; not every region has 3."""
    accelerated_networking: bool = True
    """Give servers the network's own hardware; sizes with few cores have none."""
    trusted_launch: bool = True
    """Boot with a virtual TPM, and without secure boot: drivers are built on the host. For images or sizes that know
    no trusted launch, write false; Azure's own default is taken then."""
    spot: base.CountOrNone = 0
    """How many servers, the last ones, are spot. Azure may stop those at any time, and starts none again: `az vm start`
    does, if there is room. The others serve on; nothing else steps in."""
    dns_label: DnsLabel | None = None
    """Name of the server, or of the load balancer in front, under <location>.cloudapp.azure.com."""
    kubernetes_tier: Literal["Free", "Standard"] = "Standard"
    """Tier of a cluster's control plane. Standard costs, and has a promise of being there."""
    system_vm_size: VmSize = "Standard_D4s_v5"
    """Size of the one node beside the pool that runs what a cluster needs for itself."""
    labels: dict[LabelName, str] = Field(default={})
    """More tags of everything that takes tags."""
    vm_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_azure_native.compute.VirtualMachine itself, laid over those that Slipway writes."""
    cluster_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_azure_native.containerservice.ManagedCluster itself, laid over those that Slipway writes."""
    pool_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_azure_native.containerservice.AgentPool itself, laid over those that Slipway writes."""

    @property
    def region(self) -> str | None:
        return self.location

    @property
    def apart(self) -> str:
        """How several servers are kept apart."""
        return self.anti_affinity or ("none" if self.zone is not None else "availability-set")

    def domain(self, index: int) -> str | None:
        """The zone of a server, by its number in the stack."""
        return ZONES[index % len(ZONES)] if self.apart == "zones" else self.zone
