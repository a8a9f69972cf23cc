"""What a GPU release asks of one host: the value on the wire, from the release, its lock and the GPUs planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from slipway.desired import ExpectedGpus, GpuDesired, Package
from slipway.errors import PlanError
from slipway.gpus import Gpu
from slipway.releases.compatibility import docker_with_toolkit, gpu_with_driver, gpu_with_modules, knows_cdi
from slipway.releases.names import Source, headers
from slipway.releases.records import Lock, Release
from slipway.releases.sources import paragraph

DOCKER = ("docker.io", "docker-ce")
"""packages of Docker's daemon, by Debian and by Docker"""


@dataclass(frozen=True)
class GpuWish:
    """What a stack wants of its GPUs besides the release: the fields of `slipway:driver`."""

    mode: Literal["pin", "adopt", "none"] = "pin"
    mig: str | None = None
    ecc: bool | None = None
    power_limit: int | None = None
    sources: tuple[str, ...] = ()
    key: str | None = None
    key_fingerprint: str | None = None


AS_RELEASED = GpuWish()


def gpu_desired(
    release: Release, lock: Lock, wish: GpuWish = AS_RELEASED, *, count: int | None, gpu: Gpu | None
) -> GpuDesired | None:
    """The GPU stack of a host that has `count` GPUs of the kind `gpu`, as far as either is known; None without GPUs.

    Raises `PlanError` when the release's driver or its modules are not for that GPU, its Docker cannot give GPUs to
    containers, or the GPU cannot be cut as wished.
    """
    stack, source = release.gpu, release.gpu_source
    if stack is None or source is None or count == 0 or wish.mode == "none":
        return None
    docker = next((lock.packages[name] for name in DOCKER if name in lock.packages), None)
    wrong = docker_with_toolkit(docker, stack.toolkit.version)
    if gpu is not None:
        wrong = (*wrong, *gpu_with_driver(gpu, stack.driver), *gpu_with_modules(gpu, stack.modules))
    if wrong:
        what = "; ".join(problem.what for problem in wrong)
        raise PlanError(what, where=f"release {release.name}", fix=wrong[0].fix)
    slices = gpu.mig.get(wish.mig) if gpu is not None and wish.mig is not None else None
    if wish.mig is not None and slices is None:
        what = f"how many slices of {wish.mig} a GPU of these hosts gives is not known"
        raise PlanError(what, where="slipway:driver.mig", fix="Write a profile of a GPU that slipway/gpus.toml has")
    sources = tuple(map(paragraph, wish.sources))
    return GpuDesired(
        mode=wish.mode,
        archive=stack.archive,
        driver=stack.driver,
        branch=stack.branch,
        modules=stack.modules,
        cuda=stack.cuda,
        toolkit=stack.toolkit.version,
        packages=_packages(lock.gpu),
        nvswitch_packages=_packages(lock.nvswitch),
        nvlink5_packages=_packages(lock.nvlink5),
        sources=sources or lock.sources or (source.paragraph,),
        **_key(wish, lock, source),
        headers=headers(release.os[0], release.architecture, release.kernel),
        expected=ExpectedGpus(
            count=count,
            name=gpu.name if gpu else None,
            compute_capability=gpu.compute_capability if gpu else None,
            memory_mib=gpu.memory_mib if gpu else None,
        ),
        devices="cdi" if knows_cdi(docker) else "runtime",
        mig=wish.mig,
        mig_slices=slices.count if slices else None,
        ecc=wish.ecc,
        power_limit=wish.power_limit,
    )


def _key(wish: GpuWish, lock: Lock, source: Source) -> dict[str, str]:
    """The key of the archives: of the stack's own, else of those that the lock was made from, else NVIDIA's."""
    if wish.sources:
        return {"key": wish.key or "", "key_fingerprint": wish.key_fingerprint or ""}
    # Archives of one's own are signed by a key of one's own, and it is the lock that pins it.
    return {"key": lock.key, "key_fingerprint": lock.key_fingerprint if lock.sources else source.key_fingerprint}


def _packages(group: Mapping[str, str]) -> tuple[Package, ...]:
    return tuple(Package(name=name, version=version) for name, version in sorted(group.items()))
