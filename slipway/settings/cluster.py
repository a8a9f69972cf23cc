"""The sections of a Kubernetes cluster and of a node pool in it, for `kind: node-pool`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from slipway.models import Sha256
from slipway.settings import base
from slipway.settings.base import Section
from slipway.settings.driver import Profile
from slipway.units import Bytes, Duration, parse_duration

Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Context = Annotated[str, StringConstraints(pattern=r"^\S{1,253}$")]
ClaimPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
KubernetesVersion = Annotated[str, StringConstraints(pattern=r"^1\.[0-9]{2}(\.[0-9]+)?$")]
LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]
GpuLayer = Literal["plugin", "operator", "none"]


class PoolSettings(Section):
    """The node pool that pods with the model run on. With the provider kubernetes: which nodes of the cluster these
    are, by `labels`."""

    nodes: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    """How many nodes."""
    max_nodes: base.Count | None = None
    """Nodes that the cloud's autoscaler may go up to; `nodes` stays as it is when left out."""
    disk: Bytes | None = None
    """Boot disk of a node; computed from system, images and weights when left out."""
    image: str | None = None
    """Version of the node image, by the cloud's own words, where the driver comes with it; the cloud's newest, which
    moves, when left out."""
    labels: dict[LabelKey, LabelValue] = Field(default={})
    """More labels of its nodes."""
    taint: bool = True
    """Keep pods away that ask for no GPU."""


class ScheduledSettings(Section):
    """A time in which there are more pods than the fewest."""

    start: str
    """When it begins, as five fields of cron: "0 8 * * 1-5" is 08:00 from Monday to Friday."""
    end: str
    """When it ends, likewise."""
    zone: str = "UTC"
    """Time zone that both are meant in, such as Europe/Helsinki."""
    pods: base.Count
    """Fewest pods in it."""


class ScalingSettings(Section):
    """How many pods serve, by how many requests wait: a ScaledObject of KEDA, which asks Prometheus."""

    min: base.CountOrNone = 1
    """Fewest pods."""
    max: base.Count
    """Most pods."""
    prometheus: base.HttpUrl
    """Prometheus that has the pods' metrics, as KEDA reaches it."""
    waiting: Annotated[float, Field(gt=0)] | None = None
    """Requests that wait, a pod, above which another is started; what advice says, else 1."""
    kv: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the engines' KV cache in use, above which another is started; what advice says, else it is not asked."""
    first_token: Duration | None = None
    """Time to the first token of 95 in 100 requests, above which another is started; nothing is asked when left out."""
    scheduled: tuple[ScheduledSettings, ...] = ()
    """Times in which there are more pods than `min`, whether or not requests wait."""


class GatewaySettings(Section):
    """A route from a Gateway of the cluster to the pods."""

    name: Namespace
    """The Gateway."""
    namespace: Namespace | None = None
    """Its namespace; that of the pods when left out."""
    hostname: base.Address | None = None
    """Name that clients use; every name of the Gateway when left out."""


class IngressSettings(Section):
    """An Ingress of the cluster, as the way to the pods."""

    controller: Namespace
    """The IngressClass, such as nginx."""
    hostname: base.Address
    """Name that clients use."""
    issuer: Namespace | None = None
    """ClusterIssuer of cert-manager that makes the certificate of that name."""
    secret: Namespace | None = None
    """Secret of type kubernetes.io/tls that has it already."""
    annotations: dict[str, str] = Field(default={})
    """More annotations, over those that Slipway writes. It has to be told by them to speak TLS to the pods, where it is
    another controller than nginx."""


class BatchSettings(Section):
    """A file of requests, as OpenAI's batch API takes it, that an engine of its own answers at low priority."""

    claim: Namespace
    """A PersistentVolumeClaim that holds the requests, and gets the answers."""
    input: ClaimPath
    """The requests: a file in the claim, an object a line."""
    output: ClaimPath
    """The answers: a file in the claim. What is in it already is not asked again."""
    silence: Duration = Field(default=parse_duration("1h"), json_schema_extra={"default": "1h"})
    """Longest wait for one answer."""
    cron: str | None = None
    """When it goes on, as five fields of cron: "0 22 * * *" for every night at ten. It begins at once when left out."""
    zone: str = "UTC"
    """Time zone that cron is meant in, such as Europe/Helsinki."""
    time: Duration | None = None
    """How long it goes on each time; until it is done when left out."""
    queue: Namespace | None = None
    """LocalQueue of Kueue that lets it begin."""


class GpuSharingSettings(Section):
    """How the GPUs of a node are shared among pods."""

    mig: Profile | None = None
    """Profile of MIG that they are cut into, such as 1g.10gb; a pod gets a slice. GPU operators cut them; with the
    device plugin they have to be cut already."""
    time_slices: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Pods that take turns on a GPU. Nothing keeps the memory of one from another."""


class OperatorSettings(Section):
    """NVIDIA's GPU operator, for `gpu_layer: operator`."""

    driver: Literal["release", "image"] = "release"
    """release: it installs the release's driver, on nodes that have none. image: the node image brings one."""
    chart: base.AbsolutePath | None = None
    """Archive of the chart gpu-operator (`helm fetch`), which is installed with the stack; somebody else installs the
    operator when left out, with the values that `slipway render` writes."""
    sha256: Sha256 | None = None
    """SHA-256 of that archive."""
    values: dict[str, Any] = Field(default={})
    """More of the chart's values, over those that Slipway writes."""


class ClusterSettings(Section):
    """The cluster: one that exists (provider kubernetes), or one that a cloud makes."""

    context: Context | None = None
    """Context of the kubeconfig, for a cluster that exists. It is never guessed."""
    kubeconfig: base.AbsolutePath | None = None
    """Path of the kubeconfig; KUBECONFIG or ~/.kube/config when left out."""
    namespace: Namespace | None = None
    """Namespace of everything that serves; slipway-<stack> when left out."""
    version: KubernetesVersion | None = None
    """Version of a cluster that is made, such as 1.33."""
    private: bool = True
    """Keep the API server of a cluster that is made off the internet, as far as the cloud can."""
    api_from: tuple[base.Cidr, ...] = ()
    """Addresses that may reach the API server of a cluster that is made, as CIDR: those of whoever runs `pulumi up`."""
    gpu_layer: GpuLayer = "plugin"
    """plugin: the node image brings the driver, and NVIDIA's device plugin and DCGM exporter are installed. operator:
    NVIDIA's GPU operator does it all. none: the cluster has what it needs, as one that exists has when this is left
    out."""
    gpu_sharing: GpuSharingSettings = GpuSharingSettings()
    operator: OperatorSettings = OperatorSettings()
    replicas: base.Count | None = None
    """Pods that serve, or groups of nodes_per_replica pods; as many as fit the pool's nodes when left out."""
    nodes_per_replica: base.Count = 1
    """Nodes that one replica is spread over, for a model that one has too few GPUs for: engine.tensor_parallel GPUs of
    each. Needs the LeaderWorkerSet controller."""
    apart: bool = False
    """Never two of them on one node, so that no node takes two along; otherwise they are spread as far as there is
    room."""
    images: dict[Label, base.ImageReference] = Field(default={})
    """Where the cluster pulls the release's images from that are built from recipes, by name: push them to a registry
    of yours."""
    claim: Namespace | None = None
    """A PersistentVolumeClaim that all pods may mount, to keep the model in; each pod fetches it when left out."""
    cpus: base.Count | None = None
    """CPUs that one pod asks for; engine.threads, or 1 a pod on CPUs and 4 a GPU, when left out."""
    memory: Bytes | None = None
    """Memory that one pod asks for; computed from the model when left out."""
    scaling: ScalingSettings | None = None
    """Scale the pods; their number stays as it is when left out."""
    batch: BatchSettings | None = None
    prefetch: bool = False
    """Put the images on every node of the pool ahead of pods, and the model into its claim."""
    spares: base.CountOrNone = 0
    """Places for one more pod each that are held free by pods which give way at once."""
    gateway: GatewaySettings | None = None
    """Route to the pods through a Gateway."""
    ingress: IngressSettings | None = None
    """Route to the pods through an Ingress, where there is no Gateway."""
    clients: tuple[dict[LabelKey, LabelValue], ...] = ({},)
    """Labels of namespaces whose pods may connect; one without labels stands for every namespace."""
    clients_from: tuple[base.Cidr, ...] = ()
    """Addresses that may connect besides, as CIDR: those of a load balancer that keeps its clients' addresses."""
    monitoring: Namespace | None = None
    """Namespace of a Prometheus operator: the pods are scraped and watched; neither when left out."""
