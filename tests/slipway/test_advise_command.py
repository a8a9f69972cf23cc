"""`slipway advise`: its options, files, questions and answers; and a sentence for whatever is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.cli import asking
from slipway.cli import workload_options as options
from slipway.cli.advice_data import advice_data
from slipway.errors import SizingError
from tests.slipway.advised import MODEL, advice
from tests.slipway.stack_files import LOCAL
from tests.slipway.test_cli import World

FILES = {
    "workload.yaml": "mode: batch\nrequests_per_second: 3\nprompt: {mean: 500}\n",
    "inner.yaml": "workload: {mode: batch}\n",
    "wrong.yaml": "mode: sometimes\nprompts: {mean: 500}\n",
    "list.yaml": "- 1\n",
    "torn.yaml": "mode: [batch",
    "hours.txt": "# a day\n" + "0 " * 8 + "1.5, " * 8 + "\n6;" * 8,
    "hours.json": json.dumps([1.0] * 168),
    "words.txt": "one two three",
    "log.jsonl": "\n".join('{"prompt_tokens": 700, "completion_tokens": 90}' for _ in range(20)),
    "offers.yaml": "offers: [{provider: own, instance: big, gpu: H100, gpus: 1, vcpus: 8, memory: 64GiB, price: 0.1}]",
    "no-offers.yaml": "offers: []\n",
    "bad-offers.yaml": "- {provider: own, instance: big, vcpus: 8, memory: 64GiB, price: -1}\n",
    "local.yaml": LOCAL,
}


@pytest.fixture
def world() -> World:
    return World(FILES)


def told(world: World, *arguments: str) -> dict[str, Any]:
    result = world.run("advise", *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    data: dict[str, Any] = json.loads(result.stdout)
    return data


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rps", "2", "--mode", "real-time"], {"profile": [2.0] * 24, "mode": "real-time"}),
        (["--prompt", "200,500", "--output", "40"], {"prompt_mean": 200, "prompt_p95": 500, "output_mean": 40}),
        (["--ttft", "1s", "--tpot", "40ms"], {"first_token": 1.0, "per_token": 0.04}),
        (["--e2e", "1m", "--context", "8192"], {"end_to_end": 60.0, "context": 8192}),
        (["--concurrency", "7", "--complexity", "low"], {"concurrency": 7, "complexity": "low"}),
        (["--rps", "1", "--idle", "50%"], {"idle_share": 0.5}),
        (["--mode", "batch"], {"mode": "batch", "first_token": None, "per_token": None}),
        (["--workload", "workload.yaml"], {"mode": "batch", "prompt_mean": 500, "profile": [3.0] * 24}),
        (["--workload", "workload.yaml", "--rps", "1"], {"profile": [1.0] * 24, "prompt_mean": 500}),
        (["--workload", "inner.yaml"], {"mode": "batch"}),
        (["--profile", "hours.txt"], {"profile": [0.0] * 8 + [1.5] * 8 + [6.0] * 8}),
        (["--profile", "hours.json"], {"profile": [1.0] * 168}),
        (["--requests", "log.jsonl"], {"prompt_mean": 700, "output_p95": 90}),
        (["--requests", "log.jsonl", "--prompt", "50"], {"prompt_mean": 50, "output_mean": 90}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_make_the_workload(world: World, arguments: list[str], expected: dict[str, object]) -> None:
    workload = told(world, "--model", MODEL, *arguments)["workload"]
    assert {key: workload[key] for key in expected} == expected


def test_offers_are_narrowed_and_added(world: World) -> None:
    data = told(world, "--model", MODEL, "--offers", "offers.yaml", "--provider", "own", "--provider", "gcp")
    assert data["options"][0]["offer"]["instance"] == "big"
    assert data["options"][0]["offer"]["source"] == "slipway:offers"
    assert {found["offer"]["provider"] for found in data["options"] + data["rejections"]} == {"own", "gcp"}
    data = told(world, "--model", MODEL, "--gpu", "l40s", "--gpu", "H100-SXM")
    assert {option["offer"]["gpu"] for option in data["options"]} == {"L40S", "H100-SXM"}


def test_engine_and_version(world: World) -> None:
    data = told(world, "--model", MODEL, "--engine", "SGLang", "--engine-version", "0.5.3", "--gpu", "H100-SXM")
    setup = data["options"][0]["setup"]
    assert (setup["engine"], setup["engine_version"], setup["device"]) == ("sglang", "0.5.3", "H100-SXM")


def test_options_on_top_of_a_stack_file_with_durations(world: World) -> None:
    asked = "  slipway:workload: {requests_per_second: 0.1, first_token: 20s, per_token: 1s, prompt: {mean: 64}}\n"
    world.files["asked.yaml"] = LOCAL + asked
    found = told(world, "asked.yaml", "--tpot", "500ms")["workload"]
    assert (found["first_token"], found["per_token"], found["prompt_mean"]) == (20.0, 0.5, 64)


def test_a_stack_file(world: World) -> None:
    world.files["stacks/Pulumi.local.yaml"] = LOCAL
    data = told(world, "local.yaml")
    assert data == told(world, "--stack", "local")
    assert [found["offer"]["provider"] for found in data["options"] + data["rejections"]] == ["local"]
    assert told(world, "local.yaml", "--output", "33")["workload"]["output_mean"] == 33


def test_a_fine_tuning(world: World) -> None:
    data = told(world, "--model", MODEL, "--purpose", "qlora")
    assert data["options"] == []
    assert data["tuning"][0]["fit"]["verdict"] == "fits"
    result = world.run("advise", "--model", MODEL, "--purpose", "qlora")
    assert "optimizer states" in result.stdout


def test_the_terminal_says_it_all(world: World) -> None:
    result = world.run("advise", "--model", MODEL, "--rps", "2", "--limit", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("leans to", "KV cache", "█", "cheapest first", "more; --limit", "cold start", "assumed: ", "a month"):
        assert word in result.stdout
    data = told(world, "--model", MODEL, "--rps", "2")
    assert re.sub(r"\s", "", data["summary"][2]) in re.sub(r"\s", "", result.stdout)


def test_nothing_is_an_answer(world: World) -> None:
    result = world.run("advise", "--model", MODEL, "--ttft", "1ms")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "meets every target" in result.stdout
    assert told(world, "--model", MODEL, "--ttft", "1ms")["options"] == []


def test_a_page_is_written(world: World) -> None:
    assert world.run("advise", "--model", MODEL, "--html", "out/advice.html").exit_code == 0
    assert world.files["out/advice.html"].startswith("<!doctype html>")
    result = world.run("advise", "--model", MODEL, "--html", "/proc/advice.html")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


WRONG = [
    ([], "no model is named"),
    (["--model", "meta-llama/Llama-9"], "meta-llama"),
    (["--model", MODEL, "--rps", "many"], "--rps: 'many' is no rate"),
    (["--model", MODEL, "--rps", "nan"], "is no rate"),
    (["--model", MODEL, "--rps", "0"], "no requests at all"),
    (["--model", MODEL, "--prompt", "long"], "--prompt: 'long' is no length"),
    (["--model", MODEL, "--prompt", "0"], "less than 1"),
    (["--model", MODEL, "--prompt", "500,100"], "p95 100 < mean 500"),
    (["--model", MODEL, "--ttft", "2"], "--ttft: '2' is no duration. Write a number and a unit"),
    (["--model", MODEL, "--idle", "150%"], "--idle: '150%' is no share"),
    (["--model", MODEL, "--mode", "sometimes"], "mode: 'sometimes' is not known"),
    (["--model", MODEL, "--complexity", "huge"], "Write one of low, medium, high"),
    (["--model", MODEL, "--purpose", "prune"], "purpose: 'prune' is not known"),
    (["--model", MODEL, "--context", "-4"], "context"),
    (["--model", MODEL, "--gpu", "A100"], "Write A100-40 or"),
    (["--model", MODEL, "--provider", "moon"], "moon"),
    (["--model", MODEL, "--engine", "tgi"], "'tgi' is no engine"),
    (["--model", MODEL, "--workload", "gone.yaml"], "gone.yaml: this cannot be read"),
    (["--model", MODEL, "--workload", "wrong.yaml"], "wrong.yaml: mode: 'sometimes' is not known; prompts: "),
    (["--model", MODEL, "--workload", "list.yaml"], "this is no mapping"),
    (["--model", MODEL, "--workload", "torn.yaml"], "this is no YAML"),
    (["--model", MODEL, "--profile", "words.txt"], "words.txt: 'one' is no number"),
    (["--model", MODEL, "--profile", "workload.yaml"], "is no number"),
    (["--model", MODEL, "--requests", "words.txt"], "words.txt: line 1"),
    (["--model", MODEL, "--offers", "no-offers.yaml"], "there is no list of offers"),
    (["--model", MODEL, "--offers", "bad-offers.yaml"], "bad-offers.yaml: [0].price: -1 is less than 0"),
    (["local.yaml", "--model", MODEL], "a model and a stack"),
    (["local.yaml", "--stack", "local"], "two stacks"),
    (["local.yaml", "--provider", "aws"], "the stack's provider is local"),
    (["gone.yaml"], "gone.yaml: (file): this cannot be read"),
]


@pytest.mark.parametrize(
    ("arguments", "sentence"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_whatever_is_wrong_is_a_sentence(world: World, arguments: list[str], sentence: str) -> None:
    result = world.run("advise", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@given(st.text(max_size=40))
def test_any_text_is_a_value_or_a_sentence(text: str) -> None:
    for parse in (
        lambda: options.rate("--x", text),
        lambda: options.lengths("--x", text),
        lambda: options.duration("--x", text),
        lambda: options.share("--x", text),
        lambda: options.profile(text, "x"),
        lambda: options.engine(text),
    ):
        try:
            parse()
        except SizingError as error:
            message = str(error)
            assert "\n" not in message.replace(text, "")


def answers(monkeypatch: pytest.MonkeyPatch, *given: str) -> list[str]:
    left: Iterator[str] = iter(given)
    asked: list[str] = []

    def prompt(question: str, **_: object) -> str:
        asked.append(question)
        return next(left)

    monkeypatch.setattr(asking, "on_terminal", lambda: True)
    monkeypatch.setattr("typer.prompt", prompt)
    return asked


def test_five_questions_are_enough(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "", MODEL, "fast", "500ms", "1.5", "", "m")
    result = world.run("advise")
    assert (result.exit_code, len(asked)) == (0, 7)
    assert "'fast' is no duration" in result.stderr
    assert "1.5 requests/s" in result.stdout
    assert "0.5 s" in result.stdout


def test_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "0", "2", "40%", "lo")
    model, given = asking.ask("x/y")
    assert (model, given["mode"], given["first_token"], given["idle_share"]) == ("x/y", "batch", None, 0.4)
    assert given["complexity"] == "low"


def test_nothing_is_asked_where_something_was_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch)
    assert world.run("advise", "--model", MODEL, "--rps", "1").exit_code == 0
    assert world.run("advise", "--model", MODEL, "--json").exit_code == 0
    assert asked == []


def keys(data: object) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield key
            if key != "why":
                yield from keys(value)
    elif isinstance(data, list):
        for value in data:
            yield from keys(value)


@pytest.mark.parametrize("name", ["chat", "tuning", "nothing", "batch"])
def test_every_key_is_documented(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "advise.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([a-z0-9_]+)`", text))
    data = advice_data(advice(name))
    json.dumps(data, allow_nan=False)
    assert set(keys(data)) <= documented
