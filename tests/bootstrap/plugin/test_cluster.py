"""The Cluster resource: what a cluster says decides whether anything is made in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bootstrap.plugin.codec import UNKNOWN
from bootstrap.plugin.resources.cluster import Cluster
from slipway.doctor.cluster import MADE, ROUTE, SCALER, ClusterAnswers, ClusterWanted, Node
from slipway.doctor.types import NoAnswer
from slipway.units import GIB
from tests.bootstrap.plugin.provider import provider

pytestmark = pytest.mark.net

INPUTS: dict[str, Any] = {
    "kubeconfig": "/somewhere/config",
    "context": "prod",
    "namespace": "models",
    "selector": {"pool": "gpu", "arch": "hopper"},
    "custom": [list(ROUTE[0]), list(SCALER[0])],
}
WELL = ClusterAnswers(
    "v1.33.2",
    (Node("n1", True, cpus=8, memory=64 * GIB, storage=200 * GIB, gpus=1),),
    frozenset((*ROUTE, *SCALER)),
    dict.fromkeys(MADE, True),
)
NOBODY = NoAnswer("the API server is not reached: refused", "Check the network")


def refused(said: ClusterAnswers, inputs: dict[str, Any] = INPUTS) -> list[str]:
    with provider(Cluster(lambda wanted: said)) as served:
        return list(served.check(inputs)[1].values())


def test_what_is_asked() -> None:
    asked: list[ClusterWanted] = []

    def ask(wanted: ClusterWanted) -> ClusterAnswers:
        asked.append(wanted)
        return WELL

    with provider(Cluster(ask)) as served:
        assert served.check(INPUTS)[1] == {}
    labels = (("arch", "hopper"), ("pool", "gpu"))
    assert asked == [ClusterWanted("/somewhere/config", "prod", "models", labels, (*ROUTE, *SCALER))]


@pytest.mark.parametrize(
    ("said", "sentences"),
    [
        (WELL, []),
        (
            ClusterAnswers(NOBODY, NOBODY, NOBODY, NOBODY),
            ["cluster prod: reached: the API server is not reached: refused. Check the network"],
        ),
        (
            replace(WELL, version="v1.28.0"),
            ["cluster prod: version: v1.28.0 (wanted: 1.29 or later). Upgrade the cluster"],
        ),
        (
            replace(WELL, custom=frozenset(ROUTE)),
            [
                "cluster prod: custom resources: it has no scaledobjects (keda.sh/v1alpha1) (wanted: httproutes "
                "(gateway.networking.k8s.io/v1), scaledobjects (keda.sh/v1alpha1)). Install what defines them (Gateway "
                "API, KEDA, Prometheus' operator, LeaderWorkerSet), or drop the setting"
            ],
        ),
        (
            replace(WELL, rights={**dict.fromkeys(MADE, True), ("apps", "deployments"): False}),
            [
                "cluster prod: rights: not deployments (wanted: to make everything in models). Ask for a role in models"
                " that may create them: `kubectl auth can-i --list`"
            ],
        ),
        (
            replace(WELL, nodes=()),
            [
                "cluster prod: nodes: it has no such node (wanted: arch=hopper, pool=gpu). Label nodes, or correct "
                "slipway:pool.labels: `kubectl get nodes --show-labels`"
            ],
        ),
        # Who may not ask is not stopped: the API server will say no where it matters.
        (replace(WELL, nodes=NOBODY, custom=NOBODY, rights=NOBODY), []),
    ],
)
def test_what_is_refused(said: ClusterAnswers, sentences: list[str]) -> None:
    assert refused(said) == sentences


def test_what_is_not_known_yet_is_asked_later() -> None:
    assert refused(ClusterAnswers(NOBODY, NOBODY, NOBODY, NOBODY), {**INPUTS, "context": UNKNOWN}) == []


def test_another_way_to_the_same_cluster_is_no_change() -> None:
    with provider(Cluster(lambda wanted: WELL)) as served:
        _, state = served.create(INPUTS)
        assert not served.diff(INPUTS, {**INPUTS, "kubeconfig": "/mine"}, state).diffs
        assert list(served.diff(INPUTS, {**INPUTS, "context": "other"}, state).diffs) == ["context"]
