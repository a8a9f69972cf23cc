"""Seconds of one decode step and of one prompt: what must be read and computed, over what the device can.

A step takes as long as the slower of reading weights and multiplying with them, then reads the keys and values of every
request, then waits for the other GPUs, then for the engine, all of it a rank:

    step(B) = max(weights(B) ÷ bandwidth, 2 × active × B ÷ operations) + state(B) ÷ bandwidth + talk(B) + rest(B)

Of a mixture of experts, B tokens that each choose k of E experts touch E × (1 - (1 - k/E)^B) of them if they choose
independently. The roofline is https://doi.org/10.1145/1498765.1498785; the arithmetic of inference
https://arxiv.org/abs/2211.05102 (sections 2 and 3), 2 operations a parameter and token https://arxiv.org/abs/2001.08361.
Speculative decoding is not credited: how many drafts are accepted is a matter of the text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from slipway.architectures.types import Architecture, LayerGroup
from slipway.cpus import Cpu
from slipway.estimates import Range
from slipway.gpus import Gpu
from slipway.memory.kv import element_bytes
from slipway.memory.settings import resolved
from slipway.memory.types import Setup
from slipway.speed import communication
from slipway.speed.efficiency import Factors, factors

NEVER = (math.inf, 0, 0)
OVERLAP: dict[str, tuple[float, int, int]] = {"vllm": (0, 14, 0), "sglang": (0, 4, 0)}
"""since which version the next step is prepared while one runs: https://github.com/deepjavalibrary/djl/issues/3833 for
vLLM, https://lmsys.org/blog/2024-12-04-sglang-v0-4/ for SGLang"""

NATIVE = {"fp8": "fp8", "int8": "int8", "nvfp4": "fp4"}
"""quantisations whose products are computed in their own type where the GPU has units for it; all others are
unpacked to 16 bits (https://docs.vllm.ai/en/stable/features/quantization/)"""


class Roofline:
    """What of one architecture on one setup does not change with the batch, of one rank."""

    def __init__(self, architecture: Architecture, setup: Setup, factor: Factors | None = None) -> None:
        self.architecture = architecture
        self.setup = setup
        self.factor = factor or factors(setup)
        device = setup.device
        self.gpu: Gpu | None = device if isinstance(device, Gpu) else None
        self.crowded = crowded(device)
        self.settings = settings = resolved(architecture, setup)
        self.ranks = settings.tensor_parallel if self.gpu else 1
        self.stages = settings.pipeline_parallel if self.gpu else 1
        self.seats = settings.sequences
        self.piece = settings.batched
        self.shares = 1 if setup.engine == "llama.cpp" else self.stages
        self.element = element_bytes("auto", architecture.dtype)
        self.kv_element = element_bytes(settings.kv_dtype, architecture.dtype)
        self._weights()
        layer = self.factor.layer + (self.factor.expert_layer if self.experts else 0.0)
        self.gaps = architecture.layers * layer
        self.overlaps = settings.behaviour.version >= OVERLAP.get(setup.engine, NEVER)
        self.launches = architecture.layers * self.factor.launch
        self.attention_rate = self._rate("bf16", self.factor.compute_attention)
        self.heard = _heard(architecture)
        self.talk_empty, self.talk_token = self._talk(0.0), self._talk(1.0) - self._talk(0.0)

    def _rate(self, kind: str, share: float) -> float:
        """Operations a second of one rank."""
        device = self.setup.device
        if isinstance(device, Cpu):
            return device.flops * share
        flops = device.flops
        rate: float = flops.get(kind) or flops.get("bf16") or flops["fp16"]
        return rate * share

    def _weights(self) -> None:
        """Sums over parts: seconds to read them once, seconds to multiply one token with them."""
        factor, bandwidth = self.factor, self.setup.device.bandwidth
        architecture = self.architecture
        native = NATIVE.get(architecture.quantization, "")
        native = native if self.gpu is not None and native in self.gpu.flops else ""
        narrow = {"fp4": factor.compute_4, "": factor.compute_unpacked}.get(native, factor.compute_8)
        rate_16, rate_narrow = self._rate("bf16", factor.compute_16), self._rate(native or "bf16", narrow)
        self.read = self.multiply = self.head_read = self.head_multiply = 0.0
        self.experts: list[tuple[float, float]] = []
        for part in _read_parts(architecture):
            share = factor.read_16 if part.bits >= 12 else factor.read_8 if part.bits > 6 else factor.read_4
            split = self.ranks if part.cut else 1
            read = part.size / split / (bandwidth * share)
            multiply = part.operations / split / (rate_16 if part.bits >= 12 else rate_narrow)
            if part.name == "experts":
                self.experts.append((read / factor.read_experts, part.share))
                self.multiply += multiply
            elif part.name in ("lm_head", "embedding"):
                self.head_read += read
                self.head_multiply += multiply
            else:
                self.read += read * part.share
                self.multiply += multiply

    def state_bytes(self, context: float) -> float:
        """Bytes of keys, values and states that one request of `context` tokens has read in a step, on one rank."""
        return _state_bytes(self.architecture, self.ranks, self.kv_element, context)

    def step(self, batch: float, state: float) -> float:
        """Seconds in which each of `batch` requests gets one token; `state`: seconds to read what one keeps. With a
        pipeline each stage works on its share of the batch, and a token passes them all; llama.cpp sends the whole
        batch from stage to stage."""
        batch = max(1.0, batch / self.shares)
        weights = max(self.weights(batch), (self.multiply + self.head_multiply) * batch)
        work = weights + state * batch + self.talk(batch)
        if not self.setup.cuda_graphs:
            work = max(work, self.launches)
        return self._with_host(work + self.gaps, self.host(batch))

    def host(self, batch: float) -> float:
        """Seconds of a step that the engine spends on the CPU."""
        return self.factor.step + self.factor.request * batch * self.shares

    def _with_host(self, device: float, host: float) -> float:
        return max(device, host) if self.overlaps else device + host

    def weights(self, tokens: float) -> float:
        """Seconds to read all weights that so many tokens of one step need."""
        read = self.read + self.head_read
        for seconds, share in self.experts:
            read += seconds * (1 - math.pow(1 - share, tokens))
        return read

    def state(self, context: float) -> float:
        """Seconds to read what one request of `context` tokens keeps."""
        return self.state_bytes(context) / (self.setup.device.bandwidth * self.factor.read_state)

    def talk(self, tokens: float) -> float:
        """Seconds that a step of so many tokens waits for other GPUs."""
        return self.talk_empty + self.talk_token * tokens

    def _talk(self, tokens: float) -> float:
        """2 all-reduces a layer between ranks, and one hand-over between stages, of tokens × hidden × bytes of an
        element each."""
        if self.gpu is None or self.ranks * self.stages == 1:
            return 0.0
        size = tokens * self.architecture.hidden * self.element
        latency = self.factor.nvlink if self.gpu.link == "nvlink" else self.factor.pcie
        reduce = communication.all_reduce(self.gpu, self.ranks, size, latency)
        hand_over = communication.send(self.gpu, size, latency)
        return communication.ALL_REDUCES * self.architecture.layers * reduce + (self.stages - 1) * hand_over

    def prefill(self, tokens: float) -> float:
        """Seconds of one prompt, alone on the engine, cut into pieces of at most as many tokens as one batch may have:

        max(weights once a piece, 2 × active × tokens) + attention over all pairs + talk + the rest a piece

        What an encoder hears first (Whisper: 1500 positions of 30 s) counts as so many tokens more: its weights are not
        told apart from the decoder's, so that this is slow by up to as much as the decoder weighs.
        """
        pieces = max(1, math.ceil(tokens / self.piece))
        piece = tokens / pieces
        work = max(self.weights(piece) * pieces, self.multiply * (tokens + self.heard) + self.head_multiply)
        work += _attention(self.architecture, tokens) / self.ranks / self.attention_rate + self.talk(piece) * pieces
        if not self.setup.cuda_graphs:
            work = max(work, self.launches * pieces)
        work = self._with_host(work + self.gaps * pieces, self.factor.step * pieces)
        return work / self.stages * communication.pipeline_fill(self.stages, pieces)


@dataclass(frozen=True, slots=True)
class _Read:
    """One part as a step reads it: `size` bytes, of which a token needs a `share`, and `operations` a token."""

    name: str
    bits: float
    cut: bool
    size: float
    share: float
    operations: float


@lru_cache(maxsize=1024)
def _read_parts(architecture: Architecture) -> tuple[_Read, ...]:
    """What a model has to read and multiply is the same on every device, and is asked for on each."""
    computed = sum(part.bytes for part in architecture.parts)
    scale = architecture.weight_bytes / computed if computed else 1.0
    return tuple(
        _Read(
            part.name,
            part.bits,
            part.split == "tensor",
            part.bytes * scale,
            part.read,
            2 * part.elements * part.read,
        )
        for part in architecture.parts
        if part.read > 0
    )


@lru_cache(maxsize=1024)
def _heard(architecture: Architecture) -> int:
    """Positions that an encoder makes of what it hears."""
    return max((group.window for group in architecture.groups if group.state == "cross"), default=0)


@lru_cache(maxsize=8192)
def _state_bytes(architecture: Architecture, ranks: int, element: float, context: float) -> float:
    return sum(_group_bytes(group, ranks, element, context) for group in architecture.groups if group.state != "none")


def _group_bytes(group: LayerGroup, ranks: int, element: float, context: float) -> float:
    if group.state == "recurrent":
        kept = sum(state.elements * state.bytes_per_element for state in group.recurrent)
        return 2 * group.count * kept / ranks  # read, and written back
    tokens = min(context, group.window) if group.state in ("sliding", "chunked") and group.window else context
    if group.state == "cross":
        tokens = group.window
    if group.state == "latent":
        return group.count * group.latent_dim * element * tokens
    heads = max(1, math.ceil(group.kv_heads / ranks))
    return group.count * heads * (group.key_dim + group.value_dim) * element * tokens


@lru_cache(maxsize=8192)
def _attention(architecture: Architecture, tokens: float) -> float:
    """Operations of attention over a prompt, all ranks: 2 for each dimension of a key and of a value, for each pair
    of a token and one before it (https://arxiv.org/abs/2205.14135, section 2)."""
    return sum(
        2 * group.count * architecture.heads * _width(group) * _pairs(group, tokens)
        for group in architecture.groups
        if group.state not in ("none", "recurrent")
    )


def _width(group: LayerGroup) -> float:
    return (group.key_dim + group.value_dim) or 2 * group.latent_dim


def _pairs(group: LayerGroup, tokens: float) -> float:
    if group.state == "cross":
        return tokens * group.window
    window = group.window if group.state in ("sliding", "chunked") and group.window else tokens
    if tokens <= window:
        return tokens * tokens / 2
    return tokens * window / 2 if group.state == "chunked" else window * (tokens - window / 2)


def crowded(device: Gpu | Cpu) -> float:
    """How much less of a CPU's bandwidth is left when its neighbours take all that they may: 2 is half; 1 for a GPU."""
    return device.bandwidth / device.guaranteed if isinstance(device, Cpu) and device.guaranteed else 1.0


def band(value: float, factor: float, *, up: float = 1.0, down: float = 1.0) -> Range:
    """`value`, give or take a factor; and as much more or less beside."""
    return Range(value / factor / down, value, value * factor * up)


def decode_step(architecture: Architecture, setup: Setup, batch: int, context: float) -> Range:
    """Seconds in which each of `batch` requests gets its next token, `context` tokens behind it on average."""
    model = Roofline(architecture, setup)
    return band(model.step(batch, model.state(context)), model.factor.decode_band, up=model.crowded)


def prefill(architecture: Architecture, setup: Setup, tokens: float) -> Range:
    """Seconds until a prompt of so many tokens is read, on an engine that does nothing else."""
    model = Roofline(architecture, setup)
    return band(model.prefill(tokens), model.factor.prefill_band)


def communication_share(architecture: Architecture, setup: Setup, batch: int, context: float) -> Range:
    """Share of a decode step in which GPUs wait for each other, from 0 to 1."""
    model = Roofline(architecture, setup)
    talk, step = model.talk(max(1.0, batch / model.shares)), model.step(batch, model.state(context))
    rest, wide = step - talk, model.factor.decode_band
    return Range(talk / wide / (talk / wide + rest), talk / step, talk * wide / (talk * wide + rest))
