"""What each layer of a GGUF keeps for a request: from its tensors, the metadata, and what llama.cpp knows by heart.

Which layers slide is partly in llama.cpp's loaders only (`set_swa_pattern` in src/models/*.cpp), and so are the sizes
of recurrent states (`n_embd_r`, `n_embd_s` in src/llama-hparams.cpp, which it keeps in 32 bits).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from slipway.architectures.fields import Fields
from slipway.architectures.gguf.header import Tensor
from slipway.architectures.types import LayerGroup, RecurrentState, State
from slipway.units import quoted

MAX_LAYERS = 10_000

SLIDING = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "exaone-moe": (4, False),
    "exaone4": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gpt-oss": (2, False),
    "laguna": (4, True),
    "llama4": (4, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}
"""period, and whether the one full layer of each period is its first rather than its last. Where a header has the
pattern itself, a number replaces the period and a list says it layer by layer."""
WINDOWS = {"gemma2": 4096, "llama4": 8192}
"""windows that a header need not say"""
NO_WINDOW = frozenset({"phi3"})
"""llama.cpp keeps all tokens of these, whatever their header says"""
CHUNKED = frozenset({"llama4"})
ENCODERS = frozenset(
    {"bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert", "nomic-bert",
     "nomic-bert-moe"}
)  # fmt: skip
"""read a text at once, and keep nothing"""
REUSED_FROM = {"gemma3n": 20}
"""first layer that reuses the keys and values of another, where the header need not say"""
RECURRENT = ("ssm_", "shortconv", "time_mix")
"""how the names of a recurrent layer's tensors start"""
STATE_BYTES = 4.0


@dataclass(frozen=True)
class Layers:
    groups: tuple[LayerGroup, ...]
    heads: int
    """of the widest layer; 1 where no layer has any"""
    speculative: int
    notes: tuple[str, ...]
    extra: dict[str, int]
    """dimensions that an engine's memory depends on, by the names that configurations give them"""


def read_layers(fields: Fields, arch: str, tensors: Mapping[str, Tensor]) -> Layers:
    """All layers as groups. Raises SizingError where the tensors do not match what the metadata say."""
    blocks = fields.integer(f"{arch}.block_count", high=MAX_LAYERS)
    speculative = fields.quiet(f"{arch}.nextn_predict_layers", 0, high=blocks - 1)
    found: dict[int, set[str]] = {index: set() for index in range(blocks)}
    for name in tensors:
        if name.startswith("blk."):
            _, number, component, *_ = [*name.split("."), "", ""]
            if not number.isdecimal() or len(number) > 5 or int(number) >= blocks:
                raise fields.fault(f"{arch}.block_count", f"is {blocks}, but there is a tensor {quoted(name)}")
            found[int(number)].add(component)
    empty = next((index for index, components in found.items() if not components), None)
    if empty is not None:
        raise fields.fault(f"{arch}.block_count", f"is {blocks}, but layer {empty} has no tensor")
    reader = _LayerReader(fields, arch, blocks, tensors)
    groups: Counter[LayerGroup] = Counter()
    for index in range(blocks - speculative):
        groups.update(reader.layer(index, found[index]))
    return Layers(
        tuple(replace(group, count=count) for group, count in groups.items()),
        max(1, *reader.heads),
        speculative,
        tuple(dict.fromkeys(reader.notes)),
        {name: size for name, size in reader.extra.items() if size},
    )


class _LayerReader:
    """The metadata of all layers, taken once."""

    def __init__(self, fields: Fields, arch: str, blocks: int, tensors: Mapping[str, Tensor]) -> None:
        self.fields, self.arch, self.blocks, self.tensors = fields, arch, blocks, tensors
        self.notes: list[str] = []
        self.hidden = fields.integer(f"{arch}.embedding_length")
        self.heads = self._each("attention.head_count", [0] * blocks)
        self.kv_heads = self._each("attention.head_count_kv", self.heads)
        # As llama.cpp does: a head's size is that of the first layer, where it is not written.
        first = next((heads for heads in self.heads if heads), 1)
        self.key = self._number("attention.key_length", self.hidden // first)
        self.value = self._number("attention.value_length", self.hidden // first)
        self.extra = {"head_dim": self.key, "moe_intermediate": self._number("expert_feed_forward_length", 0)}
        self.window = self._number("attention.sliding_window", WINDOWS.get(arch, 0))
        self.sliding = self._sliding()
        self.latent = 0
        if self._number("attention.key_length_mla", 0):
            self.latent = fields.integer(f"{arch}.attention.kv_lora_rank") + fields.integer(
                f"{arch}.rope.dimension_count"
            )
            self.extra["index_head_dim"] = self._number("attention.indexer.key_length", 0)
        shared = self._number("attention.shared_kv_layers", max(0, blocks - REUSED_FROM.get(arch, blocks)))
        self.own = blocks - min(shared, blocks)

    def _number(self, key: str, default: int) -> int:
        return self.fields.quiet(f"{self.arch}.{key}", default)

    def _each(self, key: str, default: list[int]) -> list[int]:
        """A number for each layer, from one number or a list of them."""
        name = f"{self.arch}.{key}"
        if not isinstance(self.fields.values.get(name), list):
            only = self.fields.maybe(name, low=0)
            return default if only is None else [only] * self.blocks
        values = self.fields.integers(name) or ()
        if len(values) < self.blocks:
            raise self.fields.fault(name, f"has {len(values)} entries for {self.blocks} layers")
        return list(values[: self.blocks])

    def _sliding(self) -> list[bool]:
        """Which layers see the window only."""
        key = f"{self.arch}.attention.sliding_window_pattern"
        pattern = self.fields.values.get(key)
        none = [False] * self.blocks
        if self.window == 0 or self.arch in NO_WINDOW:
            return none
        if isinstance(pattern, list):
            if len(pattern) < self.blocks:
                raise self.fields.fault(key, f"has {len(pattern)} entries for {self.blocks} layers")
            return [bool(item) for item in pattern[: self.blocks]]
        if self.arch not in SLIDING:
            if pattern is not None:
                raise self.fields.fault(key, "is given for an architecture whose pattern is not known to slide")
            self.notes.append(f"a window of {self.window} is written, but llama.cpp keeps all tokens of {self.arch}")
            return none
        period, full_first = SLIDING[self.arch]
        period = self.fields.quiet(key, period, low=1)
        return [index % period != (0 if full_first else period - 1) for index in range(self.blocks)]

    def layer(self, index: int, components: set[str]) -> list[LayerGroup]:
        """What one layer keeps: a layer with attention and a recurrence side by side keeps both."""
        if self.arch in ENCODERS:
            return [LayerGroup("none", 1)]
        kept = []
        recurrent = any(component.startswith(RECURRENT) for component in components)
        attention = any(component.startswith("attn_k") for component in components) or "attn_qkv" in components
        # A linear attention layer has q, k and v as well; the full one beside a recurrence has keys of its own.
        if recurrent and ("attn_k" not in components or self.kv_heads[index] == 0):
            attention = False
        if attention and self.kv_heads[index] == 0 and not self.latent:
            name = f"{self.arch}.attention.head_count_kv"
            raise self.fields.fault(name, f"is 0 or missing, but layer {index} has attention")
        if attention and index < self.own:
            kept.append(self._attention(index))
        if recurrent:
            kept.append(LayerGroup("recurrent", 1, recurrent=self._states()))
        return kept or [LayerGroup("none", 1)]

    def _attention(self, index: int) -> LayerGroup:
        if self.latent:
            return LayerGroup("latent", 1, latent_dim=self.latent)
        slides = self.sliding[index]
        key, value = self.key, self.value
        if slides:
            key, value = (
                self._number("attention.key_length_swa", key),
                self._number("attention.value_length_swa", value),
            )
        heads = self.kv_heads[index]
        self._check(f"blk.{index}.attn_k.weight", heads, key, "key_length")
        self._check(f"blk.{index}.attn_v.weight", heads, value, "value_length")
        if not slides:
            return LayerGroup("full", 1, heads, key, value)
        state: State = "chunked" if self.arch in CHUNKED else "sliding"
        return LayerGroup(state, 1, heads, key, value, window=self.window)

    def _check(self, name: str, heads: int, size: int, key: str) -> None:
        tensor = self.tensors.get(name)
        if tensor is not None and (len(tensor.dimensions) < 2 or tensor.dimensions[1] != heads * size):
            is_ = f"makes {heads} heads × {size} = {heads * size}, but {name} has the shape {tensor.dimensions}"
            raise self.fields.fault(f"{self.arch}.attention.{key}", is_)

    def _states(self) -> tuple[RecurrentState, ...]:
        """`n_embd_r` and `n_embd_s` of llama.cpp: what convolutions (or token shifts) and recurrences keep."""
        number = self._number
        wkv, short, delta = number("wkv.head_size", 0), number("shortconv.l_cache", 0), number("kda.head_dim", 0)
        if wkv:
            shift = RecurrentState("shift", number("token_shift_count", 2) * self.hidden, STATE_BYTES)
            return (shift, RecurrentState("state", self.hidden * wkv, STATE_BYTES))
        if short:
            return (RecurrentState("convolution", self.hidden * (short - 1), STATE_BYTES),)
        past = self.fields.integer(f"{self.arch}.ssm.conv_kernel") - 1
        if delta:
            heads = max(self.heads)
            convolution = RecurrentState("convolution", 3 * past * heads * delta, STATE_BYTES)
            return (convolution, RecurrentState("state", heads * delta * delta, STATE_BYTES))
        inner = self.fields.integer(f"{self.arch}.ssm.inner_size")
        size = self.fields.integer(f"{self.arch}.ssm.state_size")
        channels = inner + 2 * number("ssm.group_count", 0) * size
        return (
            RecurrentState("convolution", past * channels, STATE_BYTES),
            RecurrentState("state", size * inner, STATE_BYTES),
        )
