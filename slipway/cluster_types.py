"""Parts of a cluster's plan that not every cluster has. Sizes are bytes, durations seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from slipway.desired import Image


@dataclass(frozen=True)
class OperatorPlan:
    """NVIDIA's GPU operator. Without a chart, somebody else installs it, with the values that are rendered."""

    driver: str | None
    """version that it installs; None where the node image brings one"""
    modules: str
    """open or proprietary"""
    chart: str | None = None
    """path of the chart's archive"""
    sha256: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    """more of the chart's values, over those that Slipway writes"""


@dataclass(frozen=True)
class GpuLayerPlan:
    """What makes the GPUs of nodes something that pods can ask for. It is in a namespace of its own, because it sees
    more of a node than pods that serve may."""

    namespace: str
    device_plugin: Image | None = None
    dcgm_exporter: Image | None = None
    operator: OperatorPlan | None = None
    mig: str | None = None
    """profile that GPUs are cut into"""
    time_slices: int = 1
    """pods that take turns on a GPU"""

    @property
    def mig_strategy(self) -> Literal["none", "single"]:
        """single: a slice is asked for as a GPU is.
        https://docs.nvidia.com/datacenter/cloud-native/kubernetes/latest/index.html"""
        return "single" if self.mig else "none"

    @property
    def config(self) -> dict[str, Any] | None:
        """The device plugin's configuration, where it is another than its own.
        https://github.com/NVIDIA/k8s-device-plugin#shared-access-to-gpus"""
        if self.time_slices == 1:
            return None
        resources = [{"name": "nvidia.com/gpu", "replicas": self.time_slices}]
        return {"version": "v1", "sharing": {"timeSlicing": {"resources": resources}}}


@dataclass(frozen=True)
class BatchPlan:
    """A file of requests that is answered by an engine of its own, when nobody needs the GPUs."""

    image: Image
    """has python3"""
    claim: str
    """PersistentVolumeClaim that holds the files"""
    input: str
    """path in the claim"""
    output: str
    silence_seconds: int
    """until an answer that does not come is given up"""
    cron: str | None = None
    """when it goes on; None begins at once, and goes on until it is done"""
    zone: str = "UTC"
    seconds: int | None = None
    """that it goes on each time"""
    queue: str | None = None
    """LocalQueue of Kueue"""


@dataclass(frozen=True)
class ScheduledPlan:
    """At least so many pods between two times."""

    start: str
    """five fields of cron"""
    end: str
    zone: str
    pods: int


@dataclass(frozen=True)
class IngressPlan:
    """A way in by an Ingress."""

    controller: str
    """the IngressClass"""
    hostname: str
    secret: str
    """with the certificate of `hostname`"""
    annotations: dict[str, str]
