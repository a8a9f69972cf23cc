"""What a release file and its lock hold.

`releases/<name>.toml` says what people decided: the top packages, the driver, the images. `<name>.lock.toml` says what
that resolved to: every package at one exact version. Both are read strictly; an unknown key is refused.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slipway.desired import Runtime
from slipway.releases.names import Architecture, Archive, Modules, Names, Source, package_names, source

TOOLKIT_PACKAGES = (
    "libnvidia-container-tools",
    "libnvidia-container1",
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
)
"""one toolkit is these four, always at one version; apt mixes them when only the first is pinned"""

PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
PackageVersion = Annotated[str, StringConstraints(pattern=r"^([0-9]+:)?[0-9][A-Za-z0-9.+~-]*$")]
ImageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
CudaVersion = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
ImageReference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$")]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ImagePin(Record):
    """A container image: pulled by digest (`reference`), pulled from `repository` by the digest that the lock has, or
    built from the recipe of that name (`build`)."""

    reference: ImageReference | None = None
    build: str | None = None
    repository: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*$")] | None = None
    version: str | None = None
    """the tag that `repository` is meant by; only the digest is ever pulled"""
    cuda: CudaVersion | None = None
    """CUDA inside the image, where it computes on GPUs"""


class Toolkit(Record):
    """The NVIDIA container toolkit: four packages at one version."""

    version: PackageVersion
    packages: tuple[PackageName, ...] = TOOLKIT_PACKAGES


class GpuStack(Record):
    """Everything of NVIDIA's on a host. Versions are NVIDIA's own: the driver's is "580.126.20", CUDA's "13.0".

    Names of packages are not listed: `slipway.releases.names` derives them.
    """

    driver: Annotated[str, StringConstraints(pattern=r"^[0-9]{3}\.[0-9]+(\.[0-9]+)?$")]
    branch: Annotated[str, StringConstraints(pattern=r"^[0-9]{3}$")]
    modules: Modules
    cuda: CudaVersion
    toolkit: Toolkit
    fabric_manager: str | None = None
    """the driver's exact version, where hosts with NVSwitch can be served; the packages go on those only"""
    archive: Archive


class Release(Record):
    """A named, tested set of pins."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    summary: str
    os: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]+:[0-9.]+$")], ...] = Field(min_length=1)
    """`id:version_id` of /etc/os-release; the first one is what new machines get"""
    architecture: Architecture = "amd64"
    kernel: str | None = None
    """`uname -r`; None where the kernel is not ours to choose (a container shares its machine's, a cloud's image brings
    its own), and modules are built for the one that runs"""
    runtime: Runtime = "docker"
    packages: tuple[PackageName, ...] = Field(min_length=1)
    """the packages asked for; what apt adds to them is in the lock"""
    images: dict[ImageName, ImagePin]
    gpu: GpuStack | None = None

    @property
    def gpu_names(self) -> Names | None:
        """Names of NVIDIA's packages; None for CPUs."""
        if self.gpu is None:
            return None
        return package_names(self.gpu.archive, self.os[0], self.gpu.driver, self.gpu.modules, self.gpu.cuda)

    @property
    def gpu_source(self) -> Source | None:
        """Where NVIDIA's packages come from; None for CPUs."""
        return source(self.gpu.archive, self.os[0], self.architecture) if self.gpu is not None else None


class Lock(Record):
    """What a release resolved to."""

    release: str
    fingerprint: Digest
    """of the release's pins when the lock was made; another one means that the lock is stale"""
    packages: dict[PackageName, PackageVersion]
    gpu: dict[PackageName, PackageVersion] = {}
    """what the driver, the toolkit and the monitoring add to `packages`"""
    nvswitch: dict[PackageName, PackageVersion] = {}
    """what hosts with NVSwitch get besides"""
    nvlink5: dict[PackageName, PackageVersion] = {}
    """what hosts with fifth-generation NVLink get besides that"""
    sources: tuple[str, ...] = ()
    """deb822 paragraphs that `gpu` was resolved from, where not from the release's own"""
    key: str = ""
    """public key of those archives, ASCII-armoured"""
    key_fingerprint: str = ""
    """of it, 40 hex digits"""
    images: dict[ImageName, Digest] = {}
    """digests: of images that recipes build, where they are pinned as well, and of those pulled from a repository"""
