"""Flags of settings that vLLM and SGLang both have, written only when somebody decided them."""

from __future__ import annotations

from slipway.engine_facts import EngineFacts
from slipway.settings.sections import EngineSettings


def decided_flags(engine: EngineSettings, facts: EngineFacts) -> tuple[str, ...]:
    """The type of the KV cache and the tokens of one step, by the names that this engine has for them."""
    flags: list[str] = []
    if engine.kv_dtype != "auto":
        flags += ["--kv-cache-dtype", facts.kv_dtypes[engine.kv_dtype]]
    if engine.max_batched_tokens is not None and facts.batched_tokens is not None:
        flags += [facts.batched_tokens, str(engine.max_batched_tokens)]
    return tuple(flags)
