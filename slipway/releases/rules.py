"""What goes together in a release, as rules over its record."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.errors import Problem, ReleaseError
from slipway.releases.compatibility import cuda_with_driver, fabric_with_driver, modules_with_driver
from slipway.releases.records import TOOLKIT_PACKAGES, GpuStack, Release

NEEDED_IMAGES = ("proxy", "collector")


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
        ways = [way for way in ("reference", "build", "repository") if getattr(pin, way) is not None]
        if len(ways) != 1:
            fix = 'Keep `reference = "repository@sha256:…"`, `build = "recipe"`, or `repository` with `version`'
            has = " and ".join(ways) or "nothing"
            yield Problem(f"images.{name}", f"an image comes from one place, and this has {has}", fix)
        elif (pin.repository is None) != (pin.version is None):
            yield Problem(f"images.{name}", "a repository goes with a version", "Write both, or neither")


def _duplicates(release: Release) -> Iterator[Problem]:
    for name in sorted({name for name in release.packages if release.packages.count(name) > 1}):
        yield Problem("packages", f"{name} is listed twice", "Keep one")


def _gpu(release: Release, gpu: GpuStack) -> Iterator[Problem]:
    if gpu.driver.split(".")[0] != gpu.branch:
        yield Problem("gpu.branch", f"driver {gpu.driver} is not of branch {gpu.branch}", "Make the two agree")
    yield from cuda_with_driver(gpu.cuda, gpu.branch)
    yield from modules_with_driver(gpu.modules, gpu.branch)
    if gpu.fabric_manager is not None:
        yield from fabric_with_driver(gpu.fabric_manager, gpu.driver)
    if tuple(sorted(gpu.toolkit.packages)) != TOOLKIT_PACKAGES:
        fix = "List exactly " + ", ".join(TOOLKIT_PACKAGES)
        yield Problem("gpu.toolkit.packages", "a toolkit is four packages at one version", fix)
    if len(release.os) != 1:
        yield Problem("os", "names and versions of a driver's packages differ by system", "Make a release of each")
    try:
        names = release.gpu_names
    except ReleaseError as error:
        yield Problem("gpu.archive", error.what, error.fix)
    else:
        if names is not None and gpu.fabric_manager is not None and not names.nvswitch:
            what = f"the archive {gpu.archive} has no fabric manager"
            yield Problem("gpu.fabric_manager", what, "Leave it out, or use NVIDIA's archive")
    for name, pin in sorted(release.images.items()):
        if not name.startswith("engine-"):
            continue
        if pin.build is not None:
            fix = 'Write reference = "repository@sha256:…", or repository and version'
            yield Problem(f"images.{name}", "a GPU release takes its engines from a registry, by digest", fix)
        if pin.cuda is not None:
            yield from cuda_with_driver(pin.cuda, gpu.driver, f"images.{name}.cuda")
