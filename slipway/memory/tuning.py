"""What fine-tuning takes in memory: weights, gradients, optimizer states and activations, a GPU. Memory and fit only.

All of it at once, on `gpus` GPUs that share weights, gradients and states (ZeRO stage 3, FSDP) and keep activations of
their own. N is the number of parameters, T that of trained ones, s·b the tokens of one step on one GPU.

- Full, mixed precision with AdamW: 2 N weights + 2 N gradients + 12 N states (a copy, momentum and variance in 32 bits)
  = 16 N bytes (ZeRO, arxiv.org/abs/1910.02054, section 3.1); gradients in 32 bits make it 18 N
  (huggingface.co/docs/transformers/model_memory_anatomy, which also has 2 N instead of 8 N for momentum and variance in
  8 bits).
- LoRA: 2 N frozen weights, and 16 T for the adapters, which PEFT keeps in 32 bits: weights, gradients, two states.
  A matrix of `in` × `out` gets rank × (in + out) of them (arxiv.org/abs/2106.09685).
- QLoRA: linear layers in NF4, 4 bits and the constants of their blocks, 8/64 + 32/(64·256) = 0.127 bits with double
  quantisation (arxiv.org/abs/2305.14314, section 3); tables, output and norms stay, in 32 bits as PEFT prepares them.
  The paper's own measure of LLaMA-7B, 5,048 MB, is 4.94 bits then: the upper bound here.
- Activations: what a layer's backward pass needs of its forward pass, counted as by Korthikanti et al.
  (arxiv.org/abs/2205.05198) with an attention that keeps no s × s matrix; with checkpointing only each layer's input, 2
  bytes an element, and one layer at a time anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

from slipway.architectures.types import Architecture
from slipway.errors import SizingError
from slipway.estimates import Range
from slipway.gpus import Gpu
from slipway.units import GIB, quoted

Method = Literal["full", "lora", "qlora"]
Optimizer = Literal["adamw", "adamw-8bit"]

HALF, FULL = 2.0, 4.0
"""bytes of a number in 16 and in 32 bits"""
MASTER = FULL
MOMENTS = {"adamw": 2 * FULL, "adamw-8bit": 2.0}
"""bytes a trained parameter"""
GRADIENTS = Range(HALF, HALF, FULL)
ADAPTER = FULL
NF4 = 4 + 8 / 64 + 32 / (64 * 256)
NF4_MEASURED = 4.94
KEPT_LAYERS = Range(1, 2, 3)
"""layers whose shards are gathered at once: the one that computes, and those fetched ahead; so are the tables, which
FSDP's outermost unit holds"""
CONTEXT = Range(0.5 * GIB, 0.8 * GIB, 1.5 * GIB)
"""CUDA, cuBLAS and the allocator's first blocks; an allowance without a source beyond the 650 MB that gpu_poor takes"""
TALK = Range(0.2 * GIB, 0.4 * GIB, 1.0 * GIB)
"""NCCL's buffers between GPUs; an allowance without a source"""
FRAGMENTED = 0.05
"""of everything, in the worst case; an allowance without a source"""
MAX_GPUS = 4096

FROZEN_TABLES = frozenset({"embedding", "lm_head", "norms", "router", "vision", "audio"})
"""what a 4-bit loader leaves alone"""
ADAPTED = ("attention", "mlp", "shared_experts", "recurrent")
"""what gets adapters; experts and routers stay as they are"""


@dataclass(frozen=True)
class TrainingPlan:
    """What is asked: see `training_fit`."""

    architecture: Architecture
    gpu: Gpu
    gpus: int
    method: Method
    batch: int
    sequence: int
    rank: int
    checkpointing: bool
    optimizer: Optimizer


@dataclass(frozen=True)
class TrainingFit:
    """Whether a fine-tuning fits, with its terms. Bytes, of one GPU."""

    method: Method
    gpus: int
    trained: Range
    """parameters that change, over all GPUs"""
    usable: Range
    weights: Range
    gradients: Range
    optimizer: Range
    activations: Range
    overhead: Range
    """CUDA and its libraries, gathered layers, unpacked matrices, fragmentation"""
    plan: TrainingPlan = field(repr=False)

    @cached_property
    def total(self) -> Range:
        return self.weights + self.gradients + self.optimizer + self.activations + self.overhead

    @property
    def verdict(self) -> Literal["fits", "tight", "no"]:
        """fits: even the worst of every range. tight: the best guess. no: not even that."""
        total = self.total
        return "fits" if total.high <= self.usable.low else "tight" if total.mid <= self.usable.mid else "no"

    @property
    def fits(self) -> bool:
        return self.verdict == "fits"

    @cached_property
    def smallest_gpus(self) -> int | None:
        """Of this kind, that hold it even in the worst case; None where activations alone are too large for one."""
        return _smallest(self.plan)

    @cached_property
    def changes(self) -> tuple[str, ...]:
        """What would make it fit, each alone, as sentences; empty where it does."""
        return () if self.fits else _changes(self)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was taken for granted, as sentences."""
        return _notes(self.plan)


def adapters(architecture: Architecture, rank: int) -> Range:
    """Parameters of LoRA adapters: of query and value matrices alone (PEFT's default) to those of every linear layer
    that is no expert's (QLoRA's advice).

    A matrix of E elements with one side of the hidden size H has the other of E / H, so n matrices with E elements in
    all have n·H + E / H rows and columns.
    """
    hidden, layers = architecture.hidden, max(1, architecture.layers)
    elements = dict.fromkeys(ADAPTED, 0)
    for part in architecture.parts:
        if part.name in elements:
            elements[part.name] += part.elements
    matrices = {"attention": 4, "mlp": 3, "shared_experts": 3, "recurrent": 3}
    every = sum(matrices[name] * layers * hidden + size / hidden for name, size in elements.items() if size)
    some = 2 * layers * hidden + elements["attention"] / 2 / hidden
    return Range(min(some, every), every, every).scaled(rank)


def layer_activations(architecture: Architecture) -> Range:
    """Bytes a token that the backward pass of one layer needs, in 16 bits: inputs and outputs of both norms (8 H);
    query, key, value and the attention's result (2 bytes for each row or column of its matrices that is not H); gate,
    up, their activation and their product (8 times the intermediate size). Unfused norms in 32 bits add 16 H.

    Korthikanti's GPT layer has 34 H; a Llama layer (no dropout, three matrices) has somewhat more:

    >>> from slipway.architectures.types import LayerGroup, Part
    >>> h, i = 4096, 11008
    >>> parts = (Part("attention", 32 * 4 * h * h, 16), Part("mlp", 32 * 3 * h * i, 16))
    >>> groups = (LayerGroup("full", 32, 32, 128, 128),)
    >>> llama = Architecture("llama", "", "generate", h, 32, 32000, 2048, i, groups, parts, "bf16")
    >>> round(layer_activations(llama).mid / h, 1)
    37.5
    """
    hidden, layers = architecture.hidden, max(1, architecture.layers)
    inner = (
        sum(part.elements for part in architecture.parts if part.name in ("attention", "recurrent")) / hidden / layers
    )
    mid = 8 * hidden + HALF * inner + 4 * HALF * architecture.intermediate
    return Range(0.8 * mid, mid, mid + 16 * hidden)


def activation_bytes(architecture: Architecture, batch: int, sequence: int, *, checkpointing: bool) -> Range:
    """Activations of one step on one GPU: the layers', and the logits. These take 2 bytes an element of the vocabulary
    where the loss is computed in pieces, 4 more for each of a copy in 32 bits and its gradient, and up to 14 in all."""
    tokens = batch * sequence
    layer = layer_activations(architecture)
    boundary = HALF * architecture.hidden * architecture.layers
    kept = layer + Range.exact(boundary) if checkpointing else layer.scaled(architecture.layers)
    logits = Range(2, 10, 14).scaled(architecture.vocab if architecture.task == "generate" else 0)
    return (kept + logits).scaled(tokens)


def training_fit(
    architecture: Architecture,
    gpu: Gpu,
    *,
    gpus: int = 1,
    method: Method,
    batch: int = 1,
    sequence: int,
    rank: int = 16,
    checkpointing: bool = True,
    optimizer: Optimizer = "adamw",
) -> TrainingFit:
    """Whether a fine-tuning fits `gpus` of these GPUs, `batch` sequences of `sequence` tokens on each at once.

    Raises SizingError for a method or optimizer that is not known, and for counts below 1.
    """
    _check(architecture, method, optimizer, gpus=gpus, batch=batch, sequence=sequence, rank=rank)
    return _fit(TrainingPlan(architecture, gpu, gpus, method, batch, sequence, rank, checkpointing, optimizer))


def _check(architecture: Architecture, method: str, optimizer: str, **counts: int) -> None:
    where = f"fine-tuning {architecture.name}"
    if method not in get_args(Method):
        raise SizingError(f"{quoted(method)} is no method", where=where, fix="Take full, lora or qlora")
    if optimizer not in MOMENTS:
        raise SizingError(f"{quoted(optimizer)} is no optimizer", where=where, fix="Take adamw or adamw-8bit")
    for name, count in counts.items():
        if not 1 <= count <= 10**9:
            raise SizingError(f"{name} is {count}", where=where, fix="Give a number from 1 to a billion")


def _fit(plan: TrainingPlan) -> TrainingFit:
    weights, gradients, optimizer, trained = _states(plan)
    activations = activation_bytes(plan.architecture, plan.batch, plan.sequence, checkpointing=plan.checkpointing)
    shared = (term.scaled(1 / plan.gpus) for term in (weights, gradients, optimizer))
    weights, gradients, optimizer = shared
    overhead = _overhead(plan)
    worst = (weights + gradients + optimizer + activations + overhead).high
    overhead = Range(overhead.low, overhead.mid, overhead.high + FRAGMENTED * worst)
    usable = Range.exact(plan.gpu.usable)
    return TrainingFit(
        plan.method, plan.gpus, trained, usable, weights, gradients, optimizer, activations, overhead, plan
    )


def _states(plan: TrainingPlan) -> tuple[Range, Range, Range, Range]:
    """Weights, gradients, optimizer states, over all GPUs; and the number of trained parameters."""
    count = plan.architecture.parameters
    moments = MOMENTS[plan.optimizer]
    if plan.method == "full":
        return (
            Range.exact((HALF + MASTER) * count),
            GRADIENTS.scaled(count),
            Range.exact(moments * count),
            Range.exact(count),
        )
    trained = adapters(plan.architecture, plan.rank)
    base = Range.exact(HALF * count) if plan.method == "lora" else _four_bits(plan.architecture)
    return base + trained.scaled(ADAPTER), trained.scaled(ADAPTER), trained.scaled(moments), trained


def _four_bits(architecture: Architecture) -> Range:
    """A base in NF4, with what stays in 16 or 32 bits."""
    left = sum(part.elements for part in architecture.parts if part.name in FROZEN_TABLES)
    packed = architecture.parameters - left
    return Range(
        packed * NF4 / 8 + HALF * left, packed * NF4 / 8 + FULL * left, packed * NF4_MEASURED / 8 + FULL * left
    )


def _overhead(plan: TrainingPlan) -> Range:
    """What is there beside states and activations, before fragmentation."""
    architecture = plan.architecture
    overhead = CONTEXT
    if plan.method == "qlora":
        # One matrix is unpacked at a time.
        overhead += Range.exact(HALF * architecture.hidden * max(architecture.hidden, architecture.intermediate))
    if plan.gpus > 1:
        tables = sum(part.elements for part in architecture.parts if part.name in ("embedding", "lm_head"))
        layer = (architecture.parameters - tables) / max(1, architecture.layers)
        # A full fine-tuning has a layer's gradients whole for a moment, too.
        each = {"full": 2 * HALF, "lora": HALF, "qlora": NF4 / 8}[plan.method]
        overhead += TALK + KEPT_LAYERS.scaled(each * layer) + Range(0, HALF * tables / 2, HALF * tables)
    return overhead


def _smallest(plan: TrainingPlan) -> int | None:
    """GPUs that hold it in the worst case: what is shared, over what each has left. One GPU gathers nothing."""
    if _fit(replace(plan, gpus=1)).fits:
        return 1
    weights, gradients, optimizer, _ = _states(plan)
    several = replace(plan, gpus=2)
    activations = activation_bytes(plan.architecture, plan.batch, plan.sequence, checkpointing=plan.checkpointing)
    left = plan.gpu.usable / (1 + FRAGMENTED) - (activations + _overhead(several)).high
    if left <= 0:
        return None
    count = max(2, math.ceil((weights + gradients + optimizer).high / left))
    return count if count <= MAX_GPUS else None


def _notes(plan: TrainingPlan) -> tuple[str, ...]:
    notes = []
    architecture = plan.architecture
    if architecture.quantization != "none":
        notes.append(
            f"the weights are published in {architecture.quantization}; fine-tuning starts from them in 16 bits"
        )
    if plan.method != "full" and architecture.experts:
        notes.append("experts get no adapters")
    if plan.method == "qlora" and architecture.experts:
        notes.append("experts are counted in 4 bits; loaders that keep them as one tensor leave them in 16")
    if plan.sequence > architecture.context:
        notes.append(
            f"sequences of {plan.sequence} tokens are longer than the model's context of {architecture.context}"
        )
    return tuple(notes)


def _changes(found: TrainingFit) -> tuple[str, ...]:
    """What makes it fit, one change at a time, the mildest first."""
    plan = found.plan
    mild = []
    if not plan.checkpointing:
        mild.append(("turn gradient checkpointing on", replace(plan, checkpointing=True)))
    if plan.batch > 1:
        mild.append(("take 1 sequence at once", replace(plan, batch=1)))
    if len(mild) == 2:
        mild.append((f"{mild[0][0]} and {mild[1][0]}", replace(plan, checkpointing=True, batch=1)))
    if plan.method == "full" and plan.optimizer == "adamw":
        mild.append(("take AdamW in 8 bits", replace(plan, optimizer="adamw-8bit")))
    lighter: dict[Method, tuple[Method, ...]] = {"full": ("lora", "qlora"), "lora": ("qlora",), "qlora": ()}
    mild += [
        (f"take {method} instead of {plan.method}", replace(plan, method=method)) for method in lighter[plan.method]
    ]
    changes = []
    for words, other in mild:
        fit = _fit(other)
        if fit.fits:
            changes.append(f"{words}: {_gib(fit.total.high)} ≤ {_gib(fit.usable.low)} usable a GPU")
    length = _longest(found)
    if length:
        changes.insert(0, f"shorten sequences from {plan.sequence} to {length} tokens")
    smallest = found.smallest_gpus
    if smallest is not None and smallest > plan.gpus:
        changes.append(f"take {smallest} × {plan.gpu.name} instead of {plan.gpus}, which share weights and states")
    return tuple(changes)


def _longest(found: TrainingFit) -> int:
    """The longest sequence that fits, in steps of 256 tokens; 0 where none of 256 or more does."""
    # Activations grow in proportion to the tokens, everything else stays.
    plan = found.plan
    others = found.total.high - found.activations.high * (1 + FRAGMENTED)
    room = (plan.gpu.usable - others) / (1 + FRAGMENTED)
    length = int(plan.sequence * room / found.activations.high) // 256 * 256
    return length if 256 <= length < plan.sequence else 0


def _gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
