"""`slipway fit`, from its options to what it prints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import Result

from tests.slipway.test_cli import World

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
WORLD = World({})


def run(*arguments: str) -> Result:
    return WORLD.run("fit", *arguments)


def answer(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.output)
    return data


def test_the_answer_has_what_it_is_judged_by() -> None:
    data = answer(
        *("--model", LLAMA, "--gpu", "L4", "--gpus", "1", "--tensor-parallel", "1", "--engine", "vllm"),
        *(
            "--engine-version",
            "0.21.0",
            "--gpu-memory-utilization",
            "0.9",
            "--max-model-len",
            "8192",
            "--kv-dtype",
            "bf16",
        ),
    )
    for name in ("weights_gib_per_gpu", "available_kv_gib_per_gpu", "kv_tokens", "max_concurrency"):
        assert data[name].keys() == {"low", "value", "high"}
        assert data[name]["low"] <= data[name]["value"] <= data[name]["high"]
    assert data["fits"] is True
    assert data["verdict"] == "fits"
    assert data["weights_gib_per_gpu"]["value"] == pytest.approx(14.99, rel=0.01)
    assert data["changes"] == []
    assert [term["name"] for term in data["terms"]][:2] == ["usable", "weights"]
    assert data["settings"]["max_num_batched_tokens"] == 2048


def test_only_model_and_gpu_are_needed() -> None:
    data = answer("--model", LLAMA, "--gpu", "h100 sxm")
    assert (data["gpu"], data["engine"], data["engine_version"]) == ("H100-SXM", "vllm", "0.31.0")
    assert data["settings"]["gpu_memory_utilization"] == 0.92
    assert data["settings"]["max_model_len"] == 131072
    assert any("the newest that is known" in note for note in data["notes"])


def test_a_slice_of_a_gpu_has_its_own_memory() -> None:
    data = answer("--model", LLAMA, "--gpu", "H100-SXM", "--mig", "3g.40gb", "--max-model-len", "8192")
    assert (data["gpu"], data["fits"]) == ("H100-SXM 3g.40gb", True)
    assert data["terms"][0]["gib"]["value"] == pytest.approx(39.5 * 0.92, rel=0.01)
    assert not answer("--model", LLAMA, "--gpu", "H100-SXM", "--mig", "1g.10gb")["fits"]


def test_encoders_can_be_left_out() -> None:
    whole, alone = (
        answer("--model", "google/gemma-4-E2B", "--gpu", "L4", *more) for more in ((), ("--language-model-only",))
    )
    assert alone["weights_gib_per_gpu"]["value"] < whole["weights_gib_per_gpu"]["value"]
    assert alone["kv_tokens"]["value"] > whole["kv_tokens"]["value"]
    text = ("--model", LLAMA, "--gpu", "L4")
    assert answer(*text, "--language-model-only") == answer(*text)


def test_not_to_fit_is_an_answer() -> None:
    data = answer("--model", "meta-llama/Llama-3.1-70B-Instruct", "--gpu", "L4")
    assert data["fits"] is False
    assert data["available_kv_gib_per_gpu"]["value"] < 0
    assert data["kv_tokens"] == {"low": 0, "value": 0, "high": 0}
    assert data["changes"]


def test_gpus_without_a_cut_are_all_used() -> None:
    assert answer("--model", LLAMA, "--gpu", "L4", "--gpus", "4")["settings"]["tensor_parallel"] == 4
    stages = answer("--model", LLAMA, "--gpu", "L4", "--gpus", "4", "--pipeline-parallel", "2")["settings"]
    assert (stages["tensor_parallel"], stages["pipeline_parallel"]) == (2, 2)


def test_a_number_format_that_the_gpu_lacks_does_not_fit() -> None:
    data = answer("--model", LLAMA, "--gpu", "T4", "--max-model-len", "1024")
    assert data["fits"] is False
    assert "bfloat16 needs 8.0" in data["changes"][0]


def test_other_engines_and_devices() -> None:
    assert answer("--model", LLAMA, "--gpu", "H100", "--engine", "sglang")["fits"] is True
    slots = ("--max-model-len", "8192", "--max-num-seqs", "4", "--kv-dtype", "q8_0")
    assert answer("--model", LLAMA, "--gpu", "A100-80", "--engine", "llamacpp", *slots)["fits"] is True
    cpu = answer("--model", LLAMA, "--gpu", "EPYC Milan", "--engine", "llama.cpp", "--max-model-len", "8192")
    assert cpu["fits"] is True


def test_people_get_a_table() -> None:
    result = run("--model", LLAMA, "--gpu", "L4", "--max-model-len", "8192")
    assert result.exit_code == 0
    assert f"{LLAMA} fits" in result.output
    for word in ("usable", "weights", "activations", "libraries", "KV cache", "one request", "× 0.92"):
        assert word in result.output
    missed = run("--model", LLAMA, "--gpu", "T4")
    assert "cannot run so" in missed.output
    tight = run("--model", LLAMA, "--gpu", "L4")
    assert "What would help" in tight.output
    assert "tokens a request at most" in " ".join(tight.output.split())
    states = run("--model", "Qwen/Qwen3.6-27B-FP8", "--gpu", "L40S", "--max-model-len", "32768")
    assert "does not fit with 256 requests at once" in " ".join(states.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", LLAMA, "--gpu", "L5"), "no GPU that Slipway knows"),
        (("--model", "no/such-model", "--gpu", "L4"), "no/such-model"),
        (("--model", LLAMA, "--gpu", "L4", "--engine", "tgi"), "no engine that Slipway knows"),
        (("--model", LLAMA, "--gpu", "L4", "--engine-version", "soon"), "no version of vllm"),
        (("--model", LLAMA, "--gpu", "L4", "--kv-dtype", "int3"), "no KV cache type of vllm"),
        (("--model", LLAMA, "--gpu", "L4", "--gpu-memory-utilization", "1.5"), "no share of the memory"),
        (("--model", LLAMA, "--gpu", "L4", "--gpu-memory-utilization", "nan"), "no share of the memory"),
        (("--model", LLAMA, "--gpu", "L4", "--max-model-len", "0"), "out of range"),
        (("--model", LLAMA, "--gpu", "L4", "--max-model-len", "-5"), "out of range"),
        (("--model", LLAMA, "--gpu", "L4", "--max-num-seqs", "0"), "out of range"),
        (("--model", LLAMA, "--gpu", "L4", "--pipeline-parallel", "0"), "out of range"),
        (("--model", LLAMA, "--gpu", "L4", "--speculative-tokens", "-1"), "out of range"),
        (("--model", LLAMA, "--gpu", "L4", "--gpus", "1", "--tensor-parallel", "2"), "need more than 1 GPUs"),
        (("--model", LLAMA, "--gpu", "L4", "--gpus", "many"), "--gpus"),
        (("--gpu", "L4"), "--model"),
        (("--model", LLAMA, "--gpu", "L4", "--mig", "1g.10gb"), "L4 cannot be cut into '1g.10gb'"),
        (("--model", LLAMA, "--gpu", "H100-SXM", "--gpus", "2", "--mig", "3g.40gb"), "slices of GPUs share nothing"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_2(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output


def test_help_explains_the_answer() -> None:
    result = run("--help")
    assert result.exit_code == 0
    text = " ".join(result.output.split())
    assert "even the worst of them leaves room for one request of the full length" in text
    assert "Not to fit is an answer too" in text


def test_a_model_that_keeps_nothing_is_not_said_to_serve_nobody() -> None:
    assert "BAAI/bge-m3 fits: it keeps nothing of a request." in run("--model", "BAAI/bge-m3", "--gpu", "L4").output


def test_a_checkpoint_that_asks_for_fp8_keys_is_said_to() -> None:
    data = answer("--model", "nvidia/Qwen3-8B-NVFP4", "--gpu", "B200")
    assert data["settings"]["kv_dtype"] == "fp8"
    assert any("asks for keys and values in fp8" in note for note in data["notes"])
