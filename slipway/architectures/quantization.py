"""How many bits an element takes: the quantisation blocks of config.json, scales and zero points counted.

Formats are as their own tools write them: transformers `utils/quantization_config.py` (fp8, awq, gptq, mxfp4,
bitsandbytes), compressed-tensors `quant_config.py` and `quant_args.py`, modelopt's `hf_quant_config.json`.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from slipway.architectures.fields import Fields
from slipway.architectures.patterns import Matcher
from slipway.architectures.types import PartName

PER_CHANNEL = -1
MOST_FORMATS = 8
"""of one model; those that mix formats have two or three"""


@dataclass(frozen=True)
class Format:
    """How one kind of packed matrix is stored. A scale belongs to `group` inputs of one output, to all of them
    (PER_CHANNEL), to a block of `block[0]` × `block[1]`, or to the whole matrix (group 0)."""

    kind: str
    bits: float
    group: int = 0
    scale_bits: float = 16
    zero_bits: float = 0
    block: tuple[int, int] | None = None
    index_bits: float = 0
    """bits an input, such as GPTQ's g_idx"""

    def element_bits(self, inputs: int, outputs: int) -> float:
        """Bits that an element of such a matrix takes, scales and zero points included."""
        bits = self.bits + self.index_bits / outputs
        if self.block is not None:
            rows, columns = -(-outputs // self.block[0]), -(-inputs // self.block[1])
            return bits + self.scale_bits * rows * columns / (inputs * outputs)
        group = inputs if self.group == PER_CHANNEL else min(self.group, inputs)
        return bits + (self.scale_bits + self.zero_bits) / group if group else bits


class Quantization:
    """The bits of every module of one model."""

    def __init__(
        self,
        name: str,
        native: int,
        formats: tuple[tuple[Matcher | None, Format], ...] = (),
        *,
        ignored: Matcher | None = None,
        never: frozenset[PartName] = frozenset(),
        kv_bits: int | None = None,
    ) -> None:
        self.name = name
        self.native = native
        """bits of what is not packed"""
        self.kv_bits = kv_bits
        """what the file asks of the KV cache; None leaves it to the engine"""
        self._formats = formats
        self._ignored = ignored
        if ignored is not None and ignored.multimodal:
            never = never | {"vision", "audio"}
        self._never = never
        matchers = [ignored, *(matcher for matcher, _ in formats)]
        self.by_layer = any(matcher.by_layer for matcher in matchers if matcher is not None)
        """whether layers that are alike may still be stored differently"""

    def sparing(self, *parts: PartName) -> Quantization:
        """The same, but that these parts are never packed."""
        found = copy(self)
        found._never = self._never | set(parts)
        return found

    def bits(self, part: PartName, path: str, inputs: int, outputs: int) -> float:
        """Bits an element of the module at `path`."""
        if not self._formats or part in self._never or (self._ignored is not None and path in self._ignored):
            return self.native
        for matcher, form in self._formats:
            if matcher is None or path in matcher:
                return form.element_bits(inputs, outputs)
        return self.native


OUTSIDE: frozenset[PartName] = frozenset({"lm_head", "embedding", "vision", "audio", "router", "other", "mtp"})
"""what AWQ, GPTQ and the fp8 quantizers leave alone by themselves: they pack the linear layers of decoder blocks"""


def read_quantization(config: Fields, native: int) -> Quantization:
    """The quantisation of a model from its configuration. Raises `SizingError` for a method that is not known."""
    block = config.section("quantization_config") or config.section("compression_config")
    text = config.section("text_config")
    if block is None and text is not None and "quantization_config" in text:
        # Of the language model alone, as in Kimi-K2.5: its encoders stay as they are.
        return read_quantization(text, native).sparing("vision", "audio")
    if block is None:
        return Quantization("none", native)
    method = block.word("quant_method").lower().replace("_", "-")
    if not method and (block.flag("load_in_4bit", False) or block.flag("load_in_8bit", False)):
        method = "bitsandbytes"
    if not method:
        method = "modelopt" if "quant_algo" in block else method
    reader = METHODS.get(method)
    if reader is None:
        known = ", ".join(sorted(METHODS))
        what = f"is {method!r}, which Slipway cannot weigh" if method else "is missing"
        raise block.fault("quant_method", what, f"Known are {known}; name the model without its quantisation instead")
    return reader(block, native)


def _fp8(block: Fields, native: int) -> Quantization:
    ignored = Matcher(block.words("modules_to_not_convert") or block.words("ignored_layers"), block.where)
    sizes = block.integers("weight_block_size", 1, 2**20, 2)
    if sizes is not None and len(sizes) != 2:
        raise block.fault("weight_block_size", "is no pair of numbers")
    form = Format("fp8", 8, block=(sizes[0], sizes[1]) if sizes else None, scale_bits=32)
    return Quantization("fp8", native, ((None, form),), ignored=ignored, never=OUTSIDE - {"mtp"})


def _fbgemm(block: Fields, native: int) -> Quantization:
    """Llama 3.1 405B and Llama 4 Maverick: one fp32 scale an output channel."""
    ignored = Matcher(block.words("modules_to_not_convert"), block.where)
    form = Format("fp8", 8, group=PER_CHANNEL, scale_bits=32)
    return Quantization("fp8", native, ((None, form),), ignored=ignored, never=OUTSIDE)


def _awq(block: Fields, native: int) -> Quantization:
    bits = block.integer("bits", "w_bit", low=2, high=8, default=4)
    group = block.integer("group_size", "q_group_size", low=-1, default=128)
    zero = bits if block.flag("zero_point", True) else 0
    ignored = Matcher(block.words("modules_to_not_convert"), block.where)
    form = Format("awq", bits, group, 16, zero)
    return Quantization("awq", native, ((None, form),), ignored=ignored, never=OUTSIDE)


def _gptq(block: Fields, native: int) -> Quantization:
    bits = block.integer("bits", low=2, high=8)
    form = Format("gptq", bits, block.integer("group_size", low=-1, default=128), 16, bits, index_bits=32)
    never = OUTSIDE - {"lm_head"} if block.flag("lm_head", False) else OUTSIDE
    ignored = Matcher(block.words("modules_in_block_to_not_quantize"), block.where)
    dynamic = block.section("dynamic")
    if dynamic is not None:  # GPTQModel writes "-:pattern" for what it skipped
        skipped = [f"re:{name[2:]}" for name in dynamic.values if name.startswith("-:")]
        ignored = Matcher(skipped, block.where)
    return Quantization("gptq", native, ((None, form),), ignored=ignored, never=never)


def _bitsandbytes(block: Fields, native: int) -> Quantization:
    ignored = Matcher(block.words("llm_int8_skip_modules") or ("lm_head",), block.where)
    if block.flag("load_in_8bit", False):
        form = Format("bitsandbytes", 8, PER_CHANNEL, 32)
    else:  # absmax of 64 elements: fp32, or 8 bits and an fp32 for 256 of them
        nested = block.flag("bnb_4bit_use_double_quant", False)
        form = Format("bitsandbytes", 4, 64, 8 + 32 / 256 if nested else 32)
    return Quantization("bitsandbytes", native, ((None, form),), ignored=ignored, never=frozenset({"embedding"}))


def _mxfp4(block: Fields, native: int) -> Quantization:
    """OCP Microscaling: 4 bits and an 8-bit scale for 32 elements; in gpt-oss of experts alone."""
    ignored = Matcher(block.words("modules_to_not_convert"), block.where)
    never: frozenset[PartName] = frozenset({*OUTSIDE, "attention", "mlp", "shared_experts", "recurrent"})
    return Quantization("mxfp4", native, ((None, Format("mxfp4", 4, 32, 8)),), ignored=ignored, never=never)


NVFP4 = Format("nvfp4", 4, 16, 8)
"""4 bits and an fp8 scale for 16 elements"""


def _compressed(block: Fields, native: int) -> Quantization:
    formats: list[tuple[Matcher | None, Format]] = []
    for _, group in block.sections("config_groups"):
        weights = group.section("weights")
        if weights is None:
            continue
        targets = group.words("targets")
        matcher = None if not targets or "Linear" in targets else Matcher(targets, block.where)
        formats.append((matcher, _compressed_format(weights)))
    if not formats:
        raise block.missing("config_groups")
    if len(formats) > MOST_FORMATS:
        raise block.fault("config_groups", f"has {len(formats)} groups; {MOST_FORMATS} are read")
    formats.sort(key=lambda item: item[0] is None)
    kind = min((form for _, form in formats), key=lambda form: form.bits).kind
    ignored = Matcher(block.words("ignore"), block.where)
    never: frozenset[PartName] = frozenset({"embedding"})
    return Quantization(kind, native, tuple(formats), ignored=ignored, never=never, kv_bits=_kv_bits(block))


def _compressed_format(weights: Fields) -> Format:
    bits = weights.integer("num_bits", low=2, high=16)
    kind = weights.word("type", "int")
    strategy = weights.word("strategy", "tensor")
    group = weights.quiet("group_size", 0, -1)
    symmetric = weights.flag("symmetric", True)
    if kind == "float":
        if bits == 4:
            return Format("mxfp4", 4, 32, 8) if group == 32 else NVFP4
        if bits != 8:
            raise weights.fault("num_bits", f"is {bits}, and no float of that width is known")
        if strategy == "block":
            sizes = weights.integers("block_structure", 1, 2**20, 2)
            rows, columns = sizes if sizes and len(sizes) == 2 else (128, 128)
            return Format("fp8", 8, block=(rows, columns), scale_bits=16)
        return Format("fp8", 8, group=PER_CHANNEL if strategy == "channel" else max(group, 0))
    if kind != "int":
        raise weights.fault("type", f"is {kind!r}, which is neither int nor float")
    name = "int8" if bits == 8 else "gptq"
    spread = group if group > 0 else PER_CHANNEL if strategy in {"channel", "group"} else 0
    return Format(name, bits, spread, 16, 0 if symmetric else bits)


ALGORITHMS: dict[str, Callable[[int], Format]] = {
    "FP8": lambda _: Format("fp8", 8),
    "FP8_PER_CHANNEL_PER_TOKEN": lambda _: Format("fp8", 8, PER_CHANNEL, 32),
    "FP8_PB_WO": lambda _: Format("fp8", 8, block=(128, 128), scale_bits=32),
    "NVFP4": lambda group: Format("nvfp4", 4, group or 16, 8),
    "W4A16_NVFP4": lambda group: Format("nvfp4", 4, group or 16, 8),
    "NVFP4_AWQ": lambda group: Format("nvfp4", 4, group or 16, 8),
    "W4A16_AWQ": lambda group: Format("awq", 4, group or 128, 16),
    "W4A8_AWQ": lambda group: Format("awq", 4, group or 128, 16),
    "MXFP4": lambda _: Format("mxfp4", 4, 32, 8),
    "MXFP8": lambda _: Format("fp8", 8, 32, 8),
}


def _modelopt(block: Fields, native: int) -> Quantization:
    """modelopt's block, in config.json or as `quantization` of hf_quant_config.json."""
    block = block.section("quantization") or block
    algorithm = block.word("quant_algo").upper()
    names = block.words("exclude_modules") or block.words("ignore") or block.words("modules_to_not_convert")
    ignored = Matcher(names, block.where)
    formats: list[tuple[Matcher | None, Format]] = []
    if algorithm == "MIXED_PRECISION":
        by_form: dict[Format, list[str]] = {}
        for name, layer in block.sections("quantized_layers", most=200_000):
            by_form.setdefault(_algorithm(layer, layer.word("quant_algo").upper()), []).append(name)
        if len(by_form) > MOST_FORMATS:
            raise block.fault("quantized_layers", f"has {len(by_form)} formats; {MOST_FORMATS} are read")
        formats = [(Matcher(listed, block.where), form) for form, listed in by_form.items()]
    elif not algorithm and "config_groups" in block:
        return _compressed(block, native)
    if not formats:
        formats = [(None, _algorithm(block, algorithm))]
    kind = min((form for _, form in formats), key=lambda form: form.bits).kind
    never: frozenset[PartName] = frozenset({"embedding"})
    return Quantization(kind, native, tuple(formats), ignored=ignored, never=never, kv_bits=_kv_bits(block))


def _algorithm(block: Fields, algorithm: str) -> Format:
    make = ALGORITHMS.get(algorithm)
    if make is None:
        what = f"is {algorithm!r}, which Slipway cannot weigh" if algorithm else "is missing"
        raise block.fault("quant_algo", what, f"Known are {', '.join(ALGORITHMS)}")
    return make(block.quiet("group_size", 0, 0))


def _kv_bits(block: Fields) -> int | None:
    if block.word("kv_cache_quant_algo").upper() in {"FP8", "NVFP4"}:
        return 8 if block.word("kv_cache_quant_algo").upper() == "FP8" else 4
    scheme = block.values.get("kv_cache_scheme")
    if isinstance(scheme, dict):
        return Fields(scheme, block.where, f"{block.path}kv_cache_scheme.").maybe("num_bits", 4, 16)
    return None


METHODS: dict[str, Callable[[Fields, int], Quantization]] = {
    "fp8": _fp8,
    "fbgemm-fp8": _fbgemm,
    "awq": _awq,
    "gptq": _gptq,
    "bitsandbytes": _bitsandbytes,
    "mxfp4": _mxfp4,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
    "auto-round": _gptq,
}
