"""Measure llama.cpp on this machine's CPU, and hold `slipway.speed` against it.

    python -m bench.sizing_cpu [--model FILE.gguf] [--threads N]    (root: the image is entered with chroot)

llama-bench of the local stack's own image (`make images`) reads the model three times: prompts of 512 tokens, and 64
tokens after none. Beside it stands what all threads together copy a second, which is the bandwidth that the estimate is
given. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from bench.running import BenchError
from bootstrap.paths import cache_dir
from slipway.architectures import parse_gguf
from slipway.cpus import Cpu
from slipway.memory.types import Setup
from slipway.speed import decode_step, prefill
from tools.images import ensure

COPIED = 256 * 2**20
"""bytes a thread: far more than its share of any cache"""
ROUNDS = 8
PROMPT, OUTPUT = 512, 64
HEAD = 64 * 2**20
OPERATIONS = 32
"""fp32 operations a core and cycle with AVX2: two multiply-adds of eight, each counted as two"""


def copied(threads: int) -> float:
    """Bytes a second that so many threads read and write together."""
    buffers = [(ctypes.create_string_buffer(COPIED), ctypes.create_string_buffer(COPIED)) for _ in range(threads)]

    def copy(target: ctypes.Array[ctypes.c_char], source: ctypes.Array[ctypes.c_char]) -> None:
        for _ in range(ROUNDS):
            ctypes.memmove(target, source, COPIED)

    for target, source in buffers:
        copy(target, source)  # the pages are there from now on
    started = time.perf_counter()
    workers = [threading.Thread(target=copy, args=pair) for pair in buffers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * ROUNDS * 2 * COPIED / (time.perf_counter() - started)


def unpack(folder: Path) -> None:
    """The file system of the engine's image."""
    with tarfile.open(ensure("engine-llama-cpp")["archive"]) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json") or tarfile.ReadError)  # type: ignore[arg-type]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                files.extractall(folder, filter="fully_trusted")


def measured(model: Path, threads: int) -> dict[str, float]:
    """Tokens a second by llama-bench: prompt and output."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        unpack(root)
        shutil.copyfile(model, root / "model.gguf")
        said = subprocess.run(
            ["chroot", root, "/usr/bin/llama-bench", "-m", "/model.gguf", "-t", str(threads), "-p", str(PROMPT),
             "-n", str(OUTPUT), "-r", "3", "-o", "json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return {"prompt" if run["n_prompt"] else "output": run["avg_ts"] for run in json.loads(said.stdout)}


def clock() -> float:
    """Hertz of the first core, as the kernel says it now."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return 1e6 * float(next(line for line in lines if line.startswith("cpu MHz")).split(":")[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, help="the local stack's own, if left out")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    asked = parser.parse_args()
    model = asked.model or next(cache_dir().glob("models/*/*/*.gguf"), None)
    if model is None:
        raise BenchError("There is no model", where="bench.sizing_cpu", fix="Run `make up` once, or name a file")
    with model.open("rb") as file:
        architecture = parse_gguf(file.read(HEAD), name=model.name, file_bytes=model.stat().st_size)
    bandwidth = copied(asked.threads)
    flops = asked.threads * OPERATIONS * clock()
    cpu = Cpu(
        name="this machine", cores=asked.threads, vcpus=asked.threads, memory=2**34, bandwidth=bandwidth, flops=flops,
        sources={"all": "measured"},
    )  # fmt: skip
    setup = Setup(cpu, engine="llama.cpp", max_model_len=2048)
    speeds = measured(model, asked.threads)
    weights = architecture.active_bytes
    print(f"{model.name}, {asked.threads} threads: {weights / 1e6:.0f} MB a token, {bandwidth / 1e9:.1f} GB/s copied")
    for name, figure, estimate in (
        ("decode", speeds["output"], decode_step(architecture, setup, 1, OUTPUT / 2)),
        ("prefill", speeds["prompt"], prefill(architecture, setup, PROMPT).scaled(1 / PROMPT)),
    ):
        print(
            f"{name}: {figure:.1f} tokens/s measured, {1 / estimate.mid:.1f} estimated "
            f"({1 / estimate.high:.1f} to {1 / estimate.low:.1f})"
        )
    used = 2 * architecture.active_parameters * speeds["prompt"] / flops
    print(
        f"decode reads {weights * speeds['output'] / bandwidth:.2f} of the bandwidth, prefill {used:.2f} of operations"
    )


if __name__ == "__main__":
    main()
