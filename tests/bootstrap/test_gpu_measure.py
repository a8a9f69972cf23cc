"""The program that measures GPUs inside an engine's image, with a STUB of torch in the place of the real one.

What it says of a GPU has never been seen: none is within reach here. What it makes of the figures is proven.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "bootstrap/operations/gpu/measure.py"
EXPECTED = {"memory": 80e9, "bandwidth": 2e12, "flops": 3e14}
TORCH = '''
"""STUB of torch: GPUs whose clock says what the test wants."""
import json, os
from types import SimpleNamespace

GPUS = json.loads(os.environ["STUB_GPUS"])
float16, chosen, work = "float16", 0, 0.0

class Tensor:
    def __init__(self, *shape, **_):
        self.shape, self.on_gpu = shape, False
    def copy_(self, other):
        global work
        work += 4 * self.shape[0] / GPUS[chosen]["bandwidth"]
    def cuda(self):
        copy = Tensor(*self.shape)
        copy.on_gpu = True
        return copy
    def __matmul__(self, other):
        return Product("wrong" if self.on_gpu and GPUS[chosen].get("wrong") else "right")

class Product(str):
    def cpu(self): return self

class Event:
    def __init__(self, enable_timing): pass
    def record(self): self.at = work
    def elapsed_time(self, end): return (end.at - self.at) * 1000

def zeros(*shape, **_):
    if GPUS[chosen].get("full"):
        raise RuntimeError("CUDA out of memory")
    return Tensor(*shape)

def matmul(left, right):
    global work
    work += 2 * left.shape[0] ** 3 / GPUS[chosen]["flops"]

def set_device(index):
    global chosen
    chosen = index

def properties(index):
    return SimpleNamespace(name=GPUS[index]["name"], total_memory=GPUS[index]["memory"])

empty_like, ones, rand = (lambda source: Tensor(*source.shape)), Tensor, Tensor
manual_seed = lambda seed: None
def allclose(one, other, rtol): return one == other
class cuda:
    device_count = staticmethod(lambda: len(GPUS))
    set_device, get_device_properties = staticmethod(set_device), staticmethod(properties)
    Event, synchronize = Event, staticmethod(lambda: None)
'''


def gpu(**changes: object) -> dict[str, object]:
    return {"name": "Stub", "memory": 85e9, "bandwidth": 3e12, "flops": 6e14} | changes


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    """Where the stub is found as torch."""
    (tmp_path / "torch.py").write_text(TORCH)
    return tmp_path


def measure(stub: Path, gpus: list[dict[str, object]], expected: list[dict[str, float]]) -> tuple[int, str]:
    environment = {"PYTHONPATH": str(stub), "STUB_GPUS": json.dumps(gpus), "EXPECTED": json.dumps(expected)}
    done = subprocess.run(
        [sys.executable, "-"], input=PROGRAM.read_text(), env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_sound_gpus_are_told_with_their_figures(stub: Path) -> None:
    status, said = measure(stub, [gpu(), gpu()], [EXPECTED, EXPECTED])
    assert status == 0
    assert said.splitlines() == [
        f"GPU {index} (Stub): memory 79.2 GiB, bandwidth 3000.0 GB/s, flops 600.0 TFLOP/s" for index in (0, 1)
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"bandwidth": 1e12}, "its bandwidth is 1000.0 GB/s, at least 2000.0 GB/s was expected"),
        ({"flops": 1e14}, "its flops is 100.0 TFLOP/s, at least 300.0 TFLOP/s was expected"),
        ({"memory": 42e9}, "its memory is 39.1 GiB, at least 74.5 GiB was expected"),
        ({"wrong": True}, "it computes another product than the CPU"),
    ],
)
def test_a_gpu_below_its_record_is_named(stub: Path, changes: dict[str, object], sentence: str) -> None:
    status, said = measure(stub, [gpu(), gpu(**changes)], [EXPECTED, EXPECTED])
    assert status == 1
    assert said.splitlines()[-1] == f"GPU 1 (Stub): {sentence}"


def test_every_gpu_is_looked_at(stub: Path) -> None:
    _, said = measure(stub, [gpu(flops=1e12), gpu(flops=1e12)], [EXPECTED, EXPECTED])
    assert [line[:5] for line in said.splitlines() if "expected" in line] == ["GPU 0", "GPU 1"]


def test_one_without_a_record_has_to_compute_only(stub: Path) -> None:
    assert measure(stub, [gpu(flops=1.0, bandwidth=1.0)], [{}])[0] == 0
    assert measure(stub, [gpu(wrong=True)], [{}])[0] == 1


def test_gpus_that_cuda_does_not_see(stub: Path) -> None:
    assert measure(stub, [gpu()], [{}, {}]) == (1, "CUDA sees 1 GPUs, and 2 are there\n")


def test_what_could_not_be_measured_is_no_result(stub: Path) -> None:
    status, said = measure(stub, [gpu(full=True)], [{}])
    assert (status, said) == (2, "the GPUs could not be measured: RuntimeError: CUDA out of memory\n")
