"""What goes together, GPU by GPU and driver by driver."""

from __future__ import annotations

import pytest

from slipway.gpus import find_gpu, gpus
from slipway.releases.compatibility import (
    BRANCHES,
    FIRST_BRANCH,
    LAST_BRANCH,
    cuda_with_driver,
    fabric_with_driver,
    gpu_with_driver,
    gpu_with_modules,
    modules_with_driver,
    support,
)


@pytest.mark.parametrize(
    ("cuda", "driver", "said"),
    [
        ("13.5", "620.70.06", ""),
        ("13.5", "580.159.03", ""),  # any minor of a major
        ("13.0", "570.211.01", "CUDA 13.0 needs driver branch 580 or newer"),
        ("12.9", "535.309.01", ""),
        ("12.9", "620.70.06", ""),  # older programs run on newer drivers
        ("12.0", "515.105.01", "needs driver branch 525"),
        ("11.8", "450.248.02", ""),
        ("14.0", "620.70.06", "none of the known majors"),
    ],
)
def test_cuda_and_driver(cuda: str, driver: str, said: str) -> None:
    assert said in " ".join(map(str, cuda_with_driver(cuda, driver)))
    assert bool(cuda_with_driver(cuda, driver)) == bool(said)


@pytest.mark.parametrize(
    ("gpu", "driver", "said"),
    [
        ("V100-16", "580.159.03", ""),
        ("V100-16", "620.70.06", "branch 580 is the last one for V100-16 (volta)"),
        ("B200", "580.126.20", ""),
        ("B200", "570.211.01", ""),
        ("B200", "550.163.01", "B200 (blackwell) needs driver branch 570 or newer"),
        ("RTXPRO6000", "535.309.01", "needs driver branch 570"),
        ("H100-SXM", "535.309.01", ""),
        ("L40S", "515.105.01", "needs driver branch 520"),
        ("T4", "620.70.06", ""),
        ("A100-80", "620.70.06", ""),
    ],
)
def test_gpu_and_driver(gpu: str, driver: str, said: str) -> None:
    problems = gpu_with_driver(find_gpu(gpu), driver)
    assert said in " ".join(map(str, problems))
    assert bool(problems) == bool(said)


@pytest.mark.parametrize(
    ("gpu", "modules", "fits"),
    [
        ("V100-16", "open", False),
        ("V100-16", "proprietary", True),
        ("T4", "open", True),
        ("T4", "proprietary", True),
        ("H100-SXM", "open", True),
        ("H100-SXM", "proprietary", True),
        ("H200", "proprietary", True),
        ("GH200", "open", True),
        ("GH200", "proprietary", False),
        ("B200", "open", True),
        ("B200", "proprietary", False),
        ("RTXPRO6000", "proprietary", False),
    ],
)
def test_gpu_and_modules(gpu: str, modules: str, fits: bool) -> None:
    assert (gpu_with_modules(find_gpu(gpu), modules) == ()) == fits


@pytest.mark.parametrize(
    ("modules", "driver", "fits"),
    [
        ("open", "510.108.03", False),
        ("open", "515.105.01", True),
        ("open", "620.70.06", True),
        ("proprietary", "470.256.02", True),
        ("proprietary", "615.71.09", True),
        ("proprietary", "620.70.06", False),
    ],
)
def test_modules_and_driver(modules: str, driver: str, fits: bool) -> None:
    assert (modules_with_driver(modules, driver) == ()) == fits


def test_a_fabric_manager_is_of_the_drivers_exact_version() -> None:
    assert fabric_with_driver("580.159.03", "580.159.03") == ()
    assert "exact version 580.159.03" in str(fabric_with_driver("580.159.04", "580.159.03")[0])


def test_every_gpu_has_a_driver_that_is_supported() -> None:
    for gpu in gpus().values():
        assert gpu.generation in FIRST_BRANCH, "a new generation needs its rules"
        flavours = [
            (branch, modules)
            for branch in BRANCHES
            for modules in ("open", "proprietary")
            if not (
                gpu_with_driver(gpu, str(branch))
                or gpu_with_modules(gpu, modules)
                or modules_with_driver(modules, str(branch))
            )
        ]
        assert flavours, gpu.name
        assert LAST_BRANCH.get(gpu.generation, 9999) >= max(branch for branch, _ in flavours)


def test_until_when_a_branch_is_supported() -> None:
    assert support("580.159.03") == "long-term branch, fixes until 2028-06"
    assert support("610.57.04") == "new-feature branch, fixes until 2026-08"
    assert support("575.64.05") == ""
