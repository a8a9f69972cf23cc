"""Which class of a configuration is read by which family. A class that is not here is refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from slipway.architectures.families import dense, sparse
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


FAMILIES = (
    Family("Llama", "llama", dense.dense),
    Family("Mistral", "mistral", dense.dense),
    Family("Ministral", "ministral", dense.dense),
    Family("Qwen2", "qwen2", dense.dense),
    Family("Qwen3", "qwen3", dense.dense),
    Family("Phi3", "phi3", dense.dense),
    Family("Gemma", "gemma", dense.dense),
    Family("Gemma2", "gemma2", dense.dense),
    Family("Olmo2", "olmo2", dense.dense),
    Family("Olmo3", "olmo3", dense.dense),
    Family("Granite", "granite", dense.dense),
    Family("Cohere", "cohere", dense.dense),
    Family("Cohere2", "cohere2", dense.dense),
    Family("SmolLM3", "smollm3", dense.dense),
    Family("Glm4", "glm4", dense.dense),
    Family("Exaone4", "exaone4", dense.dense),
    Family("SeedOss", "seed_oss", dense.dense),
    Family("Ernie4_5", "ernie4_5", dense.dense),
    Family("Starcoder2", "starcoder2", dense.dense),
    Family("Mixtral", "mixtral", sparse.sparse),
    Family("Qwen2Moe", "qwen2_moe", sparse.sparse),
    Family("Qwen3Moe", "qwen3_moe", sparse.sparse),
    Family("Olmoe", "olmoe", sparse.sparse),
    Family("PhiMoE", "phimoe", sparse.sparse),
    Family("GraniteMoe", "granitemoe", sparse.sparse),
    Family("GptOss", "gpt_oss", sparse.sparse),
    Family("Glm4Moe", "glm4_moe", sparse.sparse),
    Family("MiniMaxM2", "minimax_m2", sparse.sparse),
    Family("Ernie4_5_Moe", "ernie4_5_moe", sparse.sparse),
)

SUFFIXES: dict[str, Task] = {
    "ForCausalLM": "generate",
    "LMHeadModel": "generate",
    "ForConditionalGeneration": "generate",
    "ForSequenceClassification": "rerank",
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
    model_type = config.word("model_type")
    if not classes:
        family = _by_type().get(model_type)
        if family is not None:
            return family, model_type, "generate"
        what = f"no class under 'architectures', and the model_type {quoted(model_type)} is not known"
        fix = f"Take the model's own config.json; known types are {', '.join(sorted(_by_type()))}"
        raise SizingError(what, where=config.where, fix=fix)
    kind = classes[0]
    match = re.fullmatch(r"(\w+?)(" + "|".join(SUFFIXES) + ")", kind)
    family = _by_stem().get(match[1].lower()) if match else None
    if match is None or family is None:
        raise _unknown(config, kind, model_type)
    return family, kind, SUFFIXES[match[2]]


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
