"""`slipway plan` and `slipway render` of a stack that serves in a cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slipway.cli.show import rows
from slipway.render import load_templates
from slipway.settings import parse_stack_file
from tests.slipway.test_cli import World
from tests.templates.clusters import FILES, case

ROOT = Path(__file__).parents[2]
STACK = (ROOT / "tests" / "templates" / "cluster" / "cpu.yaml").read_text()
FILE = "stacks/Pulumi.prod.yaml"


@pytest.fixture
def world() -> World:
    made = World({FILE: STACK})
    made.effects = replace(made.effects, templates=lambda folder: load_templates(ROOT / "templates" / folder))
    return made


def test_plan_says_where_pods_go_and_how_they_end(world: World) -> None:
    said = " ".join(world.run("plan", FILE).stdout.split())
    assert "cluster context prod, namespace slipway-prod, Deployment prod" in said
    assert "pool 2 nodes, pool=models" in said
    assert "pods 2; 2 CPUs, 1.2 GiB each; a change: one more before one is stopped" in said
    assert "end: 10 s to be left alone + 60 s for open requests + the rest to stop = 115 s" in said
    assert "waves" not in said


def test_render_writes_manifests_without_secrets(world: World) -> None:
    result = world.run("render", FILE, "--out", "out")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"out/{name}" for name in sorted(path[4:] for path in world.files if path != FILE)
    ]
    assert "kind: Deployment" in world.files["out/60-deployment.yaml"]
    assert not [path for path, text in world.files.items() if "kind: Secret" in text]


def test_an_image_of_a_recipe_has_to_be_where_the_cluster_can_pull_it(world: World) -> None:
    world.files[FILE] = STACK.replace("engine-llama-cpp:", "other:")
    result = world.run("plan", FILE)
    assert result.exit_code == 2
    assert "the image engine-llama-cpp is built from a recipe, and a cluster pulls its images" in result.stderr
    assert "slipway:cluster.images.engine-llama-cpp: repository@sha256:…" in result.stderr


def test_a_model_that_only_this_computer_has_is_refused(world: World) -> None:
    world.files[FILE] = STACK.replace('source: "https://models.example', 'source: "file:///models')
    result = world.run("plan", FILE)
    assert result.exit_code == 2
    assert (
        "a pod cannot fetch file:///models/SmolLM2-135M-Instruct.Q4_1.gguf. Use https://, hf:// or s3://"
        in result.stderr
    )


SAID = {
    "one-gpu": {"another also above 80% of the KV cache or 2s to the first token"},
    "embedding": {"never two on one node"},
    "multi-node": {"each spread over 2 nodes"},
    "shared-gpus": {
        "device plugin and DCGM exporter in slipway-prod-gpu; the node image brings the driver",
        "4 pods take turns on a GPU",
    },
    "operator": {
        "NVIDIA's operator, which you install, with the values of `render`; driver 580.159.03",
        "GPUs cut into 1g.10gb",
    },
    "batch": {
        "in/november.jsonl of claim requests, at 0 22 * * * (Europe/Helsinki), for 8h each time; "
        "answers in out/november.jsonl"
    },
    "warm": {
        "3 or more from 0 8 * * 1-5 until 0 18 * * 1-5 (Europe/Helsinki)",
        "1 more places are held free, by pods that give way",
        "images and the model are put on every node ahead of them",
    },
    "ingress": {"models.example, by Ingress nginx", "at most 600 requests a minute of one key, a proxy"},
}


@pytest.mark.parametrize("name", SAID)
def test_plan_says_what_a_stack_has_besides(name: str) -> None:
    settings = parse_stack_file((FILES / f"{name}.yaml").read_text(), "Pulumi.prod.yaml")
    assert SAID[name] <= {value for _, value in rows(case(name), settings)}
