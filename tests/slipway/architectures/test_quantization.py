"""Bits of an element by format, scales counted, and what each format leaves alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipway.architectures import Architecture, parse_config
from slipway.errors import SizingError
from tests.slipway.architectures.test_config import LLAMA

MIXTURE = LLAMA | {
    "architectures": ["Qwen3MoeForCausalLM"],
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 1024,
}


def parse(block: dict[str, Any], config: dict[str, Any] = LLAMA) -> Architecture:
    return parse_config(json.dumps(config | {"quantization_config": block}), name="model")


def bits(architecture: Architecture) -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for part in architecture.parts:
        found.setdefault(part.name, set()).add(round(part.bits, 3))
    return found


def group(**weights: object) -> dict[str, Any]:
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }


@pytest.mark.parametrize(
    ("block", "name", "mlp"),
    [
        ({"quant_method": "fp8"}, "fp8", 8),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 8 + 32 / 128**2),
        ({"quant_method": "fbgemm_fp8"}, "fp8", 8 + 32 / 4096),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq", 4 + 16 / 128 + 4 / 128),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq", 4 + 16 / 128 + 4 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": 32}, "gptq", 8 + 16 / 32 + 8 / 32),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes", 4 + 32 / 64),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
            "bitsandbytes",
            4 + 8 / 64 + 32 / 64 / 256,
        ),
        ({"load_in_8bit": True}, "bitsandbytes", 8),
        (group(num_bits=8, type="int", strategy="channel"), "int8", 8),
        (group(num_bits=4, type="int", strategy="group", group_size=128), "gptq", 4 + 16 / 128),
        (group(num_bits=4, type="int", strategy="group", group_size=32, symmetric=False), "gptq", 4 + 20 / 32),
        (group(num_bits=8, type="float", strategy="tensor"), "fp8", 8),
        (group(num_bits=4, type="float", strategy="tensor_group", group_size=16), "nvfp4", 4.5),
        (group(num_bits=4, type="float", strategy="group", group_size=32), "mxfp4", 4.25),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ["lm_head"]}, "nvfp4", 4.5),
        ({"quant_algo": "FP8", "exclude_modules": ["lm_head"]}, "fp8", 8),
    ],
)
def test_bits_of_an_element(block: dict[str, Any], name: str, mlp: float) -> None:
    found = parse(block)
    assert found.quantization == name
    (measured,) = bits(found)["mlp"]
    assert measured == pytest.approx(mlp, rel=0.002)
    assert {part: bits(found)[part] for part in ("embedding", "lm_head", "norms")} == {
        "embedding": {16},
        "lm_head": {16},
        "norms": {16},
    }


def test_the_output_matrix_is_packed_where_a_format_says_so() -> None:
    assert bits(parse({"quant_method": "gptq", "bits": 4, "group_size": 128, "lm_head": True}))["lm_head"] != {16}
    block = group(num_bits=8, type="int", strategy="channel") | {"ignore": []}
    assert bits(parse(block))["lm_head"] != {16}


def test_mxfp4_packs_experts_alone() -> None:
    found = bits(parse({"quant_method": "mxfp4"}, MIXTURE))
    assert (found["experts"], found["attention"], found["router"]) == ({4.25}, {16}, {16})


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        ("self_attn", 32),
        ("model.layers.0.self_attn", 1),
        ("model.language_model.layers.3.self_attn", 1),
        ("model.layers.1*", 11),
        ("*self_attn*", 32),
        ("re:.*self_attn.*", 32),
        ("re:model\\.layers\\.(0|31)\\.self_attn\\..*", 2),
        ("self_attn.q_pro", 0),
        ("layers.99.self_attn", 0),
    ],
)
def test_what_an_ignore_list_names_keeps_16_bits(entry: str, kept: int) -> None:
    found = parse({"quant_method": "compressed-tensors", "ignore": [entry], **_int8()})
    whole = sum(part.elements for part in found.parts if part.name == "attention")
    left = sum(part.elements for part in found.parts if part.name == "attention" and part.bits == 16)
    assert left * 32 == whole * kept


def _nvfp4(group_size: int) -> dict[str, Any]:
    return {"quant_algo": "NVFP4", "group_size": group_size}


def _group() -> dict[str, Any]:
    return {"weights": {"num_bits": 8}}


def _int8() -> dict[str, Any]:
    return {"config_groups": {"a": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int"}}}}


def test_formats_by_target() -> None:
    block = {
        "quant_method": "compressed-tensors",
        "config_groups": {
            "rest": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float"}},
            "experts": {
                "targets": ["re:.*mlp\\.experts.*"],
                "weights": {"num_bits": 4, "type": "float", "group_size": 16},
            },
        },
    }
    found = bits(parse(block, MIXTURE))
    assert (found["experts"], found["attention"]) == ({4.5}, {8})


def test_layers_by_layer_of_modelopt() -> None:
    block = {
        "quant_algo": "MIXED_PRECISION",
        "quantized_layers": {
            "model.layers.0.mlp.gate_proj": {"quant_algo": "FP8"},
            "model.layers.1.mlp.gate_proj": {"quant_algo": "NVFP4", "group_size": 16},
        },
    }
    assert bits(parse(block))["mlp"] == {16, 8, 4.5}


def test_a_file_beside_the_configuration_says_it_too() -> None:
    text = json.dumps(
        {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    )
    found = parse_config(json.dumps(LLAMA), name="model", quantization_text=text)
    assert (found.quantization, found.extra["kv_bits"]) == ("fp8", 8)


def test_a_tower_is_left_alone_where_a_list_speaks_of_it() -> None:
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "torch_dtype": "bfloat16",
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34},
        "vision_config": {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_hidden_layers": 27,
            "patch_size": 14,
            "image_size": 896,
        },
    }
    block = {"quant_method": "compressed-tensors", **_int8()}
    assert bits(parse(block | {"ignore": []}, config))["vision"] == {8, 16}
    assert bits(parse(block | {"ignore": ["re:vision_tower.*"]}, config))["vision"] == {16}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"quant_method": "hqq"}, "'hqq', which Slipway cannot weigh"),
        ({}, "quant_method is missing"),
        ({"quant_method": 4}, "is no name"),
        ({"quant_method": "gptq"}, "bits is missing"),
        ({"quant_method": "gptq", "bits": 64}, "bits is 64"),
        ({"quant_method": "awq", "bits": 4, "group_size": -5}, "group_size is -5"),
        ({"quant_method": "fp8", "weight_block_size": [0, 1]}, "no whole number"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "no pair"),
        ({"quant_method": "compressed-tensors"}, "config_groups is missing"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": 3}}, "is no object"),
        ({"quant_method": "modelopt"}, "quant_algo is missing"),
        ({"quant_method": "modelopt", "quant_algo": "INT1"}, "'INT1'"),
        ({"quant_method": "fp8", "modules_to_not_convert": "lm_head"}, "no list"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:(a*)*b"]}, "too complicated"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:.*.*.*.*x"]}, "too complicated"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:" + ".?" * 300 + "z"]}, "too complicated"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:" + "(l|.)" * 40 + "z"]}, "too complicated"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:(.*)\\1"]}, "too complicated"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:["]}, "no regular expression"),
        ({"quant_method": "fp8", "modules_to_not_convert": [f"re:a{n}" for n in range(101)]}, "101 patterns"),
        ({"quant_method": "fp8", "modules_to_not_convert": [f"a{n}*" for n in range(5001)]}, "5,001 patterns"),
        (
            {"quant_algo": "MIXED_PRECISION", "quantized_layers": {f"a{n}": _nvfp4(n) for n in range(1, 20)}},
            "19 formats",
        ),
        ({"quant_method": "compressed-tensors", "config_groups": {f"a{n}": _group() for n in range(9)}}, "9 groups"),
        ({"quant_method": "fp8", "modules_to_not_convert": [1]}, "no list of texts"),
    ],
)
def test_what_cannot_be_weighed_is_refused(block: dict[str, Any], said: str) -> None:
    with pytest.raises(SizingError, match=said):
        parse(block)
