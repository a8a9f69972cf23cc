"""What boot logs showed that were found after the constants were fitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slipway.architectures.types import Part
from slipway.gpus import find_gpu
from slipway.memory import Setup, fit, unsupported
from slipway.memory.overheads import activations
from slipway.memory.settings import resolved
from slipway.units import GIB
from tests.slipway.memory.models import LLAMA_8B, QWEN35_9B

H100, A100, T4 = (find_gpu(name) for name in ("H100-SXM", "A100-80", "T4"))


def test_one_picture_is_profiled_before_0_8() -> None:
    """1.16 GiB for 8192 tokens of a Qwen2-VL-7B (0.6.6): no logits of 256 sequences, no encoder beside the forward."""
    model = replace(
        LLAMA_8B, kind="Qwen2VLForConditionalGeneration", parts=(*LLAMA_8B.parts, Part("vision", 600_000_000, 16))
    )
    setup = Setup(find_gpu("RTX3090"), engine_version="0.6.6", max_model_len=8192)
    text, seen = (activations(each, resolved(each, setup), "vllm").mid / GIB for each in (LLAMA_8B, model))
    assert text > 1.2
    assert seen == pytest.approx(0.91, abs=0.02)


def test_a_first_boot_may_charge_its_compiling() -> None:
    """Neither what it does itself, nor what eager execution does, is a reason to expect less."""
    for model, less in ((LLAMA_8B, 0.3), (QWEN35_9B, 6.0)):
        setup = Setup(H100, engine_version="0.28.0", max_model_len=8192)
        new, old = fit(model, setup), fit(model, replace(setup, engine_version="0.25.0"))
        assert new.kv_available.mid == pytest.approx(old.kv_available.mid, rel=0.02)
        assert old.kv_available.low - new.kv_available.low > less * GIB
        eager = fit(model, replace(setup, cuda_graphs=False))
        assert eager.kv_available.low - new.kv_available.low > less * GIB


def test_a_card_that_is_not_named_a100_gets_larger_batches() -> None:
    setup = Setup(find_gpu("A800"), engine_version="0.13.0")
    plan = resolved(LLAMA_8B, setup)
    assert (plan.batched, plan.sequences) == (8192, 1024)
    assert resolved(LLAMA_8B, replace(setup, device=A100)).batched == 2048


def test_who_asks_for_float16_gets_it_on_an_older_gpu() -> None:
    """Qwen2.5-7B on a V100 (0.18.0) and Qwen2.5-1.5B on a T4 (0.7.2) are served with --dtype half."""
    assert unsupported(LLAMA_8B, T4, kv_dtype="fp16") is None
    assert "too narrow" in (unsupported(replace(LLAMA_8B, kind="Gemma3ForCausalLM"), T4, kv_dtype="fp16") or "")
