"""A Hugging Face `config.json`, and what else its folder says, as an `Architecture`."""

from __future__ import annotations

import re

from slipway.architectures.families.decoder import End
from slipway.architectures.fields import CONFIG_CHARACTERS, FIX_FILE, Fields, read_json
from slipway.architectures.files import measured
from slipway.architectures.parts import groups_of, parts_of
from slipway.architectures.quantization import read_quantization
from slipway.architectures.registry import find_family
from slipway.architectures.types import Architecture, Task
from slipway.errors import SizingError

DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float": "fp32", "half": "fp16"}

MOST_PARAMETERS = 10**14
"""a hundred trillion; the largest published are a few"""


def parse_config(
    config_text: str,
    *,
    name: str,
    index_text: str | None = None,
    header_bytes: bytes | None = None,
    quantization_text: str | None = None,
) -> Architecture:
    """The architecture of the model whose files are given.

    `index_text` is model.safetensors.index.json, `header_bytes` the start of the only safetensors file, and
    `quantization_text` hf_quant_config.json, where modelopt wrote one beside a configuration that says nothing of it.
    Raises `SizingError` when one of them is damaged, lies, or describes an architecture that is not known.
    """
    config = Fields(read_json(config_text, name, CONFIG_CHARACTERS), name)
    family, kind, task = find_family(config)
    task = _task(name, task, config)
    dtype, native = _dtype(config, task)
    written = config
    if quantization_text is not None and "quantization_config" not in config:
        block = read_json(quantization_text, f"{name}: hf_quant_config.json", CONFIG_CHARACTERS)
        written = Fields({**config.values, "quantization_config": {"quant_method": "modelopt", **block}}, name)
    quantization = read_quantization(written, native)
    draft = family.read(config, _end(config, task, kind), family.model_type)
    groups = groups_of((*draft.layers, *draft.beside))
    architecture = Architecture(
        name=name,
        kind=kind,
        task=task,
        hidden=draft.hidden,
        heads=draft.heads,
        vocab=draft.vocab,
        context=draft.context,
        intermediate=draft.intermediate,
        groups=groups,
        parts=parts_of(draft, quantization),
        dtype=dtype,
        quantization=quantization.name,
        experts=draft.experts,
        experts_per_token=draft.experts_per_token,
        speculative_layers=draft.speculative_layers,
        notes=(*dict.fromkeys(config.notes), *draft.notes),
        source=name,
        extra=draft.extra | ({"kv_bits": quantization.kv_bits} if quantization.kv_bits else {}),
    )
    if architecture.parameters > MOST_PARAMETERS:
        what = f"its fields make {architecture.parameters:.3g} parameters, more than any model has"
        raise SizingError(what, where=name, fix=FIX_FILE)
    if index_text is None and header_bytes is None:
        return architecture
    return measured(architecture, index_text, header_bytes)


def _task(name: str, task: Task, config: Fields) -> Task:
    """Embedding and reranking models of Qwen and Gemma keep the class of the chat models they were made from: those
    called Embedding, Reranker, or gte (general text embeddings)."""
    match = re.search(r"(?i)(embed|rerank|^gte-)", name.rsplit("/", 1)[-1])
    if task != "generate" or match is None:
        return task
    found: Task = "rerank" if match[1].lower() == "rerank" else "embed"
    config.notes.append(f"its name says what it is for: {found}")
    return found


def _end(config: Fields, task: Task, kind: str) -> End:
    if kind.endswith("ForSequenceClassification"):
        labels = config.section("id2label")
        return End("score", max(1, len(labels.values) if labels else config.quiet("num_labels", 1, 1)))
    return End("none") if task == "embed" else End("head")


def _dtype(config: Fields, task: Task) -> tuple[str, int]:
    """(type of activations, bits of a weight that is not packed)."""
    text = config.section("text_config")
    written = config.word("torch_dtype") or config.word("dtype")
    written = written or (text.word("torch_dtype") or text.word("dtype") if text is not None else "")
    written = written.removeprefix("torch.")
    if not written:
        config.notes.append("its type is not written; bf16 is assumed")
        return "bf16", 16
    dtype = DTYPES.get(written)
    if dtype is None:
        fix = f"Known are {', '.join(DTYPES)}; packed types belong into quantization_config"
        raise config.fault("torch_dtype", f"is {written!r}, which is no type of activations", fix)
    if dtype == "fp32":
        # vLLM's `_resolve_auto_dtype` (vllm/config/model.py): float32 is halved unless --dtype asks for it.
        dtype = "bf16" if task == "generate" else "fp16"
        config.notes.append(f"it is stored as float32, which engines load as {dtype}")
    return dtype, 16
