"""From a GGUF's header to an architecture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from slipway.architectures.fields import Fields
from slipway.architectures.gguf.header import Header, Tensor, read_header
from slipway.architectures.gguf.layers import ENCODERS, Layers, read_layers
from slipway.architectures.types import Architecture, Part, PartName, Split, Task
from slipway.errors import SizingError
from slipway.units import quoted

KNOWN = ENCODERS | {
    "afmoe", "apertus", "arcee", "arctic", "arwkv7", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom",
    "chameleon", "chatglm", "codeshell", "cogvlm", "cohere2", "command-r", "dbrx", "deci", "deepseek", "deepseek2",
    "deepseek32", "dots1", "dream", "ernie4_5", "ernie4_5-moe", "exaone", "exaone-moe", "exaone4", "falcon",
    "falcon-h1", "gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "glm-dsa", "glm4", "glm4moe", "gpt-oss", "gpt2",
    "gptj", "gptneox", "granite", "granitehybrid", "granitemoe", "grok", "grovemoe", "hunyuan-dense", "hunyuan-moe",
    "internlm2", "jais", "jamba", "kimi-linear", "laguna", "lfm2", "lfm2moe", "llada", "llada-moe", "llama",
    "llama4", "mamba", "mamba2", "mimo2", "minicpm", "minicpm3", "minimax-m2", "mistral3", "mistral4", "mpt",
    "nemotron", "nemotron_h", "nemotron_h_moe", "olmo", "olmo2", "olmoe", "openelm", "orion", "pangu-embedded",
    "phi2", "phi3", "phimoe", "plamo", "plamo2", "plamo3", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3",
    "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe", "refact", "rwkv6", "rwkv6qwen2",
    "rwkv7", "seed_oss", "smallthinker", "smollm3", "stablelm", "starcoder", "starcoder2", "step35", "xverse",
}  # fmt: skip
"""whose layers keep what `layers` reads. Left out: those with caches beside keys and values (deepseek4, minimax-m3),
encoder-decoders (t5), and projectors (clip)."""

NOT_MODELS = {
    "adapter": "a LoRA adapter, not a model",
    "mmproj": "a projector of images or sound, which goes with a model",
    "imatrix": "an importance matrix, not a model",
    "vocab": "a vocabulary without weights",
}

PARTS: tuple[tuple[str, PartName, Split], ...] = (
    (r"nextn", "mtp", "tensor"),
    (r".*norm.*", "norms", "replicated"),
    (r"token_embd|position_embd|token_types|per_layer_token_embd", "embedding", "tensor"),
    (r"output", "lm_head", "tensor"),
    (r"ffn_gate_inp.*|exp_probs_b", "router", "replicated"),
    (r"ffn_\w+_(ch)?exps", "experts", "tensor"),
    (r"ffn_\w+_shexp", "shared_experts", "tensor"),
    (r"attn_(q_a|kv_a_mqa)|indexer", "attention", "replicated"),
    (r"attn_.*", "attention", "tensor"),
    (r"ffn_.*|channel_mix.*", "mlp", "tensor"),
    (r"ssm_.*|shortconv|time_mix.*", "recurrent", "tensor"),
    (r"v|mm", "vision", "replicated"),
    (r"a", "audio", "replicated"),
)
"""the first pattern that a tensor's own name matches whole says what it belongs to"""
_NAME = re.compile(r"(?:blk\.(?P<layer>\d+)\.)?(?P<own>[^.]+)(?:\.(?P<expert>\d+)\.)?")
_PARTS = tuple((re.compile(pattern), name, split) for pattern, name, split in PARTS)

POOLING_RANK = 4
"""of LLAMA_POOLING_TYPE; 1, 2 and 3 make one vector of all tokens (mean, first, last), 0 makes none"""


def parse_gguf(head: bytes, *, name: str, file_bytes: int, others: Sequence[tuple[bytes, int]] = ()) -> Architecture:
    """The model whose file starts with `head` and is `file_bytes` long. Of a split model, `others` are the starts and
    lengths of its further files.

    Bits are exact: each tensor's own type, with its scales; `Architecture.file_bytes` is the sum of all tensors.
    Raises ShortHeaderError where `head` ends before the header does (`needed` says how many bytes get further), and
    SizingError for a damaged header, a type or an architecture that is not known, and what is no model.
    """
    header = read_header(head, where=name, file_bytes=file_bytes)
    fields = Fields(header.metadata, name)
    tensors = _all_tensors(header, fields, others)
    kind = _kind(fields)
    hidden = fields.integer(f"{kind}.embedding_length")
    table = tensors.get("token_embd.weight")
    if table is None:
        raise SizingError("no tensor token_embd.weight", where=name, fix="Name the model's own file, not a part of one")
    if len(table.dimensions) != 2 or table.dimensions[0] != hidden:
        shape = f"is {hidden}, but token_embd.weight has the shape {table.dimensions}"
        raise fields.fault(f"{kind}.embedding_length", shape)
    layers = read_layers(fields, kind, tensors)
    experts = fields.quiet(f"{kind}.expert_count", 0)
    used = fields.quiet(f"{kind}.expert_used_count", 0, high=max(experts, 0)) if experts else 0
    if experts and not used:
        raise fields.missing(f"{kind}.expert_used_count")
    task = _task(fields, kind)
    tied = "output.weight" not in tensors and task == "generate"
    notes = [*layers.notes]
    if tied:
        notes.append("no output.weight: the embedding table is also the output matrix")
    packing = _packing(tensors)
    return Architecture(
        name=name,
        kind=kind,
        task=task,
        hidden=hidden,
        heads=layers.heads,
        vocab=table.dimensions[1],
        context=fields.integer(f"{kind}.context_length", high=10**9),
        intermediate=_intermediate(fields, kind, used),
        groups=layers.groups,
        parts=_parts(
            tensors, layers, tied=tied, experts=experts, used=used, blocks=fields.integer(f"{kind}.block_count")
        ),
        dtype="fp16",
        quantization=f"gguf:{packing}",
        experts=experts,
        experts_per_token=used,
        file_bytes=sum(tensor.size for tensor in tensors.values()),
        speculative_layers=layers.speculative,
        notes=(*notes, *fields.notes),
        source="the GGUF file's header",
        extra=layers.extra,
    )


def _all_tensors(header: Header, fields: Fields, others: Sequence[tuple[bytes, int]]) -> dict[str, Tensor]:
    """The tensors of all files of a split model."""
    files = max(1, fields.quiet("split.count", 1, high=10_000))
    if files != 1 + len(others):
        raise fields.fault(
            "split.count",
            f"is {files}, but {1 + len(others)} of the files were read",
            "Give the first file with all others",
        )
    tensors = dict(header.tensors)
    for number, (head, file_bytes) in enumerate(others, 2):
        more = read_header(head, where=f"{fields.where}, file {number} of {files}", file_bytes=file_bytes).tensors
        twice = next((name for name in more if name in tensors), None)
        if twice is not None:
            raise fields.fault("split.count", f"is {files}, but two of the files have the tensor {quoted(twice)}")
        tensors.update(more)
    return tensors


def _kind(fields: Fields) -> str:
    """The architecture's name, one that is known."""
    declared = fields.word("general.type", "model")
    if declared in NOT_MODELS:
        raise SizingError(f"this is {NOT_MODELS[declared]}", where=fields.where, fix="Name the model's own file")
    kind = fields.word("general.architecture")
    if not kind:
        raise fields.missing("general.architecture")
    if kind == "clip":
        raise SizingError(f"this is {NOT_MODELS['mmproj']}", where=fields.where, fix="Name the model's own file")
    if kind not in KNOWN:
        raise fields.fault(
            "general.architecture",
            f"is {quoted(kind)}, and what its layers keep for a request is not known",
            "Give the model's config.json, or a name of the catalogue",
        )
    return kind


def _task(fields: Fields, kind: str) -> Task:
    pooling = fields.quiet(f"{kind}.pooling_type", 0, high=POOLING_RANK)
    if pooling == POOLING_RANK:
        return "rerank"
    return "embed" if pooling or kind in ENCODERS else "generate"


def _intermediate(fields: Fields, kind: str, used: int) -> int:
    """Width of the widest feed-forward layer that one token passes through."""
    key = f"{kind}.feed_forward_length"
    each = fields.integers(key) if isinstance(fields.values.get(key), list) else (fields.quiet(key, 0),)
    widest = max(each or (0,))
    expert = fields.quiet(f"{kind}.expert_feed_forward_length", 0)
    shared = fields.quiet(f"{kind}.expert_shared_feed_forward_length", 0)
    shared = shared or fields.quiet(f"{kind}.expert_shared_count", 0, high=1000) * expert
    # Mixtral writes its experts' width as that of the layer.
    experts = used * (expert or (widest if used else 0)) + shared
    return max(widest, experts, fields.quiet(f"{kind}.ssm.inner_size", 0) if not widest else 0)


def _parts(
    tensors: Mapping[str, Tensor], layers: Layers, *, tied: bool, experts: int, used: int, blocks: int
) -> tuple[Part, ...]:
    """All tensors as parts; those of one part, type and share read are one."""
    elements: Counter[tuple[PartName, float, Split, float]] = Counter()
    first_draft = blocks - layers.speculative
    for tensor in tensors.values():
        part, split, layer = _part(tensor.name)
        read = 1.0
        if layer is not None and layer >= first_draft:
            part, read = "mtp", 0.0
        elif part == "experts":
            read = used / experts if experts else 1.0
        elif part == "embedding":
            read = 1.0 if tied and tensor.name == "token_embd.weight" else 0.0
        elements[part, tensor.type.bits, split, read] += tensor.elements
    return tuple(Part(part, count, bits, split, read) for (part, bits, split, read), count in elements.items())


def _part(name: str) -> tuple[PartName, Split, int | None]:
    """What a tensor belongs to, how it is laid out, and its layer."""
    match = _NAME.match(name)
    if match is None:
        return "other", "replicated", None
    layer = int(match["layer"]) if match["layer"] else None
    if match["expert"]:
        # Files of 2023 have a tensor for each expert: blk.0.ffn_up.7.weight.
        return "experts", "tensor", layer
    for pattern, part, split in _PARTS:
        if pattern.fullmatch(match["own"]):
            return part, split, layer
    return "other", "replicated", layer


def _packing(tensors: Mapping[str, Tensor]) -> str:
    """The type that most bytes are of."""
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.type.name] += tensor.size
    return sizes.most_common(1)[0][0]
