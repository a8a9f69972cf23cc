"""The shipped catalogue: every file is sound, and says what is published of its model."""

from __future__ import annotations

import csv
import datetime
import json
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.architectures import catalogue
from slipway.architectures.types import Architecture
from slipway.errors import SizingError

PARAMETERS = Path(__file__).parent / "catalogue_parameters.csv"
FILES = {
    file.name.removesuffix(".json").replace("--", "/", 1): json.loads(file.read_text(encoding="utf-8"))
    for file in resources.files("slipway.architectures").joinpath("models").iterdir()
}

ACTIVE = {
    # model → parameters a token is multiplied with, as its makers publish them
    "Qwen/Qwen3-30B-A3B": 3.3e9,  # github.com/QwenLM/Qwen3, README
    "Qwen/Qwen3-235B-A22B": 22e9,  # the same
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": 35e9,  # github.com/QwenLM/Qwen3-Coder, README
    "Qwen/Qwen3.5-35B-A3B": 3e9,  # its name
    "Qwen/Qwen3.5-122B-A10B": 10e9,  # its name
    "Qwen/Qwen3.5-397B-A17B": 17e9,  # its name
    "mistralai/Mixtral-8x7B-v0.1": 12.9e9,  # arxiv.org/abs/2401.04088
    "mistralai/Mixtral-8x22B-v0.1": 39.1e9,  # github.com/AlexsJones/llmfit 1.1.17, model table
    "deepseek-ai/DeepSeek-V3": 37e9,  # github.com/deepseek-ai/DeepSeek-V3, README
    "deepseek-ai/DeepSeek-V2-Lite": 2.4e9,  # arxiv.org/abs/2405.04434
    "deepseek-ai/DeepSeek-V2.5": 21e9,  # arxiv.org/abs/2405.04434 (of V2, the same shapes)
    "openai/gpt-oss-20b": 3.6e9,  # github.com/openai/gpt-oss, README
    "openai/gpt-oss-120b": 5.1e9,  # the same
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": 17e9,  # its name
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct": 17e9,  # its name
    "moonshotai/Kimi-K2-Instruct": 32e9,  # github.com/MoonshotAI/Kimi-K2, README
    "zai-org/GLM-4.5": 32e9,  # github.com/zai-org/GLM-4.5, README
    "zai-org/GLM-4.5-Air": 12e9,  # the same
    "MiniMaxAI/MiniMax-M2": 10e9,  # github.com/MiniMax-AI/MiniMax-M2, README
    "microsoft/Phi-3.5-MoE-instruct": 6.6e9,  # arxiv.org/abs/2404.14219
    "google/gemma-4-26B-A4B": 3.8e9,  # its model card
    "ibm-granite/granite-4.0-h-small": 9e9,  # its model card
}

TASKS = {
    "meta-llama/Llama-3.1-8B-Instruct": "generate",
    "google/gemma-3-27b-it": "generate",
    "Alibaba-NLP/gte-Qwen2-7B-instruct": "embed",
    "BAAI/bge-m3": "embed",
    "intfloat/e5-mistral-7b-instruct": "embed",
    "nomic-ai/nomic-embed-text-v1.5": "embed",
    "Qwen/Qwen3-Embedding-8B": "embed",
    "Qwen/Qwen3-Reranker-8B": "rerank",
    "BAAI/bge-reranker-v2-m3": "rerank",
    "openai/whisper-large-v3-turbo": "transcribe",
}

KEPT = {
    # model → layers by what they keep for a request: of its configuration's layer_types, or its report
    "meta-llama/Llama-3.1-8B-Instruct": {"full": 32},
    "mistralai/Mistral-7B-v0.1": {"sliding": 32},
    "google/gemma-3-27b-it": {"sliding": 52, "full": 10},
    "google/gemma-4-E2B": {"sliding": 12, "full": 3, "none": 20},
    "google/gemma-4-31B": {"sliding": 50, "full": 10},
    "openai/gpt-oss-120b": {"sliding": 18, "full": 18},
    "deepseek-ai/DeepSeek-R1": {"latent": 61},
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": {"chunked": 36, "full": 12},
    "Qwen/Qwen3.6-27B": {"recurrent": 48, "full": 16},
    "ibm-granite/granite-4.0-h-small": {"recurrent": 36, "full": 4},
    "nvidia/Nemotron-H-8B-Base-8K": {"recurrent": 24, "full": 4, "none": 24},
    "BAAI/bge-m3": {"none": 24},
}

PUBLISHED_LOGS = [
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Meta-Llama-3-8B",
    "meta-llama/Llama-2-7b",
    "neuralmagic/Meta-Llama-3.1-70B-Instruct-quantized.w8a8",
    "meta-llama/Meta-Llama-3.1-405B-Instruct-FP8",
    "Qwen/Qwen3-Coder-30B-A3B",
    "google/gemma-4-E2B",
    "Gemma-4-31B",
    "Qwen3.6-27B",
]
"""names as people write them in the logs that sizing is judged by"""


def published() -> list[tuple[str, int]]:
    with PARAMETERS.open(encoding="utf-8", newline="") as file:
        return [(row["model"], int(row["parameters"])) for row in csv.DictReader(file)]


def table(architecture: Architecture) -> int:
    return sum(part.elements for part in architecture.parts if part.name == "embedding")


def test_every_file_is_sound() -> None:
    assert set(FILES) == set(catalogue.names())
    assert len(FILES) >= 120
    for name, entry in FILES.items():
        keys = {"base", "config", "bytes", "source", "date", "aliases"}
        assert keys - {"base"} <= set(entry) <= keys, name
        assert entry["source"].strip(), name
        assert datetime.date.fromisoformat(entry["date"]), name
        assert entry["bytes"] is None or entry["bytes"] > 0, name
        assert entry["config"] or "base" in entry, name


def test_every_model_that_another_is_made_from_is_there() -> None:
    for name in FILES:
        seen = [name]
        while "base" in FILES[seen[-1]]:
            seen.append(FILES[seen[-1]]["base"])
            assert seen[-1] in FILES, name
            assert len(set(seen)) == len(seen), f"{name} is made from itself"


def test_every_spelling_means_one_model() -> None:
    spellings: dict[str, str] = {}
    for name, entry in FILES.items():
        for spelling in (name, *entry["aliases"]):
            key = "".join(character for character in spelling.lower() if character not in " -_")
            assert spellings.setdefault(key, name) == name, spelling
    assert len(spellings) == len(FILES) + sum(len(entry["aliases"]) for entry in FILES.values())


def test_every_model_is_understood() -> None:
    faults = []
    for name in catalogue.names():
        try:
            architecture = catalogue.find(name)
        except SizingError as error:
            faults.append(str(error))
            continue
        assert architecture.name == name
        assert architecture.source.startswith(FILES[name]["source"])
        assert architecture.weight_bytes > 0
        assert 0 < architecture.active_parameters <= architecture.parameters
    assert faults == []


def test_parameters_are_within_three_percent_of_what_is_published() -> None:
    off = {name: catalogue.find(name).parameters / total - 1 for name, total in published()}
    assert {name: share for name, share in off.items() if abs(share) > 0.03} == {}
    assert len(off) > 200


def test_bytes_of_the_files_agree_with_the_configuration() -> None:
    """A total that does not is of another model, or the quantisation is misread."""
    off = {}
    for name, entry in FILES.items():
        if entry["bytes"] is not None:
            off[name] = sum(part.bytes for part in catalogue.find(name).parts) / entry["bytes"] - 1
    assert {name: share for name, share in off.items() if abs(share) > 0.03} == {}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        # all files of the repository, as public documents quote them
        ("openai/gpt-oss-20b", 13_761_264_768),
        ("openai/gpt-oss-120b", 65_248_815_744),
        ("deepseek-ai/DeepSeek-V3", 688_586_727_753),
        ("deepseek-ai/DeepSeek-R1", 688_586_727_753),
        ("Qwen/Qwen3.5-397B-A17B-GPTQ-Int4", 235_657_499_488),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 217_283_738_720),
        ("google/gemma-3-27b-it", 54_864_980_440),
    ],
)
def test_all_parts_together_weigh_what_the_files_do(name: str, size: int) -> None:
    """With the prediction head, which the files hold and engines leave out; headers are what is left."""
    assert sum(part.bytes for part in catalogue.find(name).parts) == pytest.approx(size, rel=1e-3)


@pytest.mark.parametrize("name", ACTIVE)
def test_a_token_is_multiplied_with_the_active_parameters(name: str) -> None:
    """Makers count the embedding table or not, and round: the published figure lies between, within 7 %."""
    architecture = catalogue.find(name)
    low = architecture.active_parameters
    assert 0.93 * low <= ACTIVE[name] <= 1.07 * (low + table(architecture))


@pytest.mark.parametrize("name", TASKS)
def test_what_a_model_is_for(name: str) -> None:
    assert catalogue.find(name).task == TASKS[name]


@pytest.mark.parametrize("name", KEPT)
def test_what_its_layers_keep(name: str) -> None:
    assert {group.state: group.count for group in catalogue.find(name).groups} == KEPT[name]


def test_a_quantised_copy_keeps_what_its_model_keeps_for_a_request() -> None:
    for name, entry in FILES.items():
        if set(entry["config"]) == {"quantization_config"}:
            copy, model = catalogue.find(name), catalogue.find(entry["base"])
            assert copy.groups == model.groups, name
            assert copy.parameters == model.parameters, name
            assert copy.quantization != "none", name
            assert copy.weight_bytes < model.weight_bytes, name


@pytest.mark.parametrize("name", PUBLISHED_LOGS)
def test_names_in_published_logs_are_found(name: str) -> None:
    assert catalogue.find(name).parameters > 1e9


@pytest.mark.parametrize(
    "written",
    [
        "meta-llama/Llama-3.1-8B-Instruct",
        "META-LLAMA/llama 3.1 8b instruct",
        "meta_llama/Llama_3.1_8B_Instruct",
        "Llama-3.1-8B-Instruct",
        "llama 3.1 8b instruct",
        "meta-llama/Meta-Llama-3.1-8B-Instruct",
        "  meta llama 3.1 8B Instruct ",
    ],
)
def test_spelling_does_not_matter(written: str) -> None:
    assert catalogue.find(written) is catalogue.find("meta-llama/Llama-3.1-8B-Instruct")


def test_a_name_that_several_owners_use_names_them() -> None:
    with pytest.raises(SizingError) as raised:
        catalogue.find("Qwen3-32B-NVFP4-or-not")
    assert "is no model of the catalogue" in str(raised.value)
    with pytest.raises(SizingError, match="is the name of 2 models") as raised:
        catalogue.find("Meta-Llama-3.1-405B-Instruct-FP8")
    assert "meta-llama/Llama-3.1-405B-Instruct-FP8" in raised.value.fix
    assert "RedHatAI/Meta-Llama-3.1-405B-Instruct-FP8" in raised.value.fix


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("meta-llama/Llama-3.1-8B-Instrukt", "meta-llama/Llama-3.1-8B-Instruct"),
        ("qwen3-32", "Qwen/Qwen3-32B"),
        ("google/gemma4-e2", "google/gemma-4-E2B"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(SizingError) as raised:
        catalogue.find(written)
    assert meant in raised.value.fix


@given(st.text(max_size=300))
def test_any_name_is_found_or_answered_with_a_sentence(name: str) -> None:
    answer = ""
    try:
        catalogue.find(name)
    except SizingError as error:
        answer = str(error)
    assert "\n" not in answer
    assert len(answer) < 700
