"""What memory is asked about, and what it answers. Bytes, a GPU, unless the name says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slipway.cpus import Cpu
from slipway.estimates import Range
from slipway.gpus import Gpu

Engine = Literal["vllm", "sglang", "llama.cpp"]


@dataclass(frozen=True)
class Setup:
    """One replica: hardware and engine settings. None means the engine's own default (of its version)."""

    device: Gpu | Cpu
    engine: Engine = "vllm"
    engine_version: str | None = None
    """such as 0.21.0, 0.6.x; None is the newest that Slipway knows"""
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    memory_fraction: float | None = None
    max_model_len: int | None = None
    """tokens; None is the model's own context"""
    kv_dtype: str = "auto"
    """auto, bf16, fp16, fp8, nvfp4; for llama.cpp also q8_0 and q4_0"""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    cuda_graphs: bool = True
    speculative_tokens: int = 0
    """drafted by the model's own prediction head; its layers then count"""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor_parallel * self.pipeline_parallel if isinstance(self.device, Gpu) else 0


@dataclass(frozen=True)
class Term:
    """One line of the arithmetic: what it is, how many bytes, and the sentence that computes it."""

    name: str
    size: Range
    why: str


@dataclass(frozen=True)
class Fit:
    """Whether a model fits a setup, as figures; `memory.explain` writes them out. Everything is of the fullest rank."""

    verdict: Literal["fits", "tight", "no"]
    """fits: even the worst of every range leaves room for one request of the full length. tight: the best guess does,
    the worst does not. no: not even the best guess does."""
    usable: Range
    """what the engine may take: total × fraction"""
    weights: Range
    activations: Range
    """peak of a step with as many tokens as one batch may have"""
    libraries: Range
    """CUDA context, cuBLAS and NCCL, fragmentation: what is gone without being a tensor"""
    graphs: Range
    """captured CUDA graphs, as far as this engine's version counts them; 0 on a CPU"""
    kv_available: Range
    """below zero when the weights alone do not fit"""
    kv_bytes_per_token: float
    """a token more of one request, at the longest length; 0 when no layer grows with the tokens"""
    kv_tokens: Range
    """as the engine's own boot log counts them"""
    max_concurrency: Range
    """requests of the full length at once"""
    max_context: Range
    """longest request that one alone may be"""

    @property
    def fits(self) -> bool:
        return self.verdict == "fits"
