"""Models, devices and loads to ask speed about, made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

from slipway.architectures.types import Architecture, LayerGroup, Part, RecurrentState
from slipway.cpus import Cpu
from slipway.estimates import Range
from slipway.gpus import Gpu
from slipway.memory.types import Fit, Setup
from slipway.workload import FullWorkload

GIB = 2**30
SOURCES = {"all": "an example"}

SMALL = Gpu(
    name="small", memory_mib=24576, usable_mib=24000, bandwidth=1e12, flops={"fp16": 1e14, "bf16": 1e14},
    compute_capability="8.6", generation="ampere", link="pcie", link_bandwidth=3e10, pcie="4x16", sources=SOURCES,
)  # fmt: skip
LARGE = Gpu(
    name="large", memory_mib=81920, usable_mib=81000, bandwidth=3.35e12,
    flops={"fp16": 1e15, "bf16": 1e15, "fp8": 2e15, "int8": 2e15}, compute_capability="9.0", generation="hopper",
    link="nvlink", link_bandwidth=4.5e11, pcie="5x16", sources=SOURCES,
)  # fmt: skip
PROCESSOR = Cpu(
    name="processor", cores=64, vcpus=128, memory=256 * GIB, bandwidth=4.6e11, flops=6e12, sources=SOURCES
)  # fmt: skip


def dense(bits: float = 16, quantization: str = "none", layers: int = 32) -> Architecture:
    """Of the shape of Llama-3.1-8B."""
    hidden, heads, kv_heads, head, wide, vocab = 4096, 32, 8, 128, 14336, 128256
    return Architecture(
        name="dense",
        kind="LlamaForCausalLM",
        task="generate",
        hidden=hidden,
        heads=heads,
        vocab=vocab,
        context=131072,
        intermediate=wide,
        groups=(LayerGroup("full", layers, kv_heads, head, head),),
        parts=(
            Part("embedding", vocab * hidden, 16, read=0),
            Part("lm_head", vocab * hidden, 16),
            Part("attention", layers * 2 * hidden * head * (heads + kv_heads), bits),
            Part("mlp", layers * 3 * hidden * wide, bits),
        ),
        dtype="bf16",
        quantization=quantization,
    )


def sparse(experts: int = 128, used: int = 8) -> Architecture:
    """Of the shape of Qwen3-30B-A3B."""
    base = dense(layers=48)
    body = Part("experts", 48 * 3 * 2048 * 768 * experts, 16, read=used / experts)
    return replace(base, name="sparse", hidden=2048, experts=experts, experts_per_token=used, parts=(*base.parts, body))


def states(*groups: LayerGroup) -> Architecture:
    return replace(dense(), groups=groups)


RECURRENT = LayerGroup("recurrent", 24, recurrent=(RecurrentState("state", 1_000_000, 4),))
LATENT = LayerGroup("latent", 32, latent_dim=576)
SLIDING = LayerGroup("sliding", 16, 8, 128, 128, window=1024)
CHUNKED = LayerGroup("chunked", 16, 8, 128, 128, window=1024)
FULL = LayerGroup("full", 16, 8, 128, 128)


def on(device: Gpu | Cpu = LARGE, **settings: object) -> Setup:
    engine = "vllm" if isinstance(device, Gpu) else "llama.cpp"
    return replace(Setup(device, engine=engine, max_model_len=8192), **settings)  # type: ignore[arg-type]


def room(kv_gib: float) -> Fit:
    """A fit with so much memory for requests."""
    nothing, available = Range.exact(0), Range.exact(kv_gib * GIB)
    return Fit("fits", nothing, nothing, nothing, nothing, nothing, available, 0, nothing, nothing, nothing)


def load(rate: float = 1.0, prompt: int = 1024, output: int = 256, **more: object) -> FullWorkload:
    base = FullWorkload(
        purpose="inference",
        mode="real-time",
        profile=(rate,) * 24,
        prompt_mean=prompt,
        prompt_p95=2 * prompt,
        output_mean=output,
        output_p95=2 * output,
        context=8192,
        concurrency=None,
        first_token=2.0,
        per_token=0.1,
        end_to_end=None,
        idle_share=0.0,
        complexity="medium",
    )
    return replace(base, **more)  # type: ignore[arg-type]


PATIENT = {"first_token": math.inf, "per_token": math.inf}
