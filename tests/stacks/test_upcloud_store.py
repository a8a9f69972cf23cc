"""The bucket for weights at UpCloud: who may do what with it, and that hosts read it there with those keys."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest

from tests.stacks.conftest import Run
from tests.support.golden import check_golden
from tests.support.mocks import in_clear
from tests.support.sdk import wrong_arguments

WEIGHTS = """\
config:
  slipway:provider: upcloud
  slipway:release: local-2026.11
  slipway:model:
    name: own
    source: s3://models/own.gguf
    sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    size: 1GB
    context: 2048
  slipway:weights: {bucket: models}
  slipway:upcloud: {zone: fi-hel2, plan: 4xCPU-8GB, ssh_from: [192.0.2.7], weights_region: europe-1}
"""
PUBLIC = WEIGHTS.replace("{bucket: models}", "{bucket: models, retain: false}").replace(
    "weights_region: europe-1", "weights_region: europe-1, weights_public: true"
)
STACKS = {"weights": WEIGHTS, "weights-public": PUBLIC}
STORE = "upcloud:index/managedObjectStorage"


@pytest.mark.parametrize("name", STACKS)
def test_the_graph_is_the_golden_one(run: Run, name: str, request: pytest.FixtureRequest) -> None:
    text = run(STACKS[name]).text()
    check_golden(f"stacks/upcloud-{name}", {"graph.yaml": text}, request.config.getoption("--update-golden"))


@pytest.mark.parametrize("name", STACKS)
def test_every_argument_is_one_of_the_sdk(run: Run, name: str) -> None:
    assert wrong_arguments(run(STACKS[name]), "upcloud") == {}


def test_hosts_read_it_over_the_private_network_with_the_readers_keys(run: Run) -> None:
    (service,) = run(PUBLIC).of("slipway:index:Service")
    assert service.inputs["desired"]["model"]["endpoint"] == "https://private.objects.example"
    assert service.inputs["desired"]["model"]["source"] == "s3://models/own.gguf"
    given = service.inputs["credentials"]
    given = given.get("[secret]", given)
    assert given["access_key"] == "AKIA-weights-reader"
    assert given["region"] == "europe-1"
    assert "SECRET-weights-reader" in json.dumps(given["secret_key"])


def test_keys_open_this_bucket_and_nothing_else(run: Run) -> None:
    allowed: dict[str, dict[str, list[str]]] = {}
    for policy in run(WEIGHTS).of(f"{STORE}Policy:ManagedObjectStoragePolicy"):
        written = json.loads(unquote(policy.inputs["document"]))
        assert {one["Effect"] for one in written["Statement"]} == {"Allow"}
        allowed[policy.name] = {one["Resource"][0]: one["Action"] for one in written["Statement"]}
    assert allowed["weights-reader"] == {"arn:aws:s3:::models/*": ["s3:GetObject"]}
    assert allowed["weights-writer"].keys() == {"arn:aws:s3:::models/*", "arn:aws:s3:::models"}
    assert "s3:PutObject" in allowed["weights-writer"]["arn:aws:s3:::models/*"]


def test_a_key_is_made_once_its_policy_is_attached(run: Run) -> None:
    for key in run(WEIGHTS).of(f"{STORE}UserAccessKey:ManagedObjectStorageUserAccessKey"):
        assert f"{STORE}UserPolicy:ManagedObjectStorageUserPolicy::{key.name}" in key.dependencies
        assert "secretAccessKey" in key.options["secret_outputs"]


def test_it_is_open_to_the_internet_only_where_that_is_said(run: Run) -> None:
    def networks(text: str) -> list[str]:
        (store,) = run(text).of(f"{STORE}:ManagedObjectStorage")
        return [one["type"] for one in store.inputs["networks"]]

    assert networks(WEIGHTS) == ["private"]
    assert networks(PUBLIC) == ["private", "public"]


def test_it_stays_with_the_network_that_it_is_in(run: Run) -> None:
    kinds = ("router:Router", "network:Network", "managedObjectStorage:ManagedObjectStorage",
             "managedObjectStorageBucket:ManagedObjectStorageBucket")  # fmt: skip
    for text, kept in ((WEIGHTS, True), (PUBLIC, False)):
        graph = run(text)
        assert [graph.of(f"upcloud:index/{kind}")[0].options.get("retain_on_delete", False) for kind in kinds] == [
            kept
        ] * len(kinds)


@pytest.mark.parametrize("preview", [False, True])
def test_outputs_say_how_to_fill_it_and_no_secret_is_in_clear(run: Run, preview: bool) -> None:
    graph = run(PUBLIC, preview=preview)
    assert {"weights", "weights_access_key", "weights_secret_key"} <= graph.outputs.keys()
    assert "weights_secret_key" in graph.secret_outputs
    clear = {key: value for key, value in graph.outputs.items() if key not in graph.secret_outputs}
    for what in (clear, *(asked.inputs for asked in graph.resources)):
        assert not [text for text in in_clear(what) if "SECRET" in text]
    if not preview:
        shown = {"bucket": "models", "endpoint": "https://public.objects.example", "region": "europe-1"}
        assert graph.outputs["weights"] == shown
        assert graph.outputs["weights_access_key"] == "AKIA-weights-writer"


def test_without_a_bucket_nothing_of_it_is_made(run: Run) -> None:
    text = WEIGHTS.replace("  slipway:weights: {bucket: models}\n", "").replace(", weights_region: europe-1", "")
    graph = run(text)
    assert not [asked.key for asked in graph.resources if "ObjectStorage" in asked.type or "router" in asked.type]
    assert "weights" not in graph.outputs
    (service,) = graph.of("slipway:index:Service")
    assert "credentials" not in service.inputs
