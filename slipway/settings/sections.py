"""The sections of a stack file. A field's docstring is its description in the JSON Schema that editors show."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from slipway.desired import HostKeyPolicy
from slipway.limits import Limits
from slipway.models import Sha256, SourceText
from slipway.offers import Offer
from slipway.settings import base
from slipway.settings.aws import AwsSettings
from slipway.settings.azure import AzureSettings
from slipway.settings.base import Section
from slipway.settings.clouds import UpCloudSettings
from slipway.settings.cluster import ClusterSettings, PoolSettings
from slipway.settings.driver import DriverSettings
from slipway.settings.gcp import GcpSettings
from slipway.settings.weights import WeightsSettings
from slipway.units import Bytes, Duration, HostsOrPercent, parse_bytes, parse_duration
from slipway.workload import Workload

Provider = Literal["local", "ssh", "upcloud", "aws", "gcp", "azure", "kubernetes"]
EngineName = Literal["llama.cpp", "vllm", "sglang", "custom"]
MachineKind = Literal["auto", "nspawn", "qemu-kvm", "qemu-tcg"]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]
EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
LinuxUser = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
EngineVersion = Annotated[str, StringConstraints(pattern=r"^v?[0-9]+(\.[0-9]+){0,3}(\.x)?$")]
KvDtype = Literal["auto", "bf16", "fp16", "fp8", "nvfp4", "q8_0", "q4_0"]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Wave = HostsOrPercent
ErrorShare = Annotated[str, StringConstraints(pattern=r"^(100|[0-9]{1,2}(\.[0-9]+)?)%$")]
Ratio = Annotated[float, Field(ge=1)]


def _seconds(text: str) -> Any:
    """A default duration; the schema shows it as people write it."""
    return Field(default=parse_duration(text), json_schema_extra={"default": text})


def _bytes(text: str) -> Any:
    """A default size; the schema shows it as people write it."""
    return Field(default=parse_bytes(text), json_schema_extra={"default": text})


class ModelSettings(Section):
    """The model. One of the catalogue needs its name only."""

    name: Name
    """The id that clients ask for. A name of the catalogue brings source, sha256, size and context along."""
    source: SourceText | None = None
    """Where the file comes from: https://, hf://, s3://, file:/// or pypi:."""
    sha256: Sha256 | None = None
    """SHA-256 of the file, 64 hex digits."""
    size: Bytes | None = None
    """Exact size of the file."""
    context: base.Count | None = None
    """Tokens that one request may hold, prompt and answer together."""
    architecture: Name | None = None
    """Repository id of a model of the same architecture, for `gpu`, where the name itself is not in the catalogue."""
    endpoint: base.HttpUrl | None = None
    """Base URL in place of the source's public one: a mirror, or a store that speaks S3."""
    region: Name = "us-east-1"
    """Region that requests to an s3:// source are signed for."""


class EngineSettings(Section):
    """What runs the model."""

    name: EngineName = "llama.cpp"
    """The engine."""
    replicas: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Engine processes on each host."""
    tensor_parallel: base.Count = 1
    """GPUs that one replica spreads the model over."""
    gpus: base.CountOrNone = 0
    """GPUs of one host; 0 serves from the CPU."""
    threads: base.Count | None = None
    """CPU threads of one replica; the engine's own default when left out."""
    memory_fraction: Annotated[float, Field(ge=0.1, le=0.98)] | None = None
    """Share of a GPU's total memory that vLLM (default 0.90) or SGLang (default 0.85) takes."""
    kv_dtype: KvDtype = "auto"
    """Type of the KV cache; auto is the model's own. llama.cpp takes q8_0 and q4_0, and not fp8 or nvfp4."""
    max_batched_tokens: base.Count | None = None
    """Tokens that one step of vLLM or SGLang works on at most; the engine's own default when left out."""
    version: EngineVersion | None = None
    """Version of the engine, by which its memory is computed; the newest that Slipway knows when left out."""
    shm: Bytes | None = None
    """Size of /dev/shm in the container; by default what the engine needs."""
    args: tuple[base.Argument, ...] = ()
    """More arguments, one an item, after those that Slipway writes."""
    env: dict[EnvName, str] = Field(default={})
    """More environment variables."""
    image: base.ImageReference | None = None
    """Image of a custom engine, by digest."""
    health_path: base.UrlPath | None = None
    """Where a custom engine answers 200 once it can serve; /health by default."""
    metrics_path: base.UrlPath | None = None
    """Where a custom engine exposes Prometheus metrics; /metrics by default."""


class ProxySettings(Section):
    """The queueing proxy in front of the engines."""

    port: base.Port = 8443
    """TLS port that clients use."""
    concurrency: Annotated[int, Field(strict=True, ge=1, le=4096)] = 4
    """Requests that one replica serves at once."""
    queue: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 32
    """Requests that may wait, over all replicas of a host; the next one is answered 429."""
    queue_timeout: Duration = _seconds("15s")
    """Longest wait in the queue; then 503."""
    stream_timeout: Duration = _seconds("5m")
    """Longest silence of an engine, before its first token or between two."""
    retry_after: Duration = _seconds("5s")
    """What Retry-After says with a 429 or 503; whole seconds."""
    key_requests: base.Count | None = None
    """Requests a minute that one key may make of one proxy (a host, a pod); the next one is answered 429. No limit
    when left out."""


class HostsSettings(Section):
    """The hosts that Slipway makes (every provider but ssh, whose inventory says which there are)."""

    count: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    """How many."""
    renew: tuple[base.HostName, ...] = ()
    """Names of those that take a new image or first-boot script, for which they are made anew. Others keep theirs."""


class LocalSettings(Section):
    """Machines booted beside the one who runs `pulumi up`."""

    machine: MachineKind = "auto"
    """A VM where KVM really works, else a system container, else an emulated VM."""
    cpus: Annotated[int, Field(strict=True, ge=1, le=256)] = 2
    """CPUs of one machine."""
    memory: Bytes = _bytes("2GiB")
    """Memory of one machine."""
    disk: Bytes = _bytes("10GiB")
    """Disk of one machine."""


class InventoryHost(Section):
    """One host that exists already."""

    name: base.HostName
    """Its name in plans, messages and outputs."""
    address: base.Address
    """IP address or DNS name."""
    port: base.Port = 22
    """Port of its SSH server."""
    user: LinuxUser | None = None
    """Login, when it is not the one of slipway:ssh.user."""
    host_key: base.HostKey | None = None
    """Its public key, as `ssh-keyscan` prints it without the address."""
    domain: Label | None = None
    """What it fails together with, such as a rack or a room. A roll-out finishes one domain before the next."""


class SshSettings(Section):
    """Hosts that exist already and are reached over SSH."""

    user: LinuxUser = "root"
    """Login; anyone but root needs sudo without a password."""
    host_key_policy: HostKeyPolicy = "pinned"
    """pinned: only the keys written here. accept-new: pin the key seen first, refuse another later."""
    inventory: tuple[InventoryHost, ...] = ()
    """The hosts."""


class ArchiveSettings(Section):
    """An image in a file, for hosts that reach no registry."""

    path: base.AbsolutePath
    """Archive beside the one who runs `pulumi up`, as `docker save` writes it."""
    sha256: Sha256
    """SHA-256 of the archive."""
    image_id: Digest
    """Id of the image in it: the digest of its configuration."""


class ContainerSettings(Section):
    """The container runtime of every host."""

    log_max_size: Bytes = _bytes("50MB")
    """A container's log is rotated at this size."""
    log_max_files: Annotated[int, Field(strict=True, ge=1, le=100)] = 3
    """Rotated logs kept, the current one included."""
    registry_mirrors: tuple[base.HttpUrl, ...] = ()
    """Mirrors that are asked before Docker Hub."""
    apt_sources: tuple[str, ...] = ()
    """One-line `deb` entries or deb822 paragraphs in place of the host's own."""
    archives: dict[str, ArchiveSettings] = Field(default={})
    """Images of the release to take from files, by the image's name in the release."""


class CollectorSettings(Section):
    """The log and metrics sidecar."""

    otlp_endpoint: base.HttpUrl | None = None
    """Where logs and metrics are sent over OTLP; nothing leaves the host when left out."""
    memory: Bytes = _bytes("256MiB")
    """Above it the sidecar drops data instead of growing."""


class WindowSettings(Section):
    """A time in which hosts may go to another release, model or image."""

    cron: str
    """When it opens, as five fields of cron: "0 2 * * 1-5" is 02:00 from Monday to Friday."""
    duration: Duration
    """How long it is open, from "1m" to "7d"."""
    zone: str = "UTC"
    """Time zone that cron is meant in, such as Europe/Helsinki."""


class LimitsSettings(Section):
    """What the gate behind a wave takes for a regression. Times are multiples of what they were before."""

    errors: ErrorShare = f"{Limits.errors:.0%}"
    """Share of requests that may fail."""
    latency: Ratio = Limits.latency
    """Mean time of a whole request."""
    first_token: Ratio = Limits.first_token
    """Mean time to the first token, and of the proxy to the first byte."""
    per_token: Ratio = Limits.per_token
    """Mean time of each further token."""
    min_requests: Annotated[int, Field(strict=True, ge=1)] = Limits.min_requests
    """Fewer requests in the bake time say nothing."""


class RolloutSettings(Section):
    """How a change goes through the fleet."""

    canary: Annotated[int, Field(strict=True, ge=0)] = 1
    """Hosts of the first wave; 0 for none."""
    wave: Wave = "25%"
    """Hosts of each later wave: a number, or a share of the fleet, rounded up."""
    bake: Duration = _seconds("2m")
    """How long the gate behind a wave watches errors and latency before the next one starts."""
    limits: LimitsSettings = LimitsSettings()
    """What keeps the gate shut."""
    max_unavailable: Wave | None = None
    """Most hosts out of service at once; it caps every wave, and hosts that are out for other reasons count. A share is
    rounded down, to one host at least."""
    windows: tuple[WindowSettings, ...] = ()
    """Times in which hosts may go to another release, model or image; at any time when left out. A first install, drift
    and an update that has begun do not wait."""


class DrainSettings(Section):
    """How a host lets go of its traffic before anything on it stops."""

    settle: Duration = _seconds("0s")
    """How long load balancers in front need to see that the host is not ready; 0 where there are none. When left out
    and a cloud's load balancer is made, as long as that one needs."""
    deadline: Duration = _seconds("1m")
    """How long open requests may go on."""


class GateSettings(Section):
    """Deadlines of the health gate; each is computed from the model's size when left out."""

    health: Duration | None = None
    """Until the engine answers its health check."""
    completion: Duration | None = None
    """Until the first completion is there."""


class Secret(Section):
    """A value that Pulumi encrypted. Only the Pulumi program sees what it holds."""

    secure: str
    """Written by `pulumi config set --secret`."""


def _model_by_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class OwnOffer(Offer):
    """What can be had elsewhere than in the shipped price list, or at another price."""

    source: str = "slipway:offers"
    """Where the figures come from."""
    date: str = ""
    """When they were read, as YYYY-MM-DD or YYYY-MM."""


def _names(value: object) -> object:
    return (value,) if isinstance(value, str) else value


GpuNames = Annotated[tuple[Name, ...], BeforeValidator(_names)]
NamedModel = Annotated[ModelSettings, BeforeValidator(_model_by_name)]


class Settings(Section):
    """Everything under `slipway:` in one stack file."""

    provider: Provider
    """Where the hosts come from."""
    kind: Literal["host", "node-pool"] = "host"
    """Hosts that Slipway converges over SSH, or a node pool of a Kubernetes cluster."""
    release: Name
    """The tested set of pins; `slipway releases` lists them."""
    model: NamedModel
    """The model: a name of the catalogue, or a section."""
    gpu: GpuNames | None = None
    """`auto`, or names of GPUs that will do. What advice chooses fills in what this file leaves open about engine,
    proxy and hosts; without it nothing is chosen."""
    workload: Workload | None = None
    """What the model is to do, for how many, how fast; advice sizes for this, and says what it had to assume."""
    offers: tuple[OwnOffer, ...] = ()
    """Your own instances and prices, beside the shipped ones. For the provider ssh: what each host of it is."""
    engine: EngineSettings = EngineSettings()
    proxy: ProxySettings = ProxySettings()
    hosts: HostsSettings = HostsSettings()
    local: LocalSettings = LocalSettings()
    ssh: SshSettings = SshSettings()
    upcloud: UpCloudSettings = UpCloudSettings()
    aws: AwsSettings = AwsSettings()
    gcp: GcpSettings = GcpSettings()
    azure: AzureSettings = AzureSettings()
    cluster: ClusterSettings = ClusterSettings()
    pool: PoolSettings = PoolSettings()
    weights: WeightsSettings | None = None
    """A bucket for the model's file, made with the stack."""
    container: ContainerSettings = ContainerSettings()
    collector: CollectorSettings = CollectorSettings()
    driver: DriverSettings = DriverSettings()
    rollout: RolloutSettings = RolloutSettings()
    drain: DrainSettings = DrainSettings()
    gate: GateSettings = GateSettings()
    api_key: Secret | None = Field(default=None, repr=False)
    """Key that clients send; one is generated when left out."""
    ssh_private_key: Secret | None = Field(default=None, repr=False)
    """Key that opens the hosts of the provider ssh; the stack's own key when left out."""
    model_token: Secret | None = Field(default=None, repr=False)
    """Bearer token of a private `hf://` or `https://` model source."""
    model_access_key: Secret | None = Field(default=None, repr=False)
    """Access key of a private `s3://` model source."""
    model_secret_key: Secret | None = Field(default=None, repr=False)
    """Secret key of a private `s3://` model source."""
