"""Which class of a configuration is read by which family. A class that is not here is refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from slipway.architectures.families import (
    dense,
    encoders,
    gemma,
    hybrid,
    latent,
    linear,
    mamba,
    meta,
    multimodal,
    nas,
    phi4,
    sparse,
)
from slipway.architectures.families.decoder import End
from slipway.architectures.fields import Fields
from slipway.architectures.parts import Draft
from slipway.architectures.types import Task
from slipway.errors import SizingError
from slipway.units import quoted

Read = Callable[[Fields, End, str], Draft]


@dataclass(frozen=True)
class Family:
    """Classes that start with `stem`, or a configuration of that model_type where no class is named."""

    stem: str
    model_type: str
    read: Read


DENSE = {
    "Llama": "llama",
    "Mistral": "mistral",
    "Ministral": "ministral",
    "Ministral3": "ministral3",
    "Qwen2": "qwen2",
    "Qwen3": "qwen3",
    "Phi3": "phi3",
    "Gemma": "gemma",
    "Gemma2": "gemma2",
    "Olmo2": "olmo2",
    "Olmo3": "olmo3",
    "Granite": "granite",
    "Cohere": "cohere",
    "Cohere2": "cohere2",
    "SmolLM3": "smollm3",
    "Glm4": "glm4",
    "Exaone4": "exaone4",
    "SeedOss": "seed_oss",
    "Ernie4_5": "ernie4_5",
    "Starcoder2": "starcoder2",
    "InternLM2": "internlm2",
    "InternLM3": "internlm3",
}
SPARSE = {
    "Mixtral": "mixtral",
    "Qwen2Moe": "qwen2_moe",
    "Qwen3Moe": "qwen3_moe",
    "Olmoe": "olmoe",
    "PhiMoE": "phimoe",
    "GraniteMoe": "granitemoe",
    "GraniteMoeShared": "granitemoeshared",
    "GptOss": "gpt_oss",
    "Glm4Moe": "glm4_moe",
    "MiniMaxM2": "minimax_m2",
    "Ernie4_5_Moe": "ernie4_5_moe",
}
LATENT = {
    "DeepseekV2": "deepseek_v2",
    "DeepseekV3": "deepseek_v3",
    "DeepseekV32": "deepseek_v32",
    "Glm4MoeLite": "glm4_moe_lite",
    "GlmMoeDsa": "glm_moe_dsa",
}
MULTIMODAL = {
    "Gemma3": "gemma3",
    "Gemma3n": "gemma3n",
    "Gemma4": "gemma4",
    "Llama4": "llama4",
    "Mllama": "mllama",
    "Qwen2VL": "qwen2_vl",
    "Qwen2_5_VL": "qwen2_5_vl",
    "Qwen3VL": "qwen3_vl",
    "Qwen3VLMoe": "qwen3_vl_moe",
    "Qwen3_5": "qwen3_5",
    "Qwen3_5Moe": "qwen3_5_moe",
    "Mistral3": "mistral3",
    "KimiK25": "kimi_k25",
}
"""where a text_config or a vision_config is written; without either the same stem names the language model alone"""

FAMILIES = (
    *(Family(stem, model_type, dense.dense) for stem, model_type in DENSE.items()),
    *(Family(stem, model_type, sparse.sparse) for stem, model_type in SPARSE.items()),
    *(Family(stem, model_type, latent.latent) for stem, model_type in LATENT.items()),
    *(Family(stem, model_type, multimodal.multimodal) for stem, model_type in MULTIMODAL.items()),
    Family("DeepseekV3", "kimi_k2", latent.latent),
    Family("Gemma3Text", "gemma3_text", gemma.gemma3),
    Family("Gemma3nText", "gemma3n_text", gemma.gemma3n),
    Family("Gemma4Text", "gemma4_text", gemma.gemma4),
    Family("Llama4Text", "llama4_text", meta.llama4),
    Family("Qwen3_5Text", "qwen3_5_text", hybrid.qwen_hybrid),
    Family("Qwen3_5MoeText", "qwen3_5_moe_text", hybrid.qwen_hybrid),
    Family("Qwen3Next", "qwen3_next", hybrid.qwen_hybrid),
    Family("Lfm2", "lfm2", hybrid.lfm2),
    Family("Lfm2Moe", "lfm2_moe", hybrid.lfm2),
    Family("NemotronH", "nemotron_h", mamba.nemotron_h),
    Family("GraniteMoeHybrid", "granitemoehybrid", mamba.granite),
    Family("Bamba", "bamba", mamba.bamba),
    Family("FalconH1", "falcon_h1", mamba.falcon_h1),
    Family("Jamba", "jamba", mamba.jamba),
    Family("MiniMax", "minimax", linear.minimax),
    Family("MiniMaxText01", "minimax_text_01", linear.minimax),
    Family("MiniMaxM1", "minimax_m1", linear.minimax),
    Family("KimiLinear", "kimi_linear", linear.kimi_linear),
    Family("Mamba", "mamba", mamba.mamba1),
    Family("Mamba2", "mamba2", mamba.mamba2),
    Family("DeciLM", "nemotron_nas", nas.nas),
    Family("Phi4MM", "phi4mm", phi4.phi4_multimodal),
    Family("Bert", "bert", encoders.bert),
    Family("Roberta", "roberta", encoders.bert),
    Family("XLMRoberta", "xlm_roberta", encoders.bert),
    Family("MPNet", "mpnet", encoders.bert),
    Family("NomicBert", "nomic_bert", encoders.nomic),
    Family("New", "gte", encoders.gte),
    Family("Gte", "gte", encoders.gte),
    Family("ModernBert", "modernbert", encoders.modernbert),
    Family("Whisper", "whisper", encoders.whisper),
)

SUFFIXES: dict[str, Task] = {
    "ForCausalLM": "generate",
    "LMHeadModel": "generate",
    "ForConditionalGeneration": "generate",
    "ForSequenceClassification": "rerank",
    "ForMaskedLM": "embed",
    "Model": "embed",
}
"""how a class's name ends, and what such a model is for"""


@cache
def _by_stem() -> dict[str, Family]:
    return {family.stem.lower(): family for family in FAMILIES}


@cache
def _by_type() -> dict[str, Family]:
    return {family.model_type: family for family in reversed(FAMILIES)}


def find_family(config: Fields) -> tuple[Family, str, Task]:
    """(family, its class as written, task). Raises `SizingError` naming the class where it is not known."""
    classes = config.words("architectures", most=100)
    model_type = config.word("model_type").replace("-", "_")
    if not classes:
        family = _by_type().get(model_type)
        if family is not None:
            return family, model_type, "transcribe" if family.read is encoders.whisper else "generate"
        what = f"no class under 'architectures', and the model_type {quoted(model_type)} is not known"
        fix = f"Take the model's own config.json; known types are {', '.join(sorted(_by_type()))}"
        raise SizingError(what, where=config.where, fix=fix)
    kind = classes[0]
    match = re.fullmatch(r"(\w+?)(" + "|".join(SUFFIXES) + ")", kind)
    family = _by_stem().get(match[1].lower()) if match else None
    if match is None or family is None:
        raise _unknown(config, kind, model_type)
    return family, kind, "transcribe" if family.read is encoders.whisper else SUFFIXES[match[2]]


def _unknown(config: Fields, kind: str, model_type: str) -> SizingError:
    stems = {family.stem: family for family in FAMILIES}
    near = difflib.get_close_matches(kind[:60], [f"{stem}ForCausalLM" for stem in stems], n=3, cutoff=0.6)
    written = f" (model_type {quoted(model_type)})" if model_type else ""
    nearest = f"The nearest known are {', '.join(near)}. " if near else ""
    fix = (
        f"{nearest}Its tensors would have to be guessed, so it is refused. A GGUF file of it, or a model of a "
        "class that is known, can be weighed"
    )
    return SizingError(f"Slipway does not know the architecture {quoted(kind)}{written}", where=config.where, fix=fix)
