"""The shape of a plan: all that the edges need to know before any machine exists, decided.

Sizes are bytes, durations seconds, unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from slipway.cluster_types import BatchPlan, GpuLayerPlan, IngressPlan, ScheduledPlan
from slipway.desired import Drain, HealthGate, HostDesired, Image, ModelFile, Window
from slipway.limits import Limits

CONTAINER_UID = 65532
"""uid and gid of every container: the `nonroot` of distroless images"""


@dataclass(frozen=True)
class ReplicaPlan:
    """One engine process: its loopback port and the GPUs it owns (empty on CPU)."""

    index: int
    port: int
    gpus: tuple[int, ...] = ()
    slice: int | None = None
    """which slice of its GPU, where MIG cuts that; None for whole GPUs"""

    @property
    def devices(self) -> tuple[str, ...]:
        """Its GPUs, or its slice of one, as NVIDIA's toolkit names them to containers."""
        piece = "" if self.slice is None else f":{self.slice}"
        return tuple(f"{gpu}{piece}" for gpu in self.gpus)

    @property
    def unit(self) -> str:
        return f"slipway-engine-{self.index}.service"

    @property
    def container(self) -> str:
        return f"slipway-engine-{self.index}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class EnginePlan:
    """What runs the model. `argv` follows the image's entrypoint and holds `{port}` where the replica's port goes."""

    name: str
    image: Image
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    gpus_per_replica: int = 0
    shm_bytes: int = 67_108_864
    stop_seconds: int = 30
    health_path: str = "/health"
    metrics_path: str = "/metrics"
    writable: tuple[str, ...] = ()
    """absolute paths inside the container that need a tmpfs besides /tmp"""
    metrics: dict[str, str] = field(default_factory=dict)
    """our name of a figure (running, waiting, kv_cache, …) to the engine's own metric"""
    worker_argv: tuple[str, ...] = ()
    """more arguments on all nodes of a replica but the first, which serves"""

    def argv_for(self, replica: ReplicaPlan) -> tuple[str, ...]:
        return tuple(argument.replace("{port}", str(replica.port)) for argument in self.argv)

    def worker_argv_for(self, replica: ReplicaPlan) -> tuple[str, ...]:
        return (*self.argv_for(replica), *self.worker_argv)


@dataclass(frozen=True)
class ProxyPlan:
    """The queueing proxy. A request waits for one of `concurrency` places a replica, or is told when to come again."""

    image: Image
    port: int = 8443
    metrics_port: int = 8404
    concurrency: int = 4
    """requests at once, a replica"""
    queue: int = 32
    """requests that may wait, over all replicas; the next one gets 429"""
    queue_seconds: int = 15
    """longest wait in the queue; then 503"""
    retry_after_seconds: int = 5
    connect_seconds: int = 5
    client_seconds: int = 60
    stream_seconds: int = 300
    """longest silence of an engine before its first or next token"""
    key_requests: int | None = None
    """requests a minute that one key may make; None for as many as there are places"""


@dataclass(frozen=True)
class CollectorPlan:
    """The logging sidecar."""

    image: Image
    prometheus_port: int = 9464
    health_port: int = 13133
    memory_mib: int = 256
    otlp_endpoint: str | None = None


@dataclass(frozen=True)
class HostPlan:
    """One host of the plan. `address` is None where a provider decides it."""

    name: str
    wave: int
    address: str | None = None
    ssh_port: int = 22
    ssh_user: str = "root"
    host_key: str | None = None
    domain: str | None = None
    """what it fails together with: a zone, a rack; None where nobody said"""


@dataclass(frozen=True)
class WavePlan:
    """Hosts that change together, all of one failure domain, and the bake time (seconds) of the gate behind them."""

    index: int
    hosts: tuple[str, ...]
    bake_seconds: float
    domain: str | None = None
    spare: int = 0
    """hosts of other waves that may be out of service while this one changes"""


@dataclass(frozen=True)
class ScalingPlan:
    """When an autoscaler should start another replica, as advice says. In a cluster the scaler does; on hosts nothing
    acts on it, and whoever brings one finds its thresholds."""

    waiting: float
    """requests that wait, a replica, above which another is started"""
    kv: float
    """share of the KV cache in use, above which another is started"""
    cold_start: float
    """seconds from that decision until the replica serves, on a machine that is booted and has the model's files"""


@dataclass(frozen=True)
class Taint:
    """Keeps pods off a node that do not tolerate it. `effect` is Kubernetes' word, such as NoSchedule."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class PoolPlan:
    """Nodes of one kind, all made from one release and one node image.

    What would need other nodes gives it another name, so that a change makes a new pool beside the old.
    """

    name: str
    """a DNS label of at most 40 characters: the stack's name and `generation`"""
    generation: str
    """8 hex digits that stand for everything the nodes are made from"""
    nodes: int
    max_nodes: int
    """equal to `nodes` where nothing scales it"""
    gpus: int
    """of one node; 0 serves from the CPU"""
    gpu: str | None
    """a name of `gpus.toml`, where it is known"""
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    driver: Literal["image", "operator"]
    """who brings the driver: the node image, or NVIDIA's operator to nodes that have none"""
    image: str | None = None
    """version of the node image; None leaves it to the cloud"""


@dataclass(frozen=True)
class PodPlan:
    """One pod that serves: an engine, with the proxy and the collector beside it."""

    settle_seconds: int
    """from the drain until nobody sends new requests"""
    drain_seconds: int
    """that open requests get after that"""
    grace_seconds: int
    """all that a pod gets to end"""
    startup_seconds: int
    """until the engine answers"""
    probe_seconds: int
    """between two probes while it starts"""
    cpus: int
    memory_bytes: int
    storage_bytes: int
    """on the node's own disk, for the model; 0 where a claim holds it"""
    claim: str | None
    """PersistentVolumeClaim that holds the model"""
    surge: bool
    """whether a change starts a pod before it stops one"""


@dataclass(frozen=True)
class ScalerPlan:
    """Bounds and threshold of a scaler that asks Prometheus how many requests wait."""

    least: int
    most: int
    prometheus: str
    waiting: float
    """requests that wait, a pod"""
    cold_start: int
    """seconds until a new pod serves"""
    scheduled: tuple[ScheduledPlan, ...] = ()
    kv: float | None = None
    """share of the KV cache in use, above which another is started; None asks nobody"""
    first_token: float | None = None
    """seconds to the first token at p95, above which another is started; None asks nobody"""


@dataclass(frozen=True)
class RoutePlan:
    """A route from a Gateway."""

    gateway: str
    namespace: str | None
    hostname: str | None


@dataclass(frozen=True)
class ClusterPlan:
    """Where pods run: a cluster that exists (`context` is its name in the kubeconfig), or one that a cloud makes."""

    name: str
    """of every object in `namespace`"""
    namespace: str
    pool: PoolPlan
    pod: PodPlan
    node_selector: dict[str, str]
    replicas: int
    """pods that serve, or groups of them"""
    gpu_layer: Literal["plugin", "operator", "none"]
    context: str | None = None
    kubeconfig: str | None = None
    version: str | None = None
    private: bool = True
    api_from: tuple[str, ...] = ()
    scaler: ScalerPlan | None = None
    route: RoutePlan | None = None
    ingress: IngressPlan | None = None
    clients: tuple[dict[str, str], ...] = ({},)
    """labels of namespaces whose pods may connect"""
    clients_from: tuple[str, ...] = ()
    """addresses that may connect, as CIDR"""
    monitoring: str | None = None
    """namespace of the Prometheus operator that scrapes the pods"""
    gpu: GpuLayerPlan | None = None
    """what the stack installs of it"""
    batch: BatchPlan | None = None
    prefetch: bool = False
    """whether images, and a model in a claim, are put on every node ahead of pods"""
    spares: int = 0
    """places for pods that serve which are held free"""
    apart: bool = False
    """whether no node may have two pods that serve"""
    nodes_per_replica: int = 1
    """pods, each on GPUs of a node, that make up a replica; the first one serves"""
    weights: bool = False
    """whether the model is in the bucket that the stack makes: where that is, a Secret says, with the keys to it"""

    @property
    def pods(self) -> int:
        return self.replicas * self.nodes_per_replica

    @property
    def hostname(self) -> str | None:
        """What clients outside of the cluster call it."""
        way = self.ingress or self.route
        return way.hostname if way is not None else None

    @property
    def fetchers(self) -> tuple[str, ...]:
        """Names of pods besides those that serve, by app.kubernetes.io/name, that fetch the model."""
        return (
            *(("slipway-worker",) if self.nodes_per_replica > 1 else ()),
            *(("slipway-batch",) if self.batch is not None else ()),
            *(("slipway-prefetch",) if self.prefetch and self.pod.claim is not None else ()),
        )

    @property
    def workload(self) -> tuple[str, str, str]:
        """API version, kind and name of what keeps the pods that serve. The controller of a LeaderWorkerSet makes a
        Service of its name, which cannot be that of the Service for clients."""
        if self.nodes_per_replica > 1:
            return "leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", f"{self.name}-group"
        return "apps/v1", "Deployment", self.name


@dataclass(frozen=True)
class Plan:
    stack: str
    provider: str
    release: str
    model_name: str
    """the id clients ask for"""
    model: ModelFile
    context: int
    """tokens a request may hold, prompt and answer together"""
    engine: EnginePlan
    replicas: tuple[ReplicaPlan, ...]
    proxy: ProxyPlan
    collector: CollectorPlan
    host: HostDesired
    hosts: tuple[HostPlan, ...]
    waves: tuple[WavePlan, ...]
    gate: HealthGate
    drain: Drain
    scaling: ScalingPlan | None = None
    """None where no advice was asked for"""
    windows: tuple[Window, ...] = ()
    """when a host may go to another release; at any time where there are none"""
    limits: Limits = Limits()  # noqa: RUF009 - it is frozen
    """past which the gate behind a wave stays shut"""
    model_region: str = "us-east-1"
    """region of a model in S3 that exists"""
    cluster: ClusterPlan | None = None
    """where pods serve in place of hosts, of which there are none then; `replicas` is what one pod holds"""
