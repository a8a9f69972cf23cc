"""Language models behind a vision tower, an audio tower or both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from slipway.architectures.families.decoder import End
from slipway.architectures.families.dense import dense
from slipway.architectures.families.gemma import gemma3, gemma3n, gemma4
from slipway.architectures.families.hybrid import qwen_hybrid
from slipway.architectures.families.latent import latent
from slipway.architectures.families.meta import llama4, mllama
from slipway.architectures.families.sparse import sparse
from slipway.architectures.fields import Fields
from slipway.architectures.parts import Draft
from slipway.architectures.towers import TOWERS, gemma3n_towers, gemma4_audio

TEXT: dict[str, tuple[Callable[[Fields, End, str], Draft], str]] = {
    "gemma3_text": (gemma3, "gemma3"),
    "gemma3n_text": (gemma3n, "gemma3n"),
    "gemma4_text": (gemma4, "gemma4"),
    "llama4_text": (llama4, "llama4"),
    "mllama_text_model": (mllama, "mllama"),
    "qwen2_vl_text": (dense, "qwen2"),
    "qwen2_5_vl_text": (dense, "qwen2"),
    "qwen3_vl_text": (dense, "qwen3"),
    "qwen3_vl_moe_text": (sparse, "qwen3_moe"),
    "qwen3_5_text": (qwen_hybrid, "qwen3_5"),
    "qwen3_5_moe_text": (qwen_hybrid, "qwen3_5_moe"),
    "mistral": (dense, "mistral"),
    "ministral3": (dense, "mistral"),
    "deepseek_v3": (latent, "deepseek_v3"),
    "kimi_k2": (latent, "deepseek_v3"),
}
"""the language model's model_type: who reads it, and as what"""

DEFAULT_TEXT = {
    "gemma3": "gemma3_text",
    "gemma3n": "gemma3n_text",
    "gemma4": "gemma4_text",
    "llama4": "llama4_text",
    "mllama": "mllama_text_model",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "qwen3_5": "qwen3_5_text",
    "qwen3_5_moe": "qwen3_5_moe_text",
}
"""where text_config has no model_type, or where there is none: older Qwen files have the text's fields at the top"""


def multimodal(config: Fields, end: End, model_type: str) -> Draft:
    """The language model of `text_config`, and the towers beside it."""
    text = config.section("text_config")
    inner = text if text is not None else config
    if text is not None and "tie_word_embeddings" not in text and "tie_word_embeddings" in config:
        inner = text.with_outer(config, "tie_word_embeddings")
    written = text.word("model_type") if text is not None else ""
    kind = written or DEFAULT_TEXT.get(model_type, "")
    if kind not in TEXT:
        fix = f"Known are {', '.join(TEXT)}"
        raise config.fault(
            "text_config.model_type", f"is {kind!r}, a language model that Slipway does not know here", fix
        )
    read, family = TEXT[kind]
    draft = read(inner, end, family)
    if model_type == "gemma3n":
        return replace(draft, outside=draft.outside + gemma3n_towers(config, draft.hidden))
    vision, audio = config.section("vision_config"), config.section("audio_config")
    tower = TOWERS[_tower(model_type)]
    if vision is not None:
        draft = replace(draft, outside=draft.outside + tower(vision, config, draft.hidden))
    elif text is not None:
        draft = replace(draft, notes=(*draft.notes, "there is no vision_config; its vision tower is not counted"))
    if audio is not None and model_type == "gemma4":
        draft = replace(draft, outside=draft.outside + gemma4_audio(audio, draft.hidden))
    return draft


def _tower(model_type: str) -> str:
    return {"qwen3_vl_moe": "qwen3_vl", "qwen3_5": "qwen3_vl", "qwen3_5_moe": "qwen3_vl"}.get(model_type, model_type)
