"""What sizing needs to know of a model: how many bytes its weights are, and what a request keeps while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

State = Literal["full", "sliding", "chunked", "latent", "cross", "recurrent", "none"]
"""full: keys and values of every token. sliding: of the last `window` tokens. chunked: of the current chunk of `window`
tokens. latent: one compressed vector a token (MLA), the same on every tensor-parallel rank. cross: of the `window`
tokens that an encoder makes of a source, whatever the request's length. recurrent: a state whose size does not grow
with the tokens (Mamba, gated delta nets, short convolutions). none: nothing of its own (layers that reuse another
layer's keys and values, and encoders)."""

Task = Literal["generate", "embed", "rerank", "transcribe"]

PartName = Literal[
    "embedding", "lm_head", "attention", "mlp", "experts", "shared_experts", "router", "norms", "recurrent", "vision",
    "audio", "mtp", "other",
]  # fmt: skip
Split = Literal["tensor", "replicated"]
"""how tensor parallelism lays a part out: cut into equal pieces, or whole on every rank"""


@dataclass(frozen=True)
class RecurrentState:
    """One tensor that a recurrent layer keeps for a request. `elements` over all tensor-parallel ranks."""

    name: str
    elements: int
    bytes_per_element: float


@dataclass(frozen=True)
class LayerGroup:
    """`count` layers that keep the same kind of state for a request. Dimensions are elements of one head."""

    state: State
    count: int
    kv_heads: int = 0
    key_dim: int = 0
    value_dim: int = 0
    window: int = 0
    """tokens; of sliding, chunked and cross layers"""
    latent_dim: int = 0
    """elements a token of a latent layer: kv_lora_rank + the rotary part"""
    recurrent: tuple[RecurrentState, ...] = ()
    """what one of these layers keeps"""


@dataclass(frozen=True)
class Part:
    """Weights that are stored and spread alike. `bits` is what an element really takes, scales included."""

    name: PartName
    elements: int
    bits: float
    split: Split = "tensor"
    read: float = 1.0
    """share of it that one token reads: experts used ÷ experts, 0 for an embedding table that is only looked up"""

    @property
    def bytes(self) -> float:
        return self.elements * self.bits / 8


@dataclass(frozen=True)
class Architecture:
    """One model as its files describe it. Token counts are tokens, dimensions elements."""

    name: str
    """repository id, or the path it was read from"""
    kind: str
    """the class that its configuration names, such as LlamaForCausalLM, or a GGUF's general.architecture"""
    task: Task
    hidden: int
    heads: int
    """query heads of the widest attention layer; what tensor parallelism divides"""
    vocab: int
    context: int
    """longest that the model was made for"""
    intermediate: int
    """width of the widest feed-forward layer that one token passes through"""
    groups: tuple[LayerGroup, ...]
    parts: tuple[Part, ...]
    dtype: str
    """of activations, and of the KV cache unless another is asked for: bf16, fp16 or fp32"""
    quantization: str = "none"
    """none, fp8, int8, awq, gptq, nvfp4, mxfp4, bitsandbytes, or gguf:TYPE"""
    experts: int = 0
    experts_per_token: int = 0
    file_bytes: int | None = None
    """what the index or the files say all tensors take together; exact, where `parts` is computed"""
    speculative_layers: int = 0
    """layers of a multi-token prediction head that came with the model"""
    notes: tuple[str, ...] = ()
    """what was read between the lines, as sentences"""
    source: str = ""
    """where the figures come from"""
    extra: dict[str, int] = field(default_factory=dict, hash=False)
    """other dimensions by name, where an engine's memory depends on them"""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Once: what is computed of a model is kept by it, and is asked for thousands of times."""
        return hash((self.name, self.kind, self.context, self.groups, self.parts, self.quantization, self.file_bytes))

    @cached_property
    def layers(self) -> int:
        return sum(group.count for group in self.groups)

    @cached_property
    def parameters(self) -> int:
        return sum(part.elements for part in self.parts)

    @cached_property
    def active_parameters(self) -> float:
        """Parameters that one token is multiplied with."""
        return sum(part.elements * part.read for part in self.parts)

    @cached_property
    def weight_bytes(self) -> float:
        """All weights: the files' own figure where there is one, else the sum of the parts."""
        return float(self.file_bytes) if self.file_bytes is not None else sum(part.bytes for part in self.parts)

    @cached_property
    def active_bytes(self) -> float:
        """Weights that one token reads, scaled to the files' own figure where there is one."""
        computed = sum(part.bytes for part in self.parts)
        return sum(part.bytes * part.read for part in self.parts) * (self.weight_bytes / computed if computed else 0)

    def without_encoders(self) -> Architecture:
        """The language model alone, as vLLM's --language-model-only loads it. What the files take together is then not
        known, so the parts are summed."""
        parts = tuple(part for part in self.parts if part.name not in ("vision", "audio"))
        return self if parts == self.parts else replace(self, parts=parts, file_bytes=None)

    @cached_property
    def hybrid(self) -> bool:
        """Whether layers keep state in more ways than one."""
        return len({group.state for group in self.groups} - {"none"}) > 1
