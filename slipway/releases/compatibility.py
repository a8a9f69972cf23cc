"""What goes together: CUDA, drivers, GPUs and kernel modules. Rules over values; what breaks one is a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from slipway.errors import Problem
from slipway.gpus import Gpu

CUDA_NEEDS_BRANCH = {11: 450, 12: 525, 13: 580}
"""oldest driver branch by CUDA major; any minor of a major runs, except for code that is compiled when it starts.
https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html"""

OPEN_MODULES_FROM = 515
"""first branch with open kernel modules that NVIDIA supports on data-centre GPUs.
https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/kernel-modules.html"""

PROPRIETARY_MODULES_UNTIL = 615
"""last branch that has proprietary modules: "Proprietary Kernel Modules Removed", chapter 4.1 of
https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/620/pdf/Driver_Installation_Guide.pdf, which the
guide of 615 does not have"""

FIRST_BRANCH = {"blackwell": 570, "hopper": 520, "ada": 520, "ampere": 450, "turing": 410, "volta": 384}
"""by generation: the branch that came with the first CUDA that knows it.
https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html (first CUDA), and
https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/ (drivers of each CUDA)"""

LAST_BRANCH = {"volta": 580, "pascal": 580, "maxwell": 580}
"""by generation. https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html"""

PROPRIETARY_ONLY = ("maxwell", "pascal", "volta")
"""https://docs.nvidia.com/datacenter/tesla/driver-installation-guide/kernel-modules.html"""

OPEN_ONLY = ("blackwell",)
"""generations; Grace Hopper, of which the GPU is GH200, as well. Other Hoppers take either.
https://developer.nvidia.com/blog/nvidia-transitions-fully-towards-open-source-gpu-kernel-modules/"""

CDI_FROM = 25
"""first Docker whose `--device` knows CDI, switched on by `features.cdi`; on by itself from 28.2.
https://github.com/cncf-tags/container-device-interface/issues/84, https://github.com/moby/moby/pull/49963"""

OWN_CDI_FROM = (1, 18)
"""first toolkit whose runtime writes devices into the container's own settings, as CDI does, by default; an older one
hooks them in behind the runtime's back, and `systemctl daemon-reload` takes them away again.
https://github.com/NVIDIA/nvidia-container-toolkit/pull/910, https://github.com/NVIDIA/nvidia-docker/issues/1730"""

Kind = Literal["long-term", "production", "new-feature"]


@dataclass(frozen=True)
class Branch:
    """A driver branch. `end` is the month after which it gets no fixes any more, "2028-06"."""

    kind: Kind
    end: str


BRANCHES = {
    535: Branch("long-term", "2026-06"),
    580: Branch("long-term", "2028-06"),
    595: Branch("production", "2027-03"),
    610: Branch("new-feature", "2026-08"),
    620: Branch("long-term", "2029-09"),
}
"""https://docs.nvidia.com/datacenter/tesla/drivers/620/supported-drivers-and-cuda-toolkit-versions.html; a branch that
is not here has no date that could be quoted"""


def cuda_with_driver(cuda: str, driver: str, key: str = "gpu.cuda") -> tuple[Problem, ...]:
    """Whether programs of this CUDA ("13.0"), an image's as well, run on this driver ("580.159.03" or "580")."""
    major, branch = int(cuda.split(".", maxsplit=1)[0]), _branch(driver)
    needed = CUDA_NEEDS_BRANCH.get(major)
    if needed is None:
        known = ", ".join(map(str, CUDA_NEEDS_BRANCH))
        return (Problem(key, f"CUDA {major} is none of the known majors {known}", "Add its rule first"),)
    if branch >= needed:
        return ()
    what = f"CUDA {cuda} needs driver branch {needed} or newer, and the driver is of {branch}"
    return (Problem(key, what, f"Pin a driver of branch {needed} or newer, or an older CUDA"),)


def modules_with_driver(modules: str, driver: str) -> tuple[Problem, ...]:
    """Whether the driver has modules of this flavour."""
    branch = _branch(driver)
    if modules == "open" and branch < OPEN_MODULES_FROM:
        what = f"open modules come with branch {OPEN_MODULES_FROM} and newer, and the driver is of {branch}"
        return (Problem("gpu.modules", what, 'Use modules = "proprietary"'),)
    if modules == "proprietary" and branch > PROPRIETARY_MODULES_UNTIL:
        what = f"proprietary modules ended with branch {PROPRIETARY_MODULES_UNTIL}, and the driver is of {branch}"
        return (Problem("gpu.modules", what, 'Use modules = "open"'),)
    return ()


def fabric_with_driver(fabric_manager: str, driver: str) -> tuple[Problem, ...]:
    """A fabric manager works with the driver of exactly its version."""
    if fabric_manager == driver:
        return ()
    what = f"fabric manager {fabric_manager} is not the driver's exact version {driver}"
    return (Problem("gpu.fabric_manager", what, f'Write fabric_manager = "{driver}"'),)


def gpu_with_driver(gpu: Gpu, driver: str) -> tuple[Problem, ...]:
    """Whether this driver drives this GPU."""
    branch = _branch(driver)
    first, last = FIRST_BRANCH.get(gpu.generation, 0), LAST_BRANCH.get(gpu.generation)
    if branch < first:
        what = f"{gpu.name} ({gpu.generation}) needs driver branch {first} or newer, and the driver is of {branch}"
        return (Problem("gpu.driver", what, f"Use a release of branch {first} or newer"),)
    if last is not None and branch > last:
        what = f"branch {last} is the last one for {gpu.name} ({gpu.generation}), and the driver is of {branch}"
        return (Problem("gpu.driver", what, f"Use a release of branch {last}"),)
    return ()


def gpu_with_modules(gpu: Gpu, modules: str) -> tuple[Problem, ...]:
    """Whether modules of this flavour drive this GPU."""
    open_only = gpu.generation in OPEN_ONLY or gpu.name == "GH200"
    if modules == "proprietary" and open_only:
        what = f"{gpu.name} ({gpu.generation}) has open kernel modules only"
        return (Problem("gpu.modules", what, "Use a release with open modules"),)
    if modules == "open" and gpu.generation in PROPRIETARY_ONLY:
        what = f"{gpu.name} ({gpu.generation}) has proprietary kernel modules only"
        return (Problem("gpu.modules", what, "Use a release with proprietary modules"),)
    return ()


def knows_cdi(docker: str | None) -> bool:
    """Whether a Docker of this package version ("5:28.1.1-1~debian.12") takes GPUs by their CDI names. One whose
    version nobody pinned is taken to be a newer one; hosts look again.

    >>> knows_cdi("26.1.5+dfsg1-9+b9"), knows_cdi("20.10.24+dfsg1-1+deb12u1+b6")
    (True, False)
    """
    return docker is None or _numbers(docker)[0] >= CDI_FROM


def docker_with_toolkit(docker: str | None, toolkit: str) -> tuple[Problem, ...]:
    """Whether containers get GPUs and keep them: by CDI, or through a runtime that does as CDI does."""
    if knows_cdi(docker) or _numbers(toolkit)[:2] >= OWN_CDI_FROM:
        return ()
    least = ".".join(map(str, OWN_CDI_FROM))
    what = f"Docker {docker} knows no CDI, and containers lose GPUs that toolkit {toolkit} gives them otherwise"
    return (Problem("gpu.toolkit", what, f"Pin toolkit {least} or newer, or a Docker of {CDI_FROM} or newer"),)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers that a package's version begins with, the epoch aside."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return tuple(map(int, found[1].split("."))) if found else (0,)


def support(driver: str) -> str:
    """Until when the driver's branch is supported, in words; empty where no date could be quoted."""
    branch = BRANCHES.get(_branch(driver))
    return f"{branch.kind} branch, fixes until {branch.end}" if branch else ""


def _branch(driver: str) -> int:
    return int(driver.split(".", maxsplit=1)[0])
