"""Damaged and lying files: one clear sentence, at once."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.architectures import Architecture, catalogue, parse_config
from slipway.errors import SizingError
from tests.slipway.architectures.test_config import COUNTED, LLAMA

TEXT = json.dumps(LLAMA)
WHOLE = 16_060_522_496
"""bytes of Llama 3.1 8B"""


def index(size: object, *names: str) -> str:
    return json.dumps({"metadata": {"total_size": size}, "weight_map": dict.fromkeys(names, "a.safetensors")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON: Expecting value at line 1, column 1"),
        (TEXT[:-5], "no JSON"),
        ("[]", "no object"),
        ("null", "no object"),
        ("[" * 200_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "thousands of digits"),
        ('{"hidden_size": 1, "hidden_size": 2}', "'hidden_size' is there twice"),
        ('{"hidden_size": NaN}', "NaN is no number"),
        ('{"hidden_size": -Infinity}', "-Infinity is no number"),
        (" " * (8 * 2**20 + 1), "longer than"),
        ("{}", "no class under 'architectures'"),
    ],
)
def test_what_is_no_configuration(text: str, said: str) -> None:
    with pytest.raises(SizingError, match=said) as caught:
        parse_config(text, name="model")
    assert len(str(caught.value)) < 1500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"hidden_size": "4096"}, "'4096', which is no whole number"),
        ({"hidden_size": 4096.0}, "4096.0, which is no whole number"),
        ({"hidden_size": True}, "True, which is no whole number"),
        ({"hidden_size": -1}, "-1, which is not from 1"),
        ({"hidden_size": 0}, "0, which is not from 1"),
        ({"hidden_size": 10**30}, "more than 18 digits"),
        ({"hidden_size": [4096]}, "no whole number"),
        ({"hidden_size": 4097}, "does not divide hidden_size 4097"),
        ({"num_hidden_layers": 10**6}, "not from 1 to 512"),
        ({"num_key_value_heads": 7}, "does not divide the 32 query heads"),
        ({"num_key_value_heads": 64}, "does not divide the 32 query heads"),
        ({"tie_word_embeddings": "yes"}, "neither true nor false"),
        ({"torch_dtype": "int3"}, "no type of activations"),
        ({"torch_dtype": 16}, "is no name"),
        ({"max_position_embeddings": 10**12}, "not from 1"),
        ({"layer_types": ["full_attention"]}, "names 1 layers, and there are 32"),
        ({"layer_types": ["odd"] * 32}, "'odd'"),
        ({"layer_types": ["linear_attention"] * 32}, "which its class does not have"),
        ({"architectures": ["LlavaLlamaForCausalLM"]}, "does not know the architecture 'LlavaLlamaForCausalLM'"),
        ({"architectures": ["LlamaForCausalLM2"]}, "nearest known are .*LlamaForCausalLM"),
        ({"architectures": "LlamaForCausalLM"}, "no list of texts"),
        ({"architectures": None, "model_type": "unheard"}, "model_type 'unheard' is not known"),
        ({"vocab_size": 2**26, "hidden_size": 2**24, "num_hidden_layers": 512}, "more than any model has"),
        ({"architectures": ["Mistral3ForConditionalGeneration"], "text_config": {"model_type": "x"}}, "'x'"),
        ({"architectures": ["MixtralForCausalLM"]}, "num_local_experts is missing"),
        ({"architectures": ["NomicBertModel"], "num_experts": 8}, "NomicBERT with experts"),
        (
            {"architectures": ["MiniMaxM1ForCausalLM"], "num_local_experts": 2, "num_experts_per_tok": 1},
            "attn_type_list",
        ),
        ({"architectures": ["Exaone4ForCausalLM"], "sliding_window_pattern": "LLX"}, "not made of L and G"),
        ({"rope_scaling": {"type": "yarn", "factor": "4"}}, "no number"),
        (
            {"architectures": ["MixtralForCausalLM"], "num_local_experts": 2, "num_experts_per_tok": 3},
            "is 3, and there are 2 experts",
        ),
    ],
)
def test_a_field_that_cannot_be(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SizingError, match=said) as caught:
        parse_config(json.dumps(LLAMA | changes), name="model")
    assert caught.value.where == "model"


def test_an_index_says_the_bytes() -> None:
    found = parse_config(TEXT, name="model", index_text=index(WHOLE))
    assert found.file_bytes == found.weight_bytes == WHOLE
    assert not found.notes
    assert parse_config(TEXT, name="model", index_text=index(float(WHOLE))).file_bytes == WHOLE


def test_an_index_a_little_off_is_believed_and_said() -> None:
    found = parse_config(TEXT, name="model", index_text=index(round(WHOLE * 1.1)))
    assert found.file_bytes == round(WHOLE * 1.1)
    assert any("+10.0%" in note for note in found.notes)


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.3, 40])
def test_an_index_of_another_model_is_refused(factor: float) -> None:
    with pytest.raises(SizingError, match="apart") as caught:
        parse_config(TEXT, name="model", index_text=index(round(WHOLE * factor)))
    assert caught.value.where == "model: model.safetensors.index.json"


@pytest.mark.parametrize("size", ["16GB", -1, 0, True, 10**40, 1.5])
def test_an_index_that_says_no_size(size: object) -> None:
    with pytest.raises(SizingError, match="total_size"):
        parse_config(TEXT, name="model", index_text=index(size))


def test_an_index_without_a_size_says_nothing() -> None:
    assert parse_config(TEXT, name="model", index_text="{}").file_bytes is None


def test_a_tied_matrix_that_is_stored_twice_is_loaded_once() -> None:
    config = json.dumps(LLAMA | {"tie_word_embeddings": True})
    once = WHOLE - 128256 * 4096 * 2
    found = parse_config(config, name="model", index_text=index(WHOLE, "lm_head.weight", "model.embed_tokens.weight"))
    assert found.file_bytes == once


def test_a_prediction_head_that_the_files_lack_is_left_out() -> None:
    config = catalogue._config("deepseek-ai/DeepSeek-V3")
    with_head = parse_config(json.dumps(config), name="model")
    size = round(sum(part.bytes for part in with_head.parts if part.name != "mtp"))
    found = parse_config(json.dumps(config), name="model", index_text=index(size, "model.layers.60.mlp.gate.weight"))
    assert (found.speculative_layers, found.parameters < with_head.parameters) == (0, True)
    kept = parse_config(json.dumps(config), name="model", index_text=index(size, "model.layers.61.eh_proj.weight"))
    assert kept.speculative_layers == 1


def test_float32_files_are_halved() -> None:
    config = json.dumps(LLAMA | {"torch_dtype": "float32"})
    found = parse_config(config, name="model", index_text=index(2 * WHOLE))
    assert found.weight_bytes == WHOLE


def header(tensors: dict[str, Any]) -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text


TENSOR = {"dtype": "BF16", "shape": [WHOLE // 2], "data_offsets": [0, WHOLE]}


def test_a_header_says_the_bytes() -> None:
    head = header({"__metadata__": {"format": "pt"}, "a": TENSOR})
    assert parse_config(TEXT, name="model", header_bytes=head).file_bytes == WHOLE


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "too short"),
        (b"GGUF\3\0\0\0", "no safetensors file"),
        (b"\xff" * 8, "no safetensors file"),
        (header({"a": TENSOR})[:-4], "are there"),
        ((4).to_bytes(8, "little") + b"\xff\xff\xff\xff", "no UTF-8"),
        ((4).to_bytes(8, "little") + b"{{{{", "no JSON"),
        (header({}), "no tensors"),
        (header({"a": TENSOR | {"dtype": "F3"}}), "no type of a tensor"),
        (header({"a": TENSOR | {"shape": [-1]}}), "no whole number"),
        (header({"a": TENSOR | {"shape": [2**39] * 16}}), "more elements"),
        (header({"a": TENSOR | {"data_offsets": [0, 4]}}), "does not span"),
        (header({"a": {"dtype": "F32"}}), "shape is missing"),
        (header({"a": 3}), "no object"),
    ],
)
def test_a_header_that_cannot_be(head: bytes, said: str) -> None:
    with pytest.raises(SizingError, match=said):
        parse_config(TEXT, name="model", header_bytes=head)


KINDS = {json.dumps(sorted(config)): config for config in (entry["config"] for entry in COUNTED)} | {
    name: catalogue._config(name)
    for name in (
        "deepseek-ai/DeepSeek-V3.2",
        "google/gemma-3n-E2B-it",
        "google/gemma-4-26B-A4B-it",
        "meta-llama/Llama-3.2-11B-Vision-Instruct",
        "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
        "moonshotai/Kimi-K2.5",
        "nvidia/Llama-3_3-Nemotron-Super-49B-v1",
        "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
        "nvidia/Qwen3.6-35B-A3B-NVFP4",
        "openai/gpt-oss-20b",
        "openai/whisper-tiny",
        "Qwen/Qwen3.6-27B-FP8",
    )
}
ODD = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, 7, 2**24, 2**31, 10**400, 0.5, 1e308, "", "x", "auto", "fp8", [], [0], [[]], {}]
) | st.integers(-3, 100_000)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    config = copy.deepcopy(KINDS[draw(st.sampled_from(sorted(KINDS)))])
    for _ in range(draw(st.integers(1, 3))):
        place = config
        while isinstance(inner := place[key := draw(st.sampled_from(sorted(place)))], dict) and inner:
            if draw(st.booleans()):
                break
            place = inner
        if draw(st.booleans()):
            place[key] = draw(ODD)
        elif len(place) > 1:
            del place[key]
    return json.dumps(config)


def read_or_refused(text: str) -> Architecture | None:
    """None where it was refused, in one line that names the file."""
    try:
        return parse_config(text, name="model")
    except SizingError as error:
        said = str(error)
    assert said.startswith("model: ")
    assert "\n" not in said
    return None


@settings(max_examples=400, deadline=None)
@given(damaged())
def test_a_damaged_configuration_is_read_or_refused(text: str) -> None:
    found = read_or_refused(text)
    if found is None:
        return
    assert found.parameters > 0
    assert 0 <= found.active_parameters <= found.parameters * (1 + 1e-9)
    assert 0 < found.weight_bytes < 10**15
    assert found.layers > 0


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(TEXT) - 1), st.text(max_size=3))
def test_a_truncated_or_overwritten_file_is_refused_or_read(at: int, instead: str) -> None:
    for text in (TEXT[:at], TEXT[:at] + instead + TEXT[at + 1 :]):
        found = read_or_refused(text)
        assert found is None or found.parameters > 0
