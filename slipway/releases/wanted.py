"""What a GPU release asks of one host: the value on the wire, from the release, its lock and the GPUs planned."""

from __future__ import annotations

from collections.abc import Mapping

from slipway.desired import ExpectedGpus, GpuDesired, Package
from slipway.errors import PlanError
from slipway.gpus import Gpu
from slipway.releases.compatibility import gpu_with_driver, gpu_with_modules
from slipway.releases.names import headers
from slipway.releases.records import Lock, Release


def gpu_desired(release: Release, lock: Lock, *, count: int | None, gpu: Gpu | None) -> GpuDesired | None:
    """The GPU stack of a host that has `count` GPUs of the kind `gpu`, as far as either is known; None without GPUs.

    Raises `PlanError` when the release's driver or its modules are not for that GPU.
    """
    stack, source = release.gpu, release.gpu_source
    if stack is None or source is None or count == 0:
        return None
    if gpu is not None:
        wrong = (*gpu_with_driver(gpu, stack.driver), *gpu_with_modules(gpu, stack.modules))
        if wrong:
            what = "; ".join(problem.what for problem in wrong)
            raise PlanError(what, where=f"release {release.name}", fix=wrong[0].fix)
    return GpuDesired(
        archive=stack.archive,
        driver=stack.driver,
        branch=stack.branch,
        modules=stack.modules,
        cuda=stack.cuda,
        toolkit=stack.toolkit.version,
        packages=_packages(lock.gpu),
        nvswitch_packages=_packages(lock.nvswitch),
        nvlink5_packages=_packages(lock.nvlink5),
        sources=lock.sources or (source.paragraph,),
        key=lock.key,
        # Archives of one's own are signed by a key of one's own, and it is the lock that pins it.
        key_fingerprint=lock.key_fingerprint if lock.sources else source.key_fingerprint,
        headers=headers(release.os[0], release.architecture, release.kernel),
        expected=ExpectedGpus(
            count=count,
            compute_capability=gpu.compute_capability if gpu else None,
            memory_mib=gpu.memory_mib if gpu else None,
        ),
    )


def _packages(group: Mapping[str, str]) -> tuple[Package, ...]:
    return tuple(Package(name=name, version=version) for name, version in sorted(group.items()))
