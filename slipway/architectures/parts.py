"""What a family says of its tensors, before their bits are known, and how they become the parts of an architecture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from slipway.architectures.quantization import Quantization
from slipway.architectures.types import LayerGroup, Part, PartName, Split


@dataclass(frozen=True)
class Linear:
    """A weight matrix that a quantiser may have packed, and its bias, which it never does."""

    part: PartName
    path: str
    """its module's name below its layer, or the whole name outside of layers; ignore lists are matched against it"""
    inputs: int
    outputs: int
    copies: int = 1
    """experts that have one"""
    used: float = 1.0
    """share of the copies that one token is multiplied with"""
    bias: bool = False
    split: Split = "tensor"


@dataclass(frozen=True)
class Plain:
    """Elements that keep the model's own type: norms, tables, convolutions, single vectors."""

    part: PartName
    elements: int
    split: Split = "replicated"
    read: float = 1.0


Weight = Linear | Plain


@dataclass(frozen=True)
class Layer:
    """The tensors of one layer, and the state it keeps (a group of one)."""

    weights: tuple[Weight, ...]
    group: LayerGroup
    parallel: LayerGroup | None = None
    """a second state that the same layer keeps (attention beside Mamba in Falcon-H1); it counts as one more layer"""


@dataclass(frozen=True)
class Draft:
    """An architecture but for its bits."""

    hidden: int
    heads: int
    vocab: int
    context: int
    intermediate: int
    layers: tuple[Layer, ...]
    outside: tuple[Weight, ...]
    """tensors of no layer"""
    experts: int = 0
    experts_per_token: int = 0
    speculative_layers: int = 0
    notes: tuple[str, ...] = ()
    extra: dict[str, int] = field(default_factory=dict)
    beside: tuple[Layer, ...] = ()
    """layers with other names than `layers.N`, such as an encoder's: no ignore list speaks of them one by one"""


def norm(hidden: int, count: int = 1, bias: bool = False) -> Plain:
    """`count` RMS norms, or layer norms with a bias."""
    return Plain("norms", count * hidden * (2 if bias else 1))


def ends(hidden: int, vocab: int, *, tied: bool, head: bool = True, bias: bool = False) -> tuple[Weight, ...]:
    """The embedding table and the output matrix. A tied table is read whole by the head, any other only looked up."""
    if tied and head:
        return (Plain("embedding", vocab * hidden, "tensor"),)
    table = Plain("embedding", vocab * hidden, "tensor", read=0.0)
    return (table, Linear("lm_head", "lm_head", hidden, vocab, bias=bias)) if head else (table,)


def alike(layers: tuple[Layer, ...]) -> Iterator[tuple[Layer, int]]:
    """Each different layer and how many there are. Equal ones are one object, which is quicker than to compare them."""
    objects = {id(layer): layer for layer in layers}
    for key, count in Counter(map(id, layers)).items():
        yield objects[key], count


def groups_of(layers: tuple[Layer, ...]) -> tuple[LayerGroup, ...]:
    """The layers' groups, equal ones as one with a count."""
    counts: Counter[LayerGroup] = Counter()
    for layer, times in alike(layers):
        counts[layer.group] += times
        if layer.parallel is not None:
            counts[layer.parallel] += times
    return tuple(replace(group, count=count) for group, count in counts.items())


def parts_of(draft: Draft, quantization: Quantization) -> tuple[Part, ...]:
    """All tensors as parts: those of one name, split and share read together, with their average bits."""
    found: dict[tuple[PartName, Split, float, float], list[float]] = {}

    def add(name: PartName, split: Split, read: float, elements: int, bits: float) -> None:
        if elements:
            # Packed tensors and those left alone stay apart: they are 4 and 16 bits, never "about 9".
            entry = found.setdefault((name, split, read, round(bits)), [0, 0.0])
            entry[0] += elements
            entry[1] += elements * bits

    def weigh(weight: Weight, times: int, path: str | None) -> None:
        if isinstance(weight, Plain):
            add(weight.part, weight.split, weight.read, weight.elements * times, quantization.native)
            return
        elements = weight.inputs * weight.outputs * weight.copies * times
        if not elements:
            return
        bits = quantization.bits(weight.part, path or weight.path, weight.inputs, weight.outputs)
        add(weight.part, weight.split, weight.used, elements, bits)
        if weight.bias:
            count = weight.outputs * weight.copies * times
            add(weight.part, weight.split, weight.used, count, quantization.native)

    for weight in draft.outside:
        weigh(weight, 1, None)
    if quantization.by_layer:
        for index, layer in enumerate(draft.layers):
            for weight in layer.weights:
                weigh(weight, 1, f"layers.{index}.{weight.path}" if isinstance(weight, Linear) else None)
    for layers in (draft.beside,) if quantization.by_layer else (draft.layers, draft.beside):
        for layer, times in alike(layers):
            for weight in layer.weights:
                weigh(weight, times, f"layers.0.{weight.path}" if isinstance(weight, Linear) else None)
    return tuple(
        Part(name, int(elements), bits / elements, split, read)
        for (name, split, read, _), (elements, bits) in found.items()
    )
