"""The sections of clouds: where hosts are made, and what of a cloud's own is set for them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from slipway.settings import base
from slipway.settings.base import Section
from slipway.units import Bytes

CHECK_SECONDS = 5
"""between two health checks of a load balancer, and how long it waits for the answer of one"""
CHECK_MISSES = 2
"""failed checks after which a host gets no more connections"""
SEEN = CHECK_SECONDS * (CHECK_MISSES + 1)
"""seconds in which a load balancer has surely seen that a host is not ready: the check may just have passed"""

Zone = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}-[a-z]{3}[0-9]$")]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,}-[0-9]{1,2}$")]
ServerPlan = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
TemplateId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$")]
Login = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,31}$")]


class CloudSection(Section):
    """What the section of every cloud has, so that nothing else asks which cloud it is."""

    INSTANCE: ClassVar[str]
    """the field that names the type of a server, by the cloud's own word: a plan, an instance type, a size"""
    SEEN: ClassVar[int]
    """seconds in which its load balancer has surely seen that a host is not ready"""

    zone: str | None = None
    """Zone of everything; servers in it fail together."""
    load_balancer: Literal["auto", "always", "never"] = "auto"
    """auto: in front of several servers."""

    @property
    def instance(self) -> str | None:
        """Type of the servers; None where `slipway:gpu` is to choose it."""
        found: str | None = getattr(self, self.INSTANCE)
        return found

    @property
    def region(self) -> str | None:
        """The region by the name that price lists have."""
        return self.zone

    def domain(self, index: int) -> str | None:  # noqa: ARG002 - where each server may have a zone of its own
        """What the server of that number in the stack fails together with."""
        return self.zone


class UpCloudSettings(CloudSection):
    """Servers at UpCloud. The token is never here: the SDK reads UPCLOUD_TOKEN."""

    INSTANCE: ClassVar[str] = "plan"
    SEEN: ClassVar[int] = SEEN

    zone: Zone | None = None
    """Zone of everything; `upctl zone list` lists them."""
    plan: ServerPlan | None = None
    """Plan of every server, such as GPU-8xCPU-64GB-1xL40S; what slipway:gpu chooses when left out."""
    template: TemplateId | None = None
    """UUID of the OS template that new servers are born from; that of the release's OS when left out."""
    user: Login = "root"
    """Login; anyone but root needs sudo without a password."""
    disk: Bytes | None = None
    """Boot disk of a server; computed from system, images and weights when left out."""
    disk_tier: Literal["maxiops", "standard", "hdd"] = "maxiops"
    """Tier of the disks; maxiops loads weights fastest."""
    encrypt: bool = True
    """Encrypt the disks at rest."""
    cache: Bytes | None = None
    """A disk of its own for each server's weights, which outlives the server; on the boot disk when left out."""
    cache_retain: bool = False
    """Keep the cache disks when the stack is destroyed. They go on to cost."""
    ssh_from: tuple[base.Cidr, ...] = ()
    """Addresses that may connect to SSH, as CIDR: those of whoever runs `pulumi up`."""
    clients_from: tuple[base.Cidr, ...] = ("0.0.0.0/0",)
    """Addresses that may connect to the proxy, as CIDR. Behind a load balancer, no server is open to clients."""
    network: base.Cidr = "10.77.0.0/24"
    """Private network of the servers and of the load balancer."""
    anti_affinity: Literal["strict", "best-effort", "none"] = "best-effort"
    """Whether several servers are kept on different machines of the cloud."""
    load_balancer_plan: ServerPlan = "production-small"
    """Plan of the load balancer; `upctl loadbalancer plans` lists them."""
    load_balancer_sessions: Annotated[int, Field(strict=True, ge=1, le=500_000)] | None = None
    """Connections that the load balancer opens to one server at once; what runs and waits there when left out."""
    floating_ip: bool = False
    """Give the load balancer an address that outlives it."""
    weights_region: Region | None = None
    """Region of the object storage that slipway:weights makes, such as europe-1; `upctl object-storage regions` lists
    them, each with its zones."""
    weights_public: bool = False
    """Let the bucket of slipway:weights be reached over the internet as well, with its keys, to fill it from there."""
    labels: dict[LabelName, str] = Field(default={})
    """More labels of everything that takes labels."""
    server_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_upcloud.Server itself, laid over those that Slipway writes."""
    kubernetes_plan: ServerPlan = "prod-md"
    """Plan of the control plane of a cluster; `upctl kubernetes plans` lists them."""
    system_plan: ServerPlan = "2xCPU-4GB"
    """Plan of the one node beside a pool of GPUs that runs what a cluster needs for itself."""
    cluster_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_upcloud.KubernetesCluster itself, laid over those that Slipway writes."""
    pool_args: dict[str, Any] = Field(default={})
    """Arguments of pulumi_upcloud.KubernetesNodeGroup itself, laid over those that Slipway writes."""
