from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.architectures.types import Architecture, LayerGroup, Part
from slipway.errors import SizingError
from slipway.gpus import find_gpu, gpus
from slipway.memory.tuning import Method, TrainingFit, adapters, training_fit


def llama(
    layers: int, hidden: int, heads: int, kv: int, wide: int, vocab: int = 32_000, context: int = 2048
) -> Architecture:
    size = hidden // heads
    parts = (
        Part("embedding", vocab * hidden, 16, read=0),
        Part("lm_head", vocab * hidden, 16),
        Part("attention", layers * 2 * (hidden * hidden + hidden * kv * size), 16),
        Part("mlp", layers * 3 * hidden * wide, 16),
        Part("norms", (2 * layers + 1) * hidden, 16, "replicated"),
    )
    groups = (LayerGroup("full", layers, kv, size, size),)
    return Architecture(
        "llama", "LlamaForCausalLM", "generate", hidden, heads, vocab, context, wide, groups, parts, "bf16"
    )


MODELS = {
    "7B": llama(32, 4096, 32, 32, 11_008),
    "13B": llama(40, 5120, 40, 40, 13_824),
    "33B": llama(60, 6656, 52, 52, 17_920),
    "65B": llama(80, 8192, 64, 64, 22_016),
    "Llama-3-8B": llama(32, 4096, 32, 8, 14_336, 128_256, 8192),
    "Llama-3-70B": llama(80, 8192, 64, 8, 28_672, 128_256, 8192),
}


def tune(model: str, gpu: str, method: Method, **more: Any) -> TrainingFit:
    return training_fit(MODELS[model], find_gpu(gpu), method=method, **{"sequence": 512} | more)


def states(fit: TrainingFit) -> tuple[float, float]:
    """Weights, gradients and optimizer states over all GPUs, in GB."""
    total = (fit.weights + fit.gradients + fit.optimizer).scaled(fit.gpus / 1e9)
    return total.low, total.high


def test_the_models_have_their_published_parameters() -> None:
    # arxiv.org/abs/2302.13971, table 2: 6.7, 13.0, 32.5 and 65.2 billion; Llama 3: 8.03 and 70.6.
    counts = [round(model.parameters / 1e9, 1) for model in MODELS.values()]
    assert counts == [6.7, 13.0, 32.5, 65.3, 8.0, 70.6]


def test_full_fine_tuning_takes_16_to_18_bytes_a_parameter() -> None:
    # ZeRO, arxiv.org/abs/1910.02054, figure 1: 16 bytes, so that 7.5B are 120 GB on one GPU and 1.9 GB on each of 64.
    # LLaMA-Factory's README: about 120 GB for a 7B model.
    low, high = states(tune("7B", "A100-80", "full"))
    assert (low, high) == (pytest.approx(16 * 6.738, rel=0.001), pytest.approx(18 * 6.738, rel=0.001))
    assert low < 120 < high
    on_64 = tune("7B", "A100-80", "full", gpus=64)
    per_billion = (on_64.weights + on_64.gradients + on_64.optimizer).low / 6.738
    assert per_billion * 7.5 == pytest.approx(1.875e9, rel=0.001)


def test_an_8_bit_optimizer_takes_6_bytes_off() -> None:
    low, _ = states(tune("7B", "A100-80", "full", optimizer="adamw-8bit"))
    assert low == pytest.approx(10 * 6.738, rel=0.001)


def test_a_base_in_4_bits() -> None:
    # arxiv.org/abs/2305.14314, section 2: "the 4-bit base model consumes 5,048 MB of memory" (LLaMA-7B).
    base = tune("7B", "A100-80", "qlora", rank=1).weights
    assert base.low < 5048e6 <= base.high
    assert base.high == pytest.approx(5048e6, rel=0.01)


def test_adapters() -> None:
    # PEFT's default (query and value) of LLaMA-7B with rank 8 trains 4,194,304 parameters; alpaca-lora's README.
    # All linear layers with rank 16 train 39,976,960.
    assert adapters(MODELS["7B"], 8).low == 4_194_304
    assert adapters(MODELS["7B"], 16).mid == 39_976_960


@pytest.mark.parametrize(
    ("model", "gpu", "method", "more", "verdict"),
    [
        # QLoRA, abstract: 65B on one GPU of 48 GB; appendix G: 33B does not quite fit into 24 GB; 7B and 13B do.
        ("65B", "RTX-A6000", "qlora", {}, "fits"),
        ("33B", "RTX3090", "qlora", {}, "tight"),
        ("13B", "RTX3090", "qlora", {}, "fits"),
        ("7B", "RTX3090", "qlora", {"sequence": 2048}, "fits"),
        # LLaMA-Factory's README: LoRA of 7B takes about 16 GB, of 13B about 32 GB.
        ("7B", "RTX4090", "lora", {}, "fits"),
        ("7B", "T4", "lora", {}, "tight"),
        ("13B", "RTX4090", "lora", {}, "no"),
        ("13B", "A100-40", "lora", {}, "fits"),
        ("7B", "H100-SXM", "full", {}, "no"),
        ("7B", "H100-SXM", "full", {"gpus": 2}, "fits"),
        ("65B", "RTX-A6000", "lora", {}, "no"),
    ],
)
def test_published_fits(model: str, gpu: str, method: Method, more: dict[str, Any], verdict: str) -> None:
    assert tune(model, gpu, method, **more).verdict == verdict


@pytest.mark.parametrize(
    ("model", "method", "gigabytes"),
    # LLaMA-Factory's README, "estimated": QLoRA in 4 bits of 7B and 13B, LoRA of 7B and 13B. QLoRA, appendix: 24.7 GB.
    [("33B", "qlora", 24.7), ("7B", "qlora", 6), ("13B", "qlora", 12), ("7B", "lora", 16), ("13B", "lora", 32)],
)
def test_totals_are_near_published_estimates(model: str, method: Method, gigabytes: float) -> None:
    assert tune(model, "A100-80", method).total.mid / 1e9 == pytest.approx(gigabytes, rel=0.25)


def test_checkpointing_keeps_a_layers_input_only() -> None:
    # arxiv.org/abs/2205.05198, table 2: 2 bytes × s·b·h a layer with full recomputation, against 34 and more.
    kept = tune("7B", "A100-80", "lora", sequence=2048).activations
    everything = tune("7B", "A100-80", "lora", sequence=2048, checkpointing=False).activations
    assert everything.mid > 5 * kept.mid
    per_layer = (everything.mid - 2048 * 10 * 32_000) / (32 * 2048 * 4096)
    assert 34 < per_layer < 40


def test_changes_say_what_would_fit() -> None:
    fit = tune("7B", "H100-SXM", "full")
    assert fit.smallest_gpus == 2
    assert [change.split(":")[0] for change in fit.changes] == [
        "take lora instead of full",
        "take qlora instead of full",
        "take 2 × H100-SXM instead of 1, which share weights and states",
    ]
    long = tune("Llama-3-8B", "A100-40", "lora", sequence=8192, batch=4, checkpointing=False)
    assert any(change.startswith("shorten") for change in long.changes)
    assert tune("13B", "A100-80", "full", gpus=3).changes[0].startswith("take AdamW in 8 bits")
    wide = tune("13B", "H100-SXM", "full", gpus=4, batch=8, sequence=2048, checkpointing=False)
    assert [change.split(":")[0] for change in wide.changes] == [
        "turn gradient checkpointing on and take 1 sequence at once"
    ]
    assert tune("7B", "RTX4090", "lora").changes == ()


def test_what_no_number_of_gpus_holds() -> None:
    fit = tune("Llama-3-70B", "T4", "full", sequence=8192)
    assert (fit.verdict, fit.smallest_gpus) == ("no", None)


def test_notes() -> None:
    model = MODELS["7B"]
    packed = Architecture(
        **{key: getattr(model, key) for key in model.__dataclass_fields__} | {"quantization": "fp8", "experts": 8}
    )
    fit = training_fit(packed, find_gpu("L4"), method="qlora", sequence=9000)
    assert [any(word in note for note in fit.notes) for word in ("fp8", "4 bits", "9000", "adapters")] == [True] * 4


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"method": "dora"}, "'dora' is no method"),
        ({"optimizer": "sgd"}, "'sgd' is no optimizer"),
        ({"gpus": 0}, "gpus is 0"),
        ({"batch": -1}, "batch is -1"),
        ({"sequence": 10**10}, "sequence is 10000000000"),
        ({"rank": 0}, "rank is 0"),
    ],
)
def test_bad_questions(more: dict[str, Any], what: str) -> None:
    with pytest.raises(SizingError, match=what):
        training_fit(MODELS["7B"], find_gpu("L4"), **{"method": "lora", "sequence": 512} | more)


@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(sorted(gpus())),
    st.sampled_from(["full", "lora", "qlora"]),
    st.integers(1, 16),
    st.integers(1, 8),
    st.integers(1, 32_768),
    st.booleans(),
)
def test_more_gpus_and_less_work_never_take_more(
    model: str, gpu: str, method: Method, count: int, batch: int, sequence: int, checkpointing: bool
) -> None:
    more = {"gpus": count, "batch": batch, "sequence": sequence, "checkpointing": checkpointing}
    fit = tune(model, gpu, method, **more)
    if fit.fits:
        assert fit.total.high <= find_gpu(gpu).usable
        assert tune(model, gpu, method, **more | {"sequence": max(1, sequence // 2)}).fits
        assert count == 1 or tune(model, gpu, method, **more | {"gpus": count + 1}).fits
    smallest = fit.smallest_gpus
    if smallest is not None:
        assert tune(model, gpu, method, **more | {"gpus": smallest}).fits
        assert smallest <= 2 or not tune(model, gpu, method, **more | {"gpus": smallest - 1}).fits
    for change in fit.changes:
        if change.startswith("shorten"):
            assert tune(model, gpu, method, **more | {"sequence": int(change.split()[5])}).fits
