"""Golden arguments of every engine, for one and several GPUs: `golden/engines/NAME.json`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from slipway.desired import Image
from slipway.engine_facts import FACTS
from slipway.engines import PLANNERS, engine_plan
from slipway.models import ResolvedModel, parse_source
from slipway.plan_types import ReplicaPlan
from slipway.settings.sections import EngineSettings, LocalSettings, Settings

GOLDEN = Path(__file__).parent / "golden" / "engines"
DIGEST = "sha256:" + "a" * 64
IMAGE = Image(name="engine", reference=f"registry.example/engine@{DIGEST}")
GGUF = ResolvedModel("small", parse_source("https://models.example/small.gguf"), "b" * 64, 4_000_000_000, 4096)
WEIGHTS = ResolvedModel(
    "big", parse_source("hf://owner/big@0123abc/model.safetensors"), "c" * 64, 60_000_000_000, 32768
)


def settings(engine: EngineSettings, provider: str = "aws", **more: object) -> Settings:
    """Settings as the rules would never see them: no GPU release ships yet."""
    return Settings.model_validate({"provider": provider, "release": "r", "model": "m", "engine": engine, **more})


CASES = {
    "llama-cpp-cpu": (settings(EngineSettings()), GGUF),
    "llama-cpp-local-two-replicas": (
        settings(EngineSettings(replicas=2), provider="local", local=LocalSettings(cpus=8)),
        GGUF,
    ),
    "llama-cpp-small-kv": (settings(EngineSettings(kv_dtype="q8_0")), GGUF),
    "llama-cpp-one-gpu": (settings(EngineSettings(gpus=1, threads=4, args=("--flash-attn", "on"))), GGUF),
    "vllm-one-gpu": (settings(EngineSettings(name="vllm", gpus=1)), WEIGHTS),
    "vllm-eight-gpus": (
        settings(
            EngineSettings(
                name="vllm", gpus=8, tensor_parallel=8, memory_fraction=0.92, kv_dtype="fp8", max_batched_tokens=8192
            ),
            drain={"deadline": "5m"},
        ),
        WEIGHTS,
    ),
    "vllm-gguf": (settings(EngineSettings(name="vllm", gpus=1)), GGUF),
    "sglang-one-gpu": (settings(EngineSettings(name="sglang", gpus=1)), WEIGHTS),
    "sglang-four-gpus": (
        settings(
            EngineSettings(
                name="sglang",
                gpus=4,
                tensor_parallel=4,
                kv_dtype="fp8",
                max_batched_tokens=4096,
                env={"NCCL_DEBUG": "INFO"},
            )
        ),
        WEIGHTS,
    ),
    "vllm-two-nodes": (
        settings(EngineSettings(name="vllm", gpus=8, tensor_parallel=8), cluster={"nodes_per_replica": 2}),
        WEIGHTS,
    ),
    "sglang-two-nodes": (
        settings(EngineSettings(name="sglang", gpus=8, tensor_parallel=8), cluster={"nodes_per_replica": 2}),
        WEIGHTS,
    ),
    "custom": (
        settings(
            EngineSettings(
                name="custom",
                image=f"registry.example/engine@{DIGEST}",
                args=("serve", "{model}", "--name={name}", "--port={port}", "--ctx={context}", "--slots={concurrency}"),
                health_path="/ready",
            )
        ),
        GGUF,
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_arguments(name: str, request: pytest.FixtureRequest) -> None:
    chosen, model = CASES[name]
    data = dataclasses.asdict(engine_plan(chosen, model, IMAGE))
    data["image"] = data["image"].reference
    text = json.dumps(data, indent=2) + "\n"
    golden = GOLDEN / f"{name}.json"
    if request.config.getoption("--update-golden"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), f"update with: pytest {__file__} --update-golden"


def test_every_engine_has_facts_and_a_planner() -> None:
    assert set(FACTS) == set(PLANNERS)


@pytest.mark.parametrize("name", sorted(CASES))
def test_each_engine_listens_on_loopback_and_on_its_own_port(name: str) -> None:
    argv = engine_plan(*CASES[name], IMAGE).argv_for(ReplicaPlan(index=3, port=9003))
    assert any("9003" in argument for argument in argv)
    assert "{port}" not in " ".join(argv)
    if not name.startswith("custom"):
        assert argv[argv.index("--host") + 1] == "127.0.0.1"


@pytest.mark.parametrize("name", sorted(set(CASES) - {"custom"}))
def test_every_flag_that_is_written_is_refused_from_users(name: str) -> None:
    chosen, model = CASES[name]
    argv = engine_plan(chosen, model, IMAGE).argv
    ours = argv[: len(argv) - len(chosen.engine.args)]
    flags = {argument for argument in ours if argument.startswith("-") and argument != "-m"}
    assert flags <= set(FACTS[chosen.engine.name].owned_flags)
