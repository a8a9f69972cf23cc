from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from slipway.architectures.gguf import ShortHeaderError, parse_gguf
from slipway.architectures.gguf.types import TYPES
from slipway.architectures.types import Architecture, LayerGroup
from slipway.errors import SizingError
from tests.slipway.architectures.gguf_files import (
    F16,
    F32,
    MXFP4,
    Q4_K,
    Q6_K,
    Tensor,
    attention,
    dense,
    experts,
    gguf,
    llama,
    mlp,
)

SMOLLM2 = Path(__file__).parent / "fixtures/smollm2-135m-instruct-q4_1.gguf-head"
"""the real file's own bytes, with its three token lists and its languages emptied"""


def parse(metadata: dict[str, Any], tensors: list[Tensor], **more: Any) -> Architecture:
    head, file_bytes = gguf(metadata, tensors, **more)
    return parse_gguf(head, name="model.gguf", file_bytes=file_bytes)


def outside(hidden: int = 256) -> list[Tensor]:
    return [("token_embd.weight", (hidden, 1000), Q6_K), ("output_norm.weight", (hidden,), F32)]


def test_a_real_file() -> None:
    model = parse_gguf(SMOLLM2.read_bytes(), name="smollm2", file_bytes=98_362_432)
    assert (model.kind, model.layers, model.hidden, model.heads) == ("llama", 30, 576, 9)
    assert (model.vocab, model.context, model.intermediate) == (49_152, 8192, 1536)
    assert model.groups == (LayerGroup("full", 30, 3, 64, 64),)
    assert model.parameters == 134_515_008  # HuggingFaceTB/SmolLM2-135M-Instruct, with its table counted once
    assert model.quantization == "gguf:Q4_1"
    assert model.file_bytes == 96_576_768 == sum(part.bytes for part in model.parts)
    assert {part.name: part.bits for part in model.parts} == {"embedding": 8.5, "norms": 32, "mlp": 5, "attention": 5}
    assert model.active_parameters == model.parameters  # tied: the table is read whole by the output


@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions(version: int) -> None:
    model = parse(llama(), dense(), version=version)
    assert model.groups == (LayerGroup("full", 4, 2, 64, 64),)
    assert model.file_bytes == sum(part.bytes for part in model.parts)


def test_every_type_has_its_real_bits() -> None:
    bits = {kind.name: kind.bits for kind in TYPES.values()}
    # From the names that llama.cpp prints for them: https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize
    assert bits | {
        "F32": 32, "F16": 16, "BF16": 16, "Q4_0": 4.5, "Q4_1": 5, "Q5_0": 5.5, "Q5_1": 6, "Q8_0": 8.5, "Q2_K": 2.625,
        "Q3_K": 3.4375, "Q4_K": 4.5, "Q5_K": 5.5, "Q6_K": 6.5625, "IQ1_S": 1.5625, "IQ1_M": 1.75, "IQ2_XXS": 2.0625,
        "IQ2_XS": 2.3125, "IQ2_S": 2.5625, "IQ3_XXS": 3.0625, "IQ3_S": 3.4375, "IQ4_NL": 4.5, "IQ4_XS": 4.25,
        "TQ1_0": 1.6875, "TQ2_0": 2.0625, "MXFP4": 4.25, "NVFP4": 4.5,
    } == bits  # fmt: skip


def test_tied_and_untied_tables() -> None:
    tied, untied = parse(llama(), dense(tied=True)), parse(llama(), dense())
    assert [(part.name, part.read) for part in tied.parts if part.name in ("embedding", "lm_head")] == [
        ("embedding", 1)
    ]
    assert {part.name: part.read for part in untied.parts if part.name in ("embedding", "lm_head")} == {
        "embedding": 0,
        "lm_head": 1,
    }


def test_a_mixture_of_experts() -> None:
    tensors = [*outside(), *attention(0), *mlp(0), *attention(1), *experts(1, 8)]
    tensors.append(("blk.1.ffn_up_shexp.weight", (256, 128), MXFP4))
    model = parse(llama(layers=2, expert_count=8, expert_used_count=2, expert_feed_forward_length=128), tensors)
    parts = {part.name: part for part in model.parts}
    assert (model.experts, model.experts_per_token) == (8, 2)
    assert (parts["experts"].elements, parts["experts"].read, parts["experts"].bits) == (3 * 256 * 128 * 8, 0.25, 4.25)
    assert model.extra == {"head_dim": 64, "moe_intermediate": 128}
    assert (parts["router"].split, parts["shared_experts"].elements) == ("replicated", 256 * 128)


def test_experts_of_2023_have_a_tensor_each() -> None:
    tensors = [*outside(), *attention(0), *((f"blk.0.ffn_up.{n}.weight", (256, 512), Q4_K) for n in range(8))]
    model = parse(llama(layers=1, expert_count=8, expert_used_count=2), tensors)
    assert next(part.read for part in model.parts if part.name == "experts") == 0.25
    assert model.intermediate == 1024


def recurrence(index: int, *names: str) -> list[Tensor]:
    return [(f"blk.{index}.{name}.weight", (256, 64), F16) for name in names]


def windowed(arch: str, layers: int, **more: Any) -> tuple[dict[str, Any], list[Tensor]]:
    return llama(arch, layers=layers, attention__sliding_window=128, **more), dense(layers)


FULL, SLIDING = LayerGroup("full", 1, 2, 64, 64), LayerGroup("sliding", 1, 2, 64, 64, window=128)


@pytest.mark.parametrize(
    ("arch", "layers", "full"),
    [
        ("gemma2", 4, 2),
        ("gemma3", 14, 2),
        ("gpt-oss", 6, 3),
        ("cohere2", 9, 2),
        ("olmo2", 8, 2),
        ("smallthinker", 8, 2),
    ],
)
def test_windows_that_only_the_engine_knows(arch: str, layers: int, full: int) -> None:
    model = parse(*windowed(arch, layers))
    counts = {group.state: group.count for group in model.groups}
    assert counts == {"full": full, "sliding": layers - full}


def test_the_full_layer_is_last_or_first() -> None:
    assert parse(*windowed("gemma3", 6)).groups[0].state == "sliding"
    assert parse(*windowed("smallthinker", 4)).groups[0].state == "full"


def test_a_period_or_a_list_in_the_header() -> None:
    by_period = parse(*windowed("gemma3", 6, attention__sliding_window_pattern=3))
    assert {group.state: group.count for group in by_period.groups} == {"sliding": 4, "full": 2}
    by_list = parse(*windowed("mimo2", 4, attention__sliding_window_pattern=[True, True, False, True]))
    assert {group.state: group.count for group in by_list.groups} == {"sliding": 3, "full": 1}


def test_a_window_that_the_engine_ignores() -> None:
    assert {group.state for group in parse(*windowed("phi3", 4)).groups} == {"full"}
    model = parse(*windowed("llama", 4))
    assert {group.state for group in model.groups} == {"full"}
    assert "keeps all tokens" in " ".join(model.notes)


def test_chunks() -> None:
    model = parse(llama("llama4", layers=8), dense(8))
    assert {(group.state, group.count, group.window) for group in model.groups} == {
        ("chunked", 6, 8192),
        ("full", 2, 0),
    }


def test_layers_of_several_widths_that_share_keys() -> None:
    tensors = outside()
    for index, kv in enumerate((256, 256, 128, 256)):
        tensors += attention(index, kv=kv) + mlp(index)
    metadata = llama(
        "gemma4", attention__key_length=32, attention__value_length=32, attention__key_length_swa=64,
        attention__value_length_swa=64, attention__sliding_window=512, attention__shared_kv_layers=1,
        attention__sliding_window_pattern=[True, True, False, True],
    ) | {"gemma4.attention.head_count_kv": [4, 4, 4, 4]}  # fmt: skip
    assert parse(metadata, tensors).groups == (
        LayerGroup("sliding", 2, 4, 64, 64, window=512),
        LayerGroup("full", 1, 4, 32, 32),
        LayerGroup("none", 1),
    )


def latent(index: int) -> list[Tensor]:
    names = ("attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_k_b", "attn_v_b", "attn_output")
    return [(f"blk.{index}.{name}.weight", (256, 64), F16) for name in names]


def test_latent_attention_and_a_prediction_head() -> None:
    tensors = outside()
    for index in range(3):
        tensors += latent(index) + mlp(index)
    tensors.append(("blk.2.nextn.eh_proj.weight", (512, 256), F16))
    metadata = llama(
        "deepseek2", layers=3, kv_heads=1, heads=128, attention__key_length=576, attention__value_length=512,
        attention__key_length_mla=192, attention__value_length_mla=128, attention__kv_lora_rank=512,
        rope__dimension_count=64, nextn_predict_layers=1,
    )  # fmt: skip
    model = parse(metadata, tensors)
    assert model.groups == (LayerGroup("latent", 2, latent_dim=576),)
    assert (model.layers, model.speculative_layers, model.heads) == (2, 1, 128)
    assert {part.name for part in model.parts if part.read == 0} == {"mtp"}


def test_sparse_attention_keeps_an_index_beside() -> None:
    metadata = llama(
        "deepseek32", layers=1, kv_heads=1, attention__key_length_mla=192, attention__kv_lora_rank=512,
        rope__dimension_count=64, attention__indexer__key_length=128,
    )  # fmt: skip
    model = parse(metadata, [*outside(), *latent(0), *mlp(0)])
    assert (model.groups, model.extra["index_head_dim"]) == ((LayerGroup("latent", 1, latent_dim=576),), 128)


def test_latent_attention_of_old_files_keeps_all_heads() -> None:
    metadata = llama("deepseek2", layers=1, kv_heads=4, attention__key_length=192, attention__value_length=128)
    assert parse(metadata, [*outside(), *latent(0), *mlp(0)]).groups == (LayerGroup("full", 1, 4, 192, 128),)


SSM = {"ssm__conv_kernel": 4, "ssm__inner_size": 512, "ssm__state_size": 16}


def states(model: Architecture) -> dict[str, int]:
    return {state.name: state.elements for group in model.groups for state in group.recurrent}


def test_gated_delta_nets_between_full_attention() -> None:
    tensors = outside()
    for index in range(4):
        tensors += (
            attention(index) if index == 3 else recurrence(index, "attn_qkv", "attn_gate", "ssm_conv1d", "ssm_out")
        )
        tensors += mlp(index)
    model = parse(llama("qwen3next", full_attention_interval=4, ssm__group_count=2, **SSM), tensors)
    assert {(group.state, group.count) for group in model.groups} == {("recurrent", 3), ("full", 1)}
    assert states(model) == {"convolution": 3 * (512 + 2 * 2 * 16), "state": 16 * 512}
    assert model.hybrid


def test_mamba_alone() -> None:
    metadata = llama("mamba", layers=2, **SSM)
    del metadata["mamba.attention.head_count"], metadata["mamba.attention.head_count_kv"]
    model = parse(metadata, [*outside(), *recurrence(0, "ssm_in", "ssm_out"), *recurrence(1, "ssm_in", "ssm_out")])
    assert (model.layers, model.heads, states(model)) == (2, 1, {"convolution": 3 * 512, "state": 16 * 512})


def test_short_convolutions_and_attention_by_list() -> None:
    tensors = [*outside(), *recurrence(0, "shortconv"), *mlp(0), *attention(1), *mlp(1)]
    metadata = llama("lfm2", layers=2, shortconv__l_cache=3) | {"lfm2.attention.head_count_kv": [0, 2]}
    model = parse(metadata, tensors)
    assert {group.state for group in model.groups} == {"recurrent", "full"}
    assert states(model) == {"convolution": 512}


def test_attention_beside_a_recurrence() -> None:
    model = parse(llama("falcon-h1", layers=1, **SSM), [*outside(), *attention(0), *recurrence(0, "ssm_in"), *mlp(0)])
    assert [group.state for group in model.groups] == ["full", "recurrent"]


def test_rwkv_and_delta_attention() -> None:
    metadata = llama("rwkv7", layers=1, wkv__head_size=64)
    assert states(parse(metadata, [*outside(), *recurrence(0, "time_mix_w1")])) == {"shift": 512, "state": 256 * 64}
    tensors = [*outside(), *recurrence(0, "attn_q", "attn_k", "attn_v", "ssm_conv1d_q")]
    metadata = llama("kimi-linear", layers=1, kda__head_dim=32, ssm__conv_kernel=4)
    metadata["kimi-linear.attention.head_count_kv"] = [0]
    assert states(parse(metadata, tensors)) == {"convolution": 3 * 3 * 4 * 32, "state": 4 * 32 * 32}


@pytest.mark.parametrize(
    ("arch", "more", "task", "state"),
    [
        ("bert", {}, "embed", "none"),
        ("qwen3", {"pooling_type": 3}, "embed", "full"),
        ("qwen3", {"pooling_type": 4}, "rerank", "full"),
        ("qwen3", {}, "generate", "full"),
    ],
)
def test_tasks(arch: str, more: dict[str, Any], task: str, state: str) -> None:
    model = parse(llama(arch, **more), dense())
    assert (model.task, model.groups[0].state) == (task, state)


def test_a_split_model_needs_all_its_files() -> None:
    tensors = dense()
    first = gguf(llama() | {"split.count": 2}, tensors[:9])
    second = gguf({"split.no": 1, "split.count": 2}, tensors[9:])
    whole = parse(llama(), tensors)
    model = parse_gguf(first[0], name="model.gguf", file_bytes=first[1], others=[second])
    assert (model.file_bytes, model.groups) == (whole.file_bytes, whole.groups)
    with pytest.raises(SizingError, match="is 2, but 1 of the files"):
        parse_gguf(first[0], name="model.gguf", file_bytes=first[1])
    with pytest.raises(SizingError, match="two of the files have the tensor"):
        parse_gguf(first[0], name="model.gguf", file_bytes=first[1], others=[first])


def test_a_short_head_says_how_much_more() -> None:
    head, file_bytes = gguf(llama(), dense())
    read, rounds = 4, 0
    while read < len(head):
        with pytest.raises(ShortHeaderError) as error:
            parse_gguf(head[:read], name="model.gguf", file_bytes=file_bytes)
        assert read < error.value.needed <= len(head)
        read, rounds = max(error.value.needed, 2 * read), rounds + 1
    assert parse_gguf(head[:read], name="model.gguf", file_bytes=file_bytes).layers == 4
    assert rounds < 20
