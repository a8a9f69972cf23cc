"""Layers whose state does not grow: Mamba 1 and 2, gated delta nets, short convolutions.

The shapes of the states are those that engines allocate: vLLM `model_executor/layers/mamba/mamba_utils.py`
(`MambaStateShapeCalculator`), whose numbers of elements are given here over all ranks.
"""

from __future__ import annotations

from dataclasses import dataclass

from slipway.architectures.fields import Fields
from slipway.architectures.parts import Linear, Plain, Weight
from slipway.architectures.types import LayerGroup, RecurrentState

STATE_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0, "auto": 2.0}


def state_bytes(config: Fields) -> float:
    """Bytes an element of the state proper; convolutions keep the model's own type. vLLM's `auto` takes the type that
    the configuration names (mamba_ssm_dtype in Qwen 3.5, mamba_ssm_cache_dtype in Nemotron), else the model's."""
    for key in ("mamba_ssm_dtype", "mamba_ssm_cache_dtype"):
        word = config.word(key).removeprefix("torch.")
        if word:
            if word not in STATE_BYTES:
                raise config.fault(key, f"is {word!r}; known are {', '.join(STATE_BYTES)}")
            return STATE_BYTES[word]
    return 2.0


def _group(convolution: int, state: int, element: float) -> LayerGroup:
    kept: tuple[RecurrentState, ...] = (RecurrentState("convolution", convolution, 2.0),)
    if state:
        kept = (*kept, RecurrentState("state", state, element))
    return LayerGroup("recurrent", 1, recurrent=kept)


@dataclass(frozen=True)
class Mamba2:
    """A Mamba-2 mixer (arXiv 2405.21060)."""

    heads: int
    head_dim: int
    groups: int
    state: int
    kernel: int
    bias: bool = False
    conv_bias: bool = True
    normed: bool = True

    @property
    def inner(self) -> int:
        return self.heads * self.head_dim

    @property
    def convolved(self) -> int:
        return self.inner + 2 * self.groups * self.state


def mamba2_weights(hidden: int, spec: Mamba2, prefix: str) -> tuple[Weight, ...]:
    small = spec.convolved * (spec.kernel + spec.conv_bias) + 3 * spec.heads + (spec.inner if spec.normed else 0)
    wide = spec.inner + spec.convolved + spec.heads
    return (
        Linear("recurrent", f"{prefix}.in_proj", hidden, wide, bias=spec.bias),
        Linear("recurrent", f"{prefix}.out_proj", spec.inner, hidden, bias=spec.bias),
        Plain("recurrent", small, "tensor"),
    )


def mamba2_group(spec: Mamba2, element: float) -> LayerGroup:
    return _group(spec.convolved * (spec.kernel - 1), spec.inner * spec.state, element)


@dataclass(frozen=True)
class Mamba1:
    """A Mamba mixer (arXiv 2312.00752)."""

    inner: int
    state: int
    rank: int
    kernel: int
    bias: bool = False
    conv_bias: bool = True
    normed: bool = False
    """Jamba's norms of the step, B and C"""


def mamba1_weights(hidden: int, spec: Mamba1, prefix: str) -> tuple[Weight, ...]:
    small = spec.inner * (spec.kernel + spec.conv_bias + spec.state + 1)
    small += spec.rank + 2 * spec.state if spec.normed else 0
    return (
        Linear("recurrent", f"{prefix}.in_proj", hidden, 2 * spec.inner, bias=spec.bias),
        Linear("recurrent", f"{prefix}.x_proj", spec.inner, spec.rank + 2 * spec.state),
        Linear("recurrent", f"{prefix}.dt_proj", spec.rank, spec.inner, bias=True),
        Linear("recurrent", f"{prefix}.out_proj", spec.inner, hidden, bias=spec.bias),
        Plain("recurrent", small, "tensor"),
    )


def mamba1_group(spec: Mamba1, element: float) -> LayerGroup:
    return _group(spec.inner * (spec.kernel - 1), spec.inner * spec.state, element)


@dataclass(frozen=True)
class DeltaNet:
    """A gated delta net (arXiv 2412.06464), as in Qwen3-Next and Qwen 3.5."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    apart: bool
    """Qwen 3.5 keeps its four input projections apart, Qwen3-Next in two"""

    @property
    def keys(self) -> int:
        return self.key_heads * self.key_dim

    @property
    def values(self) -> int:
        return self.value_heads * self.value_dim

    @property
    def convolved(self) -> int:
        return 2 * self.keys + self.values


def delta_weights(hidden: int, spec: DeltaNet) -> tuple[Weight, ...]:
    if spec.apart:
        wide = {
            "in_proj_qkv": spec.convolved,
            "in_proj_z": spec.values,
            "in_proj_b": spec.value_heads,
            "in_proj_a": spec.value_heads,
        }
    else:
        wide = {"in_proj_qkvz": spec.convolved + spec.values, "in_proj_ba": 2 * spec.value_heads}
    small = spec.convolved * spec.kernel + 2 * spec.value_heads + spec.value_dim
    return (
        *(Linear("recurrent", f"linear_attn.{name}", hidden, width) for name, width in wide.items()),
        Linear("recurrent", "linear_attn.out_proj", spec.values, hidden),
        Plain("recurrent", small, "tensor"),
    )


def delta_group(spec: DeltaNet, element: float) -> LayerGroup:
    return _group(spec.convolved * (spec.kernel - 1), spec.values * spec.key_dim, element)


def convolution_weights(hidden: int, kernel: int, bias: bool) -> tuple[Weight, ...]:
    """A gated short convolution of LFM2."""
    return (
        Linear("recurrent", "conv.in_proj", hidden, 3 * hidden, bias=bias),
        Linear("recurrent", "conv.out_proj", hidden, hidden, bias=bias),
        Plain("recurrent", hidden * (kernel + bias), "tensor"),
    )


def convolution_group(hidden: int, kernel: int) -> LayerGroup:
    return _group(hidden * (kernel - 1), 0, 2.0)
