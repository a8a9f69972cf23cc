"""What is wrong with a cluster is one sentence each, said by a real API server before anything is made in it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bootstrap.plugin.resources.cluster import Cluster
from slipway.doctor.cluster import SCALER
from tests.bootstrap.plugin.provider import Provider, provider
from tests.support.cluster_pki import CONTEXT
from tests.support.cluster_stack import cluster_stack
from tests.support.control_plane import ControlPlane

pytestmark = [pytest.mark.net, pytest.mark.pulumi, pytest.mark.slow]

LABELS = {"pool": "refusals"}
NAMESPACE = "slipway-test"


@pytest.fixture(scope="module")
def nodes(plane: ControlPlane) -> Iterator[None]:
    plane.make_nodes(1, 8, LABELS, prefix="refusals")
    yield
    plane.kubectl("delete", "nodes", "-l", "pool=refusals")


@pytest.fixture
def served(nodes: None) -> Iterator[Provider]:
    with provider(Cluster()) as made:
        yield made


def said(served: Provider, kubeconfig: Path, **changed: Any) -> list[str]:
    inputs = {"context": CONTEXT, "namespace": NAMESPACE, "selector": LABELS, "custom": [], **changed}
    return list(served.check({"kubeconfig": str(kubeconfig), **inputs})[1].values())


def test_a_cluster_with_everything(plane: ControlPlane, served: Provider) -> None:
    assert said(served, plane.kubeconfig, custom=[list(SCALER[0])]) == []


def test_a_definition_that_is_missing(plane: ControlPlane, served: Provider) -> None:
    (sentence,) = said(served, plane.kubeconfig, custom=[list(SCALER[0]), ["kueue.x-k8s.io/v1beta1", "localqueues"]])
    assert "cluster tests: custom resources: it has no localqueues (kueue.x-k8s.io/v1beta1)" in sentence


def test_nodes_without_the_label(plane: ControlPlane, served: Provider) -> None:
    (sentence,) = said(served, plane.kubeconfig, selector={"pool": "other"})
    assert sentence == (
        "cluster tests: nodes: it has no such node (wanted: pool=other). Label nodes, or correct slipway:pool.labels: "
        "`kubectl get nodes --show-labels`"
    )


def test_an_api_server_that_is_away(plane: ControlPlane, served: Provider, tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: a connection is refused
        taken.bind(("127.0.0.1", 0))
        config = yaml.safe_load(plane.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{taken.getsockname()[1]}"
        away = tmp_path / "away"
        away.write_text(yaml.safe_dump(config))
        (sentence,) = said(served, away)
    assert "cluster tests: reached: the API server is not reached: " in sentence


def test_somebody_whom_it_does_not_know(plane: ControlPlane, served: Provider, tmp_path: Path) -> None:
    config = yaml.safe_load(plane.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "of-nobody"}
    stranger = tmp_path / "stranger"
    stranger.write_text(yaml.safe_dump(config))
    (sentence,) = said(served, stranger)
    assert "the API server refuses the credentials: Unauthorized. Log in to the cluster anew" in sentence


def test_who_may_not_make_things_is_told_by_up_and_nothing_was_made(
    plane: ControlPlane, nodes: None, tmp_path: Path
) -> None:
    stack = cluster_stack(plane, tmp_path, replicas=1, nodes=1)
    stack.write(
        pool={"nodes": 1, "labels": LABELS},
        cluster={**stack.settings["slipway:cluster"], "kubeconfig": str(plane.user("reader"))},
    )
    done = stack.up(expect=None)
    said = done.diagnostics()
    assert done.exit != 0
    assert "cluster tests: rights: not namespaces, " in said, said
    assert "Traceback" not in said
    told = [event["diagnosticEvent"]["message"] for event in done.events if "diagnosticEvent" in event]
    assert sum("cluster tests: " in text for text in told) == 1, told
    assert NAMESPACE not in {item["metadata"]["name"] for item in plane.get("namespaces")["items"]}
