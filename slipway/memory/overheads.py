"""What an engine takes besides weights and KV cache: activations, libraries, CUDA graphs. Bytes, one rank.

The shapes follow from the code; the constants were fitted on published boot logs (`bench/sizing_data/cases.csv`, rows
marked `fit`).
"""

from __future__ import annotations

from functools import lru_cache

from slipway.architectures.types import Architecture
from slipway.cpus import Cpu
from slipway.estimates import Range
from slipway.gpus import Gpu
from slipway.memory.settings import Resolved
from slipway.memory.types import Engine
from slipway.memory.versions import Behaviour
from slipway.units import GIB, MIB

ENCODER = Range(0.0, 0.3, 1.0)
"""GiB: a picture of the largest size goes through the encoder while memory is profiled (vLLM, profile_run)"""
LARGE_ENCODER = Range(0.2, 0.9, 1.6)
"""GiB: encoders that take pictures of 16384 tokens. 6.64 GiB for Qwen3-VL-30B-A3B against 5.6 without (0.14.1)"""

ONE_RANK = Range(0.02, 0.12, 0.35)
"""GiB that are gone without being a tensor: 0.02 to 0.35 in logs with their own line for it"""
ONE_RANK_BEFORE = Range(0.02, 0.2, 1.8)
"""GiB, before 0.8: 0.05, 0.09, 0.26, 0.35 (RTX 3090) and 1.79 (vllm#10511)"""
ONE_RANK_LATER = Range(0.05, 0.25, 0.6)
"""GiB, since 0.25: 0.26 for Llama-3.1-8B (0.30.0)"""
NCCL = {2: Range(0.1, 0.4, 1.0), 4: Range(0.1, 0.55, 1.6), 8: Range(0.2, 0.85, 2.2)}
"""GiB of communicators and custom all-reduce; aiconfigurator's tables have 0.33 GiB at 2 and 0.38 at 4 and 8 of NCCL"""
NCCL_FUSED = {2: Range(0.3, 1.1, 1.9), 4: Range(0.4, 1.9, 2.6), 8: Range(0.5, 2.1, 3.2)}
"""GiB on NVLink since 0.17, where an all-reduce is fused with the norm: Llama-3.3-70B on 4 H200, 0.16 against 0.18"""

CONTEXT = Range(0.25 * GIB, 0.45 * GIB, 0.8 * GIB)
"""of CUDA itself, outside of what an engine counts: total less free at start, 0.23 to 0.6 GiB in logs of one GPU"""

PER_GRAPH = 8.5 * MIB
"""0.63 GiB for 86 graphs and 0.37 for 54 of a 7B (0.24.0, 0.22.0); 0.9 for 102 of a 70B on 4 GPUs"""
GRAPHS_OF_STATES = 0.25 * GIB
"""more where layers are recurrent: 0.36 to 0.61 GiB for 2 to 9 graphs"""
LATENT_GRAPHS = 2.4
"""times as much where attention is latent: 2.25 GiB for 102 graphs of DeepSeek-V3.2, 2.51 of sarvam-105b (0.18.0)"""
SPREAD = Range(0.5, 1.0, 1.8)

UNEXPLAINED = 0.6
"""GiB that some logs have more than all of this: 1.21 for Llama-3.1-8B at 2048 tokens and 256 sequences (0.30.0)"""

COMPILED = 0.6
"""GiB that a first boot may charge on top, seen since 0.26: what torch.compile takes to try its kernels is profiled as
if a step took it, until a later boot finds them in its cache (vllm#54122, #54383). 3.70 GiB of KV cache for Qwen2.5-7B
on an L4 (0.27.1) where eager execution has 5.46; 9.10 and 10.33 GiB for Qwen3-14B-AWQ at two boots of one machine"""
COMPILED_STATES = 1.25
"""GiB for every 1024 tokens of a batch above 2048 instead, where layers are recurrent: "tens of GiB" at the defaults of
an RTX PRO 6000 (vllm#54122), and nothing of it at 2048 tokens on an L40S (Qwen3.8-27B, 0.26.0)"""

COMPUTE_BUFFER = Range(0.15, 0.3, 0.7)
"""GiB of llama.cpp, besides the logits"""


def activations(architecture: Architecture, plan: Resolved, engine: Engine) -> Range:
    """Peak of one step with as many tokens as a batch may have: a feed-forward layer, or sampling if that is more."""
    acts = plan.behaviour
    forward = _forward(architecture, plan.tensor_parallel) * plan.batched
    if engine == "llama.cpp":
        logits = plan.batched * architecture.vocab * 4.0
        return Range(
            COMPUTE_BUFFER.low * GIB, logits + COMPUTE_BUFFER.mid * GIB, logits + forward + COMPUTE_BUFFER.high * GIB
        )
    low, mid, high = forward * 0.8, forward, forward * 1.15
    encoder = _encoder(architecture).scaled(GIB)
    pictures = encoder.high > 0
    if architecture.task == "generate":
        # V0 profiles as many sequences as pictures of the largest size go into a batch, which is one or none.
        sequences = min(plan.sequences, plan.batched) if acts.profiled or not pictures else 1
        logits = sequences * architecture.vocab * 4.0
        kept = plan.batched * architecture.hidden * 2.0
        # V0 with chunks: 0.22 GiB at 2048 tokens and 0.06 at 512 are logged (0.7, 0.6), less than sampling would take.
        seen = acts.profiled or plan.batched >= plan.length
        low = max(low, acts.sampler.low * logits if seen else 0)
        mid = max(mid, acts.sampler.mid * logits + kept if seen else 0)
        high = max(high, acts.sampler.high * logits + kept)
        high += UNEXPLAINED * GIB
    if pictures and not acts.profiled:  # the encoder is done before the forward pass starts
        return Range(max(low, encoder.low), max(mid, encoder.mid), high + encoder.high)
    return Range(low + encoder.low, mid + encoder.mid, high + encoder.high)


def compiling(architecture: Architecture, plan: Resolved, device: Gpu | Cpu) -> float:
    """What a boot with an empty compile cache may charge as activations, at most. Other engines do not profile."""
    if not isinstance(device, Gpu) or plan.behaviour.version < (0, 26, 0):
        return 0.0
    if any(group.state == "recurrent" for group in architecture.groups):
        return COMPILED_STATES * max(0, plan.batched - 2048) / 1024 * GIB
    return COMPILED * GIB


@lru_cache(maxsize=8192)
def _forward(architecture: Architecture, tensor: int) -> float:
    """Bytes a token of the widest moment: both halves of a gated feed-forward layer and their product, and three
    vectors of the hidden size (in, out, residual). 110.6 kB for Llama-3.1-8B; 2.07 GiB for 20000 tokens in vllm#10517.

    Experts work on a copy of the token each (fused_moe's intermediate caches 1 and 3 share memory).
    """
    size = 4.0 if architecture.dtype == "fp32" else 2.0
    width = architecture.intermediate / tensor
    chosen = architecture.experts_per_token
    inner = max(2 * width, chosen * architecture.hidden) + width if chosen else 3 * width
    return (inner + 3 * architecture.hidden) * size


@lru_cache(maxsize=4096)
def _encoder(architecture: Architecture) -> Range:
    if not any(part.name == "vision" for part in architecture.parts):
        return Range(0, 0, 0)
    return LARGE_ENCODER if architecture.kind.startswith("Qwen") else ENCODER


def libraries(device: Gpu | Cpu, plan: Resolved, engine: Engine) -> Range:
    """CUDA's and NCCL's own memory as far as the engine sees it go."""
    if not isinstance(device, Gpu):
        return Range(0.05 * GIB, 0.1 * GIB, 0.3 * GIB)
    if engine == "llama.cpp":
        return CONTEXT
    ranks = plan.tensor_parallel * plan.pipeline_parallel
    found = _libraries(plan.behaviour.version, engine == "vllm", ranks, device.link)
    # SGLang's share is one of what is free once CUDA runs (model_runner.py, total_gpu_memory), vLLM's one of the total.
    return found + CONTEXT if engine == "sglang" else found


@lru_cache(maxsize=4096)
def _libraries(version: tuple[int, int, int], vllm: bool, ranks: int, link: str) -> Range:
    one = ONE_RANK_LATER
    if vllm and version < (0, 25, 0):
        one = ONE_RANK if version >= (0, 8, 0) else ONE_RANK_BEFORE
    alone = one.scaled(GIB)
    if ranks == 1:
        return alone
    table = NCCL_FUSED if vllm and version >= (0, 17, 0) and link == "nvlink" else NCCL
    return alone + table[2 if ranks <= 2 else 4 if ranks <= 4 else 8].scaled(GIB)


def graphs(architecture: Architecture, plan: Resolved, device: Gpu | Cpu) -> Range:
    """What captured CUDA graphs take, whether or not the engine counts it."""
    if not isinstance(device, Gpu):
        return Range(0, 0, 0)
    blackwell = device.compute_capability.startswith("10.") and plan.behaviour.version >= (0, 28, 0)
    kinds = {group.state for group in architecture.groups}
    return _graphs(plan.sequences, 1024 if blackwell else 512, "recurrent" in kinds, "latent" in kinds)


@lru_cache(maxsize=4096)
def _graphs(sequences: int, most: int, states: bool, latent: bool) -> Range:
    top = min(2 * sequences, most)
    captured = captures(top) + captures(min(top, sequences))
    size = captured * PER_GRAPH * (LATENT_GRAPHS if latent else 1) + (GRAPHS_OF_STATES if states else 0)
    return Range(size * SPREAD.low, size * SPREAD.mid, size * SPREAD.high)


def captures(top: int) -> int:
    """Batch sizes that vLLM captures up to `top`: 1, 2, 4, then every 8th to 256 and every 16th above.

    >>> captures(512), captures(256), captures(16)
    (51, 35, 5)
    """
    return sum(1 for size in (1, 2, 4) if size <= top) + min(top, 256) // 8 + max(0, top - 256) // 16


def counted(size: Range, acts: Behaviour) -> Range:
    """As much of the graphs as this version takes off the KV cache."""
    return Range(size.low * acts.graphs.low, size.mid * acts.graphs.mid, size.high * acts.graphs.high)
