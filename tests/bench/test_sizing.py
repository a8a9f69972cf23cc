"""The comparison of sizing with what was published: its rows, its peers, and that it runs; not its figures."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bench import sizing
from bench.sizing_peers import GIB, PEERS, gpu_poor, kaito, plain
from bench.sizing_results import Figure, Result, Skipped, judge, middle, resized
from bench.sizing_rows import GROUPS, SPLITS, Case, load_cases, load_misses, load_speeds, load_twins, split
from slipway.architectures import catalogue
from slipway.gpus import find_gpu

CASES = load_cases()
SPEEDS = load_speeds()
BY_ID = {case.id: case for case in CASES}


def test_nobody_chose_the_split() -> None:
    assert [case.id for case in CASES if case.split not in ("later", split(case.model))] == []
    assert [row.id for row in SPEEDS if row.split != split(f"{row.model}|{row.device}")] == []


def test_every_row_says_where_it_is_from() -> None:
    for row in (*CASES, *SPEEDS):
        assert row.source, row.id
    assert len(BY_ID) == len(CASES)
    assert len({row.id for row in SPEEDS}) == len(SPEEDS)
    assert {case.kind for case in CASES} <= set(GROUPS)


def test_there_are_rows_of_every_kind_on_both_sides() -> None:
    assert {(case.group, case.split) for case in CASES} == {
        (group, side) for group in set(GROUPS.values()) for side in SPLITS
    }
    assert len(CASES) >= 60
    assert len(SPEEDS) >= 30
    assert sum(not case.fits for case in CASES) >= 10


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.id))
def test_a_row_agrees_with_itself(case: Case) -> None:
    """Tokens are concurrency times length, except where layers keep state in several ways."""
    assert case.tensor_parallel * case.pipeline_parallel == case.gpus
    if case.group in ("dense", "moe") and case.tokens and case.concurrency and case.max_model_len:
        assert case.tokens / case.max_model_len == pytest.approx(case.concurrency, rel=0.02, abs=0.02)


def test_twins_are_in_the_catalogue() -> None:
    names = set(catalogue.names()) | set(catalogue.aliases())
    assert {twin.name for twin in load_twins().values()} <= names


def test_misses_are_of_rows_that_exist() -> None:
    assert {number for number, _ in load_misses()} <= set(BY_ID)


def test_the_peers_compute_as_published() -> None:
    """By hand, for Llama 3.1 8B on an L4 of 23,034 MiB."""
    architecture = catalogue.find("meta-llama/Llama-3.1-8B-Instruct")
    gpu = find_gpu("L4")
    size = gpu.memory_mib / 1024
    weights = architecture.weight_bytes / GIB * 1.02
    answer = kaito(architecture, gpu, 1, 0.9)
    assert answer.kv == pytest.approx(0.84 * size - 1.05 * weights - 2.3)
    assert answer.tokens == pytest.approx(answer.kv * GIB / (128 * 1024))
    assert plain(architecture, gpu, 1, 0.9).kv == pytest.approx(0.9 * size - architecture.parameters * 2 / GIB)
    poor = gpu_poor(architecture, gpu, 1, 0.9)
    assert poor.kv * GIB / poor.tokens == 4 * 128 * 1024, "a key and a value of each of the 32 heads, not of the 8"


def test_the_peers_split_weights_over_gpus() -> None:
    architecture = catalogue.find("meta-llama/Llama-3.1-8B-Instruct")
    for peer in PEERS.values():
        assert (
            peer(architecture, find_gpu("L4"), 2, 0.9).weights == peer(architecture, find_gpu("L4"), 1, 0.9).weights / 2
        )


def test_a_file_of_another_size_is_the_same_model() -> None:
    architecture = catalogue.find("meta-llama/Llama-3.1-8B-Instruct")
    small = resized(architecture, "gguf:Q4_K_M", 4.58)
    assert small.weight_bytes == pytest.approx(4.58 * GIB, rel=1e-6)
    assert small.parameters == architecture.parameters
    assert sum(part.bytes for part in small.parts) == pytest.approx(small.weight_bytes, rel=1e-6)


def test_what_is_over_the_aim_is_told() -> None:
    result = judge(BY_ID[3])
    assert isinstance(result, Result)
    assert dict(replace(result, figures={"kv": Figure(10, 11.5, 11, 12, {})}).over()) == {"kv": pytest.approx(0.15)}
    assert dict(replace(result, figures={"kv": Figure(10, 10.5, 10, 12, {})}).over()) == {}


def test_a_row_of_other_weights_is_not_judged() -> None:
    assert isinstance(judge(replace(BY_ID[3], quant="bitsandbytes")), Skipped)
    assert isinstance(judge(replace(BY_ID[3], model="nobody/nothing")), Skipped)
    assert isinstance(judge(replace(BY_ID[3], gpu="unheard of")), Skipped)


@pytest.mark.parametrize(
    ("published", "inside"), [(8.0, False), (9.0, True), (12.0, True), (12.005, True), (12.1, False)]
)
def test_a_range_holds_what_is_in_it(published: float, inside: bool) -> None:
    assert Figure(published, 10, 9, 12, {}).inside is inside


def test_middles_have_no_sign() -> None:
    assert middle([-0.5, 0.1, 0.2]) == 0.2


def test_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    sizing.show(*sizing.run([BY_ID[1], BY_ID[3]], SPEEDS[:2]))
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    said = json.loads(lines[-1])
    assert said["benchmark"] == "sizing"
    assert sorted(said["fitted_rows"] + said["held_out_rows"]) == [1, 3]
    assert set(said["memory"]["kv dense"]) == {*SPLITS, "range", *PEERS}
    assert any("meta-llama/Llama-3.1-8B-Instruct" in line and "RTX3090" in line for line in lines)


def test_its_arguments() -> None:
    assert sizing.parse(["--rows", "1,3"]).rows == "1,3"
