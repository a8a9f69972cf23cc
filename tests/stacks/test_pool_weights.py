"""A bucket of the stack's own and a node pool: pods read the model there, with keys that nothing holds in clear."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stacks import test_aws_pool, test_gcp_pool, test_kubernetes, test_upcloud_pool
from tests.stacks.conftest import Run
from tests.support.clouds import assert_no_secret_in_clear, one_of
from tests.support.mocks import Graph
from tests.support.sdk import in_the_clear

STACKS = {
    "upcloud": (test_upcloud_pool.WEIGHTS, "https://private.objects.example/models/own.gguf", "europe-1"),
    "aws": (test_aws_pool.WEIGHTS, "https://s3.eu-north-1.amazonaws.com/our-models/own.gguf", "eu-north-1"),
    "gcp": (test_gcp_pool.WEIGHTS, "https://storage.googleapis.com/our-models/own.gguf", "auto"),
}


def mounted(graph: Graph) -> Any:
    """What a pod mounts from the Secret of its model."""
    (found,) = [one for one in graph.of("kubernetes:core/v1:Secret") if one.name == "Secret/test-model"]
    return found.inputs["stringData"]


def secret(graph: Graph) -> Any:
    """The lines for curl in it."""
    return in_the_clear(in_the_clear(mounted(graph))["curl"])


@pytest.mark.parametrize("cloud", STACKS)
def test_pods_read_the_bucket_with_the_readers_keys(run: Run, cloud: str) -> None:
    text, url, region = STACKS[cloud]
    graph = run(text)
    assert_no_secret_in_clear(graph)
    lines = secret(graph).splitlines()
    assert f'url = "{url}"' in lines
    assert f'aws-sigv4 = "aws:amz:{region}:s3"' in lines
    (user,) = [line for line in lines if line.startswith("user = ")]
    assert ":SECRET-weights-reader" in user
    (config,) = [one for one in graph.of("kubernetes:core/v1:ConfigMap") if "fetch.curl" in one.inputs["data"]]
    assert "url" not in config.inputs["data"]["fetch.curl"], "curl would fetch from each that it is told"


def test_a_bucket_fills_a_claim_as_well(run: Run) -> None:
    text, url, _ = STACKS["aws"]
    graph = run(text.replace("gpu_layer: none", "gpu_layer: none\n    claim: weights"))
    assert f'url = "{url}"' in secret(graph)
    assert [one for one in graph.of("kubernetes:core/v1:ConfigMap") if "fetch.curl" in one.inputs["data"]]


@pytest.mark.parametrize("cloud", STACKS)
def test_pods_wait_for_the_secret(run: Run, cloud: str) -> None:
    deployment = one_of(run(STACKS[cloud][0]), "kubernetes:apps/v1:Deployment")
    assert "kubernetes:core/v1:Secret::Secret/test-model" in deployment.dependencies
    (config,) = [one for one in deployment.inputs["spec"]["template"]["spec"]["volumes"] if one["name"] == "config"]
    (model,) = [
        one["secret"] for one in config["projected"]["sources"] if "model" in one.get("secret", {}).get("name", "")
    ]
    assert model["optional"] is False


@pytest.mark.parametrize("cloud", STACKS)
def test_a_preview_knows_no_place_yet(run: Run, cloud: str) -> None:
    assert in_the_clear(mounted(run(STACKS[cloud][0], preview=True))) == "[unknown]"


MADE = test_aws_pool.CPU.replace("https://models.example", "s3://models")
FOUND = test_kubernetes.STACK.replace("https://models.example", "s3://models")


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize("text", [MADE, FOUND], ids=["made", "found"])
@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("region: eu-west-1", "https://models.s3.eu-west-1.amazonaws.com/"),
        ("region: eu-west-1, endpoint: https://s3.example", "https://s3.example/models/"),
    ],
)
def test_a_bucket_that_exists_is_read_where_it_is(run: Run, text: str, said: str, place: str) -> None:
    """In a cluster that is made, and in one that is found."""
    keys = "  slipway:model_access_key: {secure: AKIA}\n  slipway:model_secret_key: {secure: SECRET-own}\n"
    graph = run(text.replace(", size: ", f", {said}, size: ") + keys)
    assert_no_secret_in_clear(graph)
    assert 'aws-sigv4 = "aws:amz:eu-west-1:s3"' in secret(graph)
    (config,) = [one for one in graph.of("kubernetes:core/v1:ConfigMap") if "fetch.curl" in one.inputs["data"]]
    assert f'url = "{place}' in config.inputs["data"]["fetch.curl"]
