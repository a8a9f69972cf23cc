"""What goes together in a release, as rules over its record."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.errors import Problem
from slipway.releases.records import TOOLKIT_PACKAGES, GpuStack, Release

NEEDED_IMAGES = ("proxy", "collector")

CUDA_NEEDS_BRANCH = {11: 450, 12: 525, 13: 580}
"""oldest driver branch by CUDA major.
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"""

OPEN_MODULES_FROM = 515
"""first branch with open kernel modules that NVIDIA supports on data-centre GPUs.
https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/kernel-modules.html"""


def check_release(release: Release) -> tuple[Problem, ...]:
    """Every inconsistency of a release; empty when it is sound."""
    return (*_images(release), *_duplicates(release), *(_gpu(release, release.gpu) if release.gpu else ()))


def _images(release: Release) -> Iterator[Problem]:
    for name in NEEDED_IMAGES:
        if name not in release.images:
            yield Problem(f"images.{name}", "every release needs this image and it is missing", f"Add [images.{name}]")
    if not any(name.startswith("engine-") for name in release.images):
        yield Problem("images", "there is no engine image", "Add one, such as [images.engine-llama-cpp]")
    for name, pin in sorted(release.images.items()):
        if (pin.reference is None) == (pin.build is None):
            fix = 'Keep `reference = "repository@sha256:…"` or `build = "recipe"`'
            yield Problem(
                f"images.{name}", "an image has either a reference or a recipe, and this has both or none", fix
            )


def _duplicates(release: Release) -> Iterator[Problem]:
    for name in sorted({name for name in release.packages if release.packages.count(name) > 1}):
        yield Problem("packages", f"{name} is listed twice", "Keep one")


def _gpu(release: Release, gpu: GpuStack) -> Iterator[Problem]:
    if gpu.driver.split(".")[0] != gpu.branch:
        yield Problem("gpu.branch", f"driver {gpu.driver} is not of branch {gpu.branch}", "Make the two agree")
    major = int(gpu.cuda.split(".")[0])
    needed = CUDA_NEEDS_BRANCH.get(major)
    if needed is None:
        known = ", ".join(map(str, CUDA_NEEDS_BRANCH))
        yield Problem("gpu.cuda", f"CUDA {major} is none of the known majors {known}", "Add its rule first")
    elif int(gpu.branch) < needed:
        what = f"CUDA {gpu.cuda} needs driver branch {needed} or newer, and the driver is of {gpu.branch}"
        yield Problem("gpu.cuda", what, f"Pin a driver of branch {needed} or newer, or an older CUDA")
    if gpu.modules == "open" and int(gpu.branch) < OPEN_MODULES_FROM:
        what = f"open modules come with branch {OPEN_MODULES_FROM} and newer, and the driver is of {gpu.branch}"
        yield Problem("gpu.modules", what, 'Use modules = "proprietary"')
    if gpu.fabric_manager is not None and gpu.fabric_manager != gpu.driver:
        what = f"fabric manager {gpu.fabric_manager} is not the driver's exact version {gpu.driver}"
        yield Problem("gpu.fabric_manager", what, f'Write fabric_manager = "{gpu.driver}"')
    if tuple(sorted(gpu.toolkit.packages)) != TOOLKIT_PACKAGES:
        fix = "List exactly " + ", ".join(TOOLKIT_PACKAGES)
        yield Problem("gpu.toolkit.packages", "a toolkit is four packages at one version", fix)
    if release.kernel is None:
        yield Problem("kernel", "a driver is built for one kernel, and none is pinned", 'Add kernel = "…" (`uname -r`)')
    for name, pin in sorted(release.images.items()):
        if pin.reference is None:
            fix = 'Write reference = "repository@sha256:…"'
            yield Problem(f"images.{name}", "a GPU release takes its images by digest", fix)
