"""What config.json files lead to: parameters, states of layers, bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.architectures import Architecture, LayerGroup, catalogue, parse_config

COUNTED = json.loads((Path(__file__).parent / "counted.json").read_text(encoding="utf-8"))
"""configurations, and the parameters that transformers 5.24.0 counts in their classes, built without memory (`meta`)"""

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def parse(**changes: object) -> Architecture:
    return parse_config(json.dumps(LLAMA | changes), name="model")


def kv_per_token(architecture: Architecture) -> int:
    """Bytes of keys and values that a token more takes in 16 bits, over all ranks, however far it is from windows."""
    return sum(
        2 * group.count * (group.latent_dim or group.kv_heads * (group.key_dim + group.value_dim))
        for group in architecture.groups
        if group.state in {"full", "latent"}
    )


def elements(architecture: Architecture, name: str) -> int:
    return sum(part.elements for part in architecture.parts if part.name == name)


@pytest.mark.parametrize("entry", COUNTED, ids=[entry["config"]["architectures"][0] for entry in COUNTED])
def test_parameters_are_those_that_transformers_counts(entry: dict[str, Any]) -> None:
    found = parse_config(json.dumps(entry["config"]), name="model")
    # Transformers keeps the experts' balancing vectors and Gemma 4's scalars as buffers, which it does not count.
    assert found.parameters == pytest.approx(entry["parameters"], rel=2e-7)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8_030_261_248),
        ("meta-llama/Llama-3.1-70B-Instruct", 70_553_706_496),
        ("Qwen/Qwen2.5-7B-Instruct", 7_615_616_512),
        ("Qwen/Qwen3-30B-A3B", 30_532_122_624),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704),
        ("microsoft/phi-4", 14_659_507_200),
        ("google/gemma-3-27b-it", 27_432_406_640),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 108_641_793_536),
        ("meta-llama/Llama-3.2-11B-Vision-Instruct", 10_670_220_835),
        ("google/gemma-3n-E4B-it", 7_849_978_192),
    ],
)
def test_parameters_are_those_that_a_hub_counts_in_the_files(name: str, parameters: int) -> None:
    assert catalogue.find(name).parameters == parameters


@pytest.mark.parametrize(
    ("name", "billions", "active"),
    [
        ("deepseek-ai/DeepSeek-V3", 671 + 14, 37),  # its README: 671B, and 14B of the prediction module in the files
        ("openai/gpt-oss-20b", 20.9, 3.6),  # its model card, which counts the output matrix and not the embedding
        ("openai/gpt-oss-120b", 116.8, 5.1),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 109, 17),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 31.6, 3.2),
    ],
)
def test_a_mixture_is_as_large_as_published_and_reads_as_little(name: str, billions: float, active: float) -> None:
    found = catalogue.find(name)
    assert found.parameters / 1e9 == pytest.approx(billions, rel=0.005)
    assert found.active_parameters / 1e9 == pytest.approx(active, rel=0.06)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 131_072),
        ("deepseek-ai/DeepSeek-V3", 70_272),
        ("Qwen/Qwen2.5-7B-Instruct", 57_344),
        ("Qwen/Qwen3-30B-A3B", 98_304),
        ("openai/gpt-oss-120b", 18 * 2 * 8 * 64 * 2),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 12 * 2 * 2 * 256 * 2),
        ("BAAI/bge-m3", 0),
    ],
)
def test_keys_and_values_of_a_token(name: str, size: int) -> None:
    assert kv_per_token(catalogue.find(name)) == size


@pytest.mark.parametrize(
    ("name", "gib", "tolerance"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 14.96, 0.001),
        ("RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w8a8", 67.7229, 0.001),  # vllm#12569
        ("openai/gpt-oss-20b", 13.76e9 / 2**30, 0.001),
        ("openai/gpt-oss-120b", 65.2e9 / 2**30, 0.001),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", 5.57e9 / 2**30, 0.002),
        ("deepseek-ai/DeepSeek-V3", 688.6e9 / 2**30, 0.001),
    ],
)
def test_weights_as_measured_or_stored(name: str, gib: float, tolerance: float) -> None:
    computed = sum(part.bytes for part in catalogue.find(name).parts)
    assert computed / 2**30 == pytest.approx(gib, rel=tolerance)


def test_the_largest_llama_in_fp8_leaves_attention_and_both_ends_alone() -> None:
    """57.752 GiB on each of 8 ranks (vllm#6746), when its files had 16 KV heads; they have 8 since August 2024."""
    config = catalogue._config("meta-llama/Llama-3.1-405B-Instruct-FP8") | {"num_key_value_heads": 16}
    found = parse_config(json.dumps(config), name="model")
    assert found.weight_bytes / 8 / 2**30 == pytest.approx(57.752, rel=0.003)
    assert {part.bits for part in found.parts if part.name == "attention"} == {16}
    assert len([part for part in found.parts if part.name == "mlp"]) == 2


def test_grouped_heads_and_an_untied_head() -> None:
    found = parse()
    assert found.groups == (LayerGroup("full", 32, 8, 128, 128),)
    assert (found.heads, found.layers, found.dtype, found.quantization) == (32, 32, "bf16", "none")
    reads = {part.name: part.read for part in found.parts}
    assert (reads["embedding"], reads["lm_head"]) == (0, 1)
    assert found.active_parameters == found.parameters - 128256 * 4096


def test_a_tied_table_is_there_once_and_read_whole() -> None:
    found = parse(tie_word_embeddings=True)
    assert elements(found, "lm_head") == 0
    assert found.active_parameters == found.parameters == parse().parameters - 128256 * 4096


def test_without_key_value_heads_every_head_has_its_own() -> None:
    assert parse(num_key_value_heads=None).groups[0].kv_heads == 32


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 4096}, {"sliding": 32}),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": None}, {"full": 32}),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 131072}, {"full": 32}),
        ({"architectures": ["Qwen2ForCausalLM"], "sliding_window": 4096, "use_sliding_window": False}, {"full": 32}),
        (
            {
                "architectures": ["Qwen2ForCausalLM"],
                "sliding_window": 4096,
                "use_sliding_window": True,
                "max_window_layers": 28,
            },
            {"full": 28, "sliding": 4},
        ),
        ({"architectures": ["Gemma2ForCausalLM"], "sliding_window": 4096}, {"full": 16, "sliding": 16}),
        ({"architectures": ["Gemma3ForCausalLM"], "sliding_window": 1024}, {"full": 5, "sliding": 27}),
        (
            {"architectures": ["Gemma3ForCausalLM"], "sliding_window": 512, "sliding_window_pattern": 4},
            {"full": 8, "sliding": 24},
        ),
        (
            {
                "architectures": ["Gemma3ForCausalLM"],
                "sliding_window": 512,
                "layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 30,
            },
            {"full": 2, "sliding": 30},
        ),
    ],
)
def test_windows(changes: dict[str, object], groups: dict[str, int]) -> None:
    found = parse(**changes)
    assert {group.state: group.count for group in found.groups} == groups
    assert {group.window for group in found.groups if group.state == "sliding"} <= {changes["sliding_window"]}


def test_chunks_of_llama_4() -> None:
    groups = {group.state: group for group in catalogue.find("meta-llama/Llama-4-Scout-17B-16E-Instruct").groups}
    assert (groups["chunked"].count, groups["chunked"].window, groups["full"].count) == (36, 8192, 12)


def test_shared_layers_of_gemma_4_keep_nothing_and_full_ones_are_wider() -> None:
    groups = {group.state: group for group in catalogue.find("google/gemma-4-E2B-it").groups}
    assert (groups["none"].count, groups["sliding"].count, groups["full"].count) == (20, 12, 3)
    assert (groups["sliding"].key_dim, groups["full"].key_dim) == (256, 512)


def test_keys_that_serve_as_values_are_kept_twice_all_the_same() -> None:
    found = catalogue.find("google/gemma-4-31B-it")
    full = next(group for group in found.groups if group.state == "full")
    assert (full.kv_heads, full.key_dim, full.value_dim) == (4, 512, 512)


def test_states_of_gated_delta_nets() -> None:
    group = next(g for g in catalogue.find("Qwen/Qwen3-Next-80B-A3B-Instruct").groups if g.state == "recurrent")
    assert group.count == 36
    # 16 key heads and 32 value heads of 128, and a convolution of 4 that keeps 3
    assert {state.name: state.elements for state in group.recurrent} == {
        "convolution": 3 * 8192,
        "state": 32 * 128 * 128,
    }


def test_states_of_mamba_in_the_type_that_the_configuration_names() -> None:
    config = next(entry["config"] for entry in COUNTED if entry["config"]["model_type"] == "mamba2")
    found = parse_config(json.dumps(config | {"mamba_ssm_cache_dtype": "float32"}), name="model")
    convolution, state = found.groups[0].recurrent
    assert (convolution.elements, convolution.bytes_per_element) == (3 * (8192 + 2 * 8 * 128), 2)
    assert (state.elements, state.bytes_per_element) == (8192 * 128, 4)


def test_attention_and_mamba_side_by_side_are_two_groups() -> None:
    config = next(entry["config"] for entry in COUNTED if entry["config"]["model_type"] == "falcon_h1")
    assert [(g.state, g.count) for g in parse_config(json.dumps(config), name="m").groups] == [
        ("full", 24),
        ("recurrent", 24),
    ]


def test_whisper_keeps_a_decoder_that_grows_and_a_crossing_that_does_not() -> None:
    found = catalogue.find("openai/whisper-large-v3")
    assert (found.task, found.context, found.parameters) == ("transcribe", 448, 1_543_490_560)
    groups = {group.state: group for group in found.groups}
    assert (groups["full"].count, groups["none"].count) == (32, 32)
    crossing = groups["cross"]
    assert (crossing.count, crossing.window) == (32, 1500)
    assert crossing.kv_heads * (crossing.key_dim + crossing.value_dim) == 2 * 1280


def test_a_prediction_head_is_a_part_that_no_token_reads() -> None:
    found = catalogue.find("deepseek-ai/DeepSeek-V3")
    assert found.speculative_layers == 1
    assert elements(found, "mtp") / 1e9 == pytest.approx(13.5, abs=0.2)
    assert all(part.read == 0 for part in found.parts if part.name == "mtp")


def test_sparse_attention_says_the_width_of_its_index() -> None:
    assert catalogue.find("deepseek-ai/DeepSeek-V3.2").extra["index_head_dim"] == 128


@pytest.mark.parametrize(
    ("kind", "name", "task"),
    [
        ("LlamaForCausalLM", "a/b", "generate"),
        ("LlamaModel", "a/b", "embed"),
        ("LlamaForSequenceClassification", "a/b", "rerank"),
        ("Qwen3ForCausalLM", "Qwen/Qwen3-Embedding-4B", "embed"),
        ("Qwen3ForCausalLM", "Qwen/Qwen3-Reranker-4B", "rerank"),
        ("Qwen3ForCausalLM", "embeddings/Qwen3-4B", "generate"),
    ],
)
def test_tasks(kind: str, name: str, task: str) -> None:
    found = parse_config(json.dumps(LLAMA | {"architectures": [kind]}), name=name)
    assert found.task == task
    assert (elements(found, "lm_head") > 0) == (kind.endswith("ForCausalLM") and task != "embed")


def test_float32_is_halved_as_engines_do_and_said() -> None:
    found = parse(torch_dtype="float32")
    assert (found.dtype, found.weight_bytes) == ("bf16", parse().weight_bytes)
    assert any("float32" in note for note in found.notes)


def test_what_a_class_assumes_is_noted() -> None:
    config = {key: value for key, value in LLAMA.items() if key not in {"vocab_size", "num_key_value_heads"}}
    found = parse_config(json.dumps(config | {"architectures": ["Gemma3ForCausalLM"]}), name="model")
    assert found.vocab == 262_208
    assert any("vocab_size" in note and "262208" in note for note in found.notes)


def test_without_a_class_its_type_will_do() -> None:
    assert parse(architectures=None).parameters == parse().parameters


@pytest.mark.parametrize(
    ("changes", "context"),
    [
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}}, 131_072),
        ({"rope_scaling": {"type": "yarn", "factor": 2}}, 262_144),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, 262_144),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 131_072),
        ({"rope_parameters": {"rope_type": "default"}}, 131_072),
        (
            {
                "architectures": ["Gemma3ForCausalLM"],
                "model_type": "gemma3_text",
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
            131_072,
        ),
    ],
)
def test_stretched_positions(changes: dict[str, object], context: int) -> None:
    assert parse(**changes).context == context


def test_patterns_of_exaone() -> None:
    found = parse(architectures=["Exaone4ForCausalLM"], sliding_window=4096, sliding_window_pattern="LLLG")
    assert {group.state: group.count for group in found.groups} == {"sliding": 24, "full": 8}


def test_phi_4_multimodal_has_towers_and_adapters_that_its_configuration_does_not_size() -> None:
    config = LLAMA | {
        "architectures": ["Phi4MMForCausalLM"],
        "model_type": "phi4mm",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_attention_heads": 24,
        "vocab_size": 200_064,
        "tie_word_embeddings": True,
    }
    found = parse_config(json.dumps(config), name="microsoft/Phi-4-multimodal-instruct")
    assert found.parameters / 1e9 == pytest.approx(5.574, abs=0.001)
    assert found.active_parameters / 1e9 == pytest.approx(3.84, abs=0.01)  # those of Phi-4-mini
