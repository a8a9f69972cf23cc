"""What a release file and its lock hold.

`releases/<name>.toml` says what people decided: the top packages, the driver, the images. `<name>.lock.toml` says what
that resolved to: every package at one exact version. Both are read strictly; an unknown key is refused.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slipway.desired import Runtime

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
ImageReference = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}$")]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class ImagePin(Record):
    """A container image: pulled by digest (`reference`), or built from the recipe of that name (`build`)."""

    reference: ImageReference | None = None
    build: str | None = None


class Toolkit(Record):
    """The NVIDIA container toolkit: four packages at one version."""

    version: PackageVersion
    packages: tuple[PackageName, ...] = TOOLKIT_PACKAGES


class GpuStack(Record):
    """Everything of NVIDIA's on a host. Versions are NVIDIA's own: the driver's is "580.126.20", CUDA's "13.0"."""

    driver: Annotated[str, StringConstraints(pattern=r"^[0-9]{3}\.[0-9]+(\.[0-9]+)?$")]
    branch: Annotated[str, StringConstraints(pattern=r"^[0-9]{3}$")]
    modules: Literal["open", "proprietary"]
    cuda: Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
    toolkit: Toolkit
    fabric_manager: str | None = None
    """set where the GPUs sit behind NVSwitch; then it is the driver's exact version"""
    packages: tuple[PackageName, ...]
    """the driver's packages; their names depend on archive and branch"""
    archive: Literal["debian", "ubuntu", "nvidia"]


class Release(Record):
    """A named, tested set of pins."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    summary: str
    os: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z]+:[0-9.]+$")], ...] = Field(min_length=1)
    """`id:version_id` of /etc/os-release; the first one is what new machines get"""
    architecture: Literal["amd64", "arm64"] = "amd64"
    kernel: str | None = None
    """`uname -r`; None where the kernel is not ours to choose (a container shares its machine's)"""
    runtime: Runtime = "docker"
    packages: tuple[PackageName, ...] = Field(min_length=1)
    """the packages asked for; what apt adds to them is in the lock"""
    images: dict[ImageName, ImagePin]
    gpu: GpuStack | None = None


class Lock(Record):
    """What a release resolved to."""

    release: str
    fingerprint: Digest
    """of the release's pins when the lock was made; another one means that the lock is stale"""
    packages: dict[PackageName, PackageVersion]
    images: dict[ImageName, Digest] = {}
    """digests of images that recipes build, where they are pinned as well"""
