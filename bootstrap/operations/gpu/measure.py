"""Runs inside a container of an engine's image, with its Python and its torch: memory, bandwidth and arithmetic of each
GPU. `EXPECTED` in the environment is a JSON list with what each must reach at least. A figure below, or a wrong result,
ends with 1, what could not be measured with 2.

Tested with a stub of torch only: no GPU is within reach of this repository's tests.
"""

import json
import os
import sys
from collections.abc import Callable

import torch  # type: ignore[import-not-found]  # of the image

ELEMENTS = 2**28
"""of two bytes: 512 MiB, past any cache"""
COPIES = 20
SIDE, PRODUCTS = 8192, 20
SMALL = 512
UNITS = {"memory": (2**30, "GiB"), "bandwidth": (1e9, "GB/s"), "flops": (1e12, "TFLOP/s")}


def main() -> int:
    try:
        return _measure(json.loads(os.environ["EXPECTED"]))
    except Exception as error:  # noqa: BLE001  whatever torch raises, a sentence says that there is no result
        sys.stdout.write(f"the GPUs could not be measured: {type(error).__name__}: {error}\n")
        return 2


def _measure(expected: list[dict[str, float]]) -> int:
    found = torch.cuda.device_count()
    if found != len(expected):
        sys.stdout.write(f"CUDA sees {found} GPUs, and {len(expected)} are there\n")
        return 1
    # Each of them is looked at: who mends one wants to know of all.
    return max([_one(index, least) for index, least in enumerate(expected)], default=0)


def _one(index: int, least: dict[str, float]) -> int:
    torch.cuda.set_device(index)
    properties = torch.cuda.get_device_properties(index)
    reached = {"memory": float(properties.total_memory), "bandwidth": _bandwidth(), "flops": _flops()}
    said = ", ".join(f"{name} {_shown(name, value)}" for name, value in reached.items())
    sys.stdout.write(f"GPU {index} ({properties.name}): {said}\n")
    wrong = [
        f"its {name} is {_shown(name, reached[name])}, at least {_shown(name, value)} was expected"
        for name, value in least.items()
        if reached[name] < value
    ]
    if not _right():
        wrong.append("it computes another product than the CPU")
    for sentence in wrong:
        sys.stdout.write(f"GPU {index} ({properties.name}): {sentence}\n")
    return 1 if wrong else 0


def _shown(name: str, value: float) -> str:
    unit, word = UNITS[name]
    return f"{value / unit:.1f} {word}"


def _seconds(times: int, work: Callable[[], object]) -> float:
    """Of one run of `work`, by the GPU's own clock, after one that warms it up."""
    work()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(times):
        work()
    end.record()
    torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1000 / times


def _bandwidth() -> float:
    """Bytes a second, read and written."""
    source = torch.zeros(ELEMENTS, dtype=torch.float16, device="cuda")
    target = torch.empty_like(source)
    return 2 * 2 * ELEMENTS / _seconds(COPIES, lambda: target.copy_(source))


def _flops() -> float:
    """Operations a second of products in fp16, which every GPU here has units for."""
    left = torch.ones(SIDE, SIDE, dtype=torch.float16, device="cuda")
    return 2 * SIDE**3 / _seconds(PRODUCTS, lambda: torch.matmul(left, left))


def _right() -> bool:
    torch.manual_seed(0)
    left, right = torch.rand(SMALL, SMALL), torch.rand(SMALL, SMALL)
    return bool(torch.allclose((left.cuda() @ right.cuda()).cpu(), left @ right, rtol=1e-2))


sys.exit(main())
