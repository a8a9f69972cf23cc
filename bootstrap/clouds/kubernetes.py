"""What the API server of a cluster says, by its REST interface: https://kubernetes.io/docs/reference/using-api/.

Nothing is made there. A SelfSubjectAccessReview is asked by POST, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bootstrap.clouds.asking import Api, UnansweredError, answered
from bootstrap.clouds.kubeconfig import client, path_of, read_access
from bootstrap.waits import Waits
from slipway.doctor.cluster import GPU, OF_THE_CLUSTER, ClusterAnswers, ClusterWanted, Node, quantity
from slipway.doctor.types import NoAnswer

FIX = "Log in to the cluster anew: `kubectl cluster-info` with this context shows whether it works"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
PAGE = "500"


def ask(wanted: ClusterWanted, environ: Mapping[str, str], waits: Waits) -> ClusterAnswers:
    """Everything that a plan is held against."""
    opened = answered(lambda: client(read_access(path_of(wanted.kubeconfig, environ), wanted.context, environ)))
    if isinstance(opened, NoAnswer):
        return _nothing(opened)
    with opened:
        api = Api("the API server", opened, waits, refused=FIX)
        version = answered(lambda: str(api.get("/version")["gitVersion"]))
        if isinstance(version, NoAnswer):
            return _nothing(version)
        return ClusterAnswers(
            version=version,
            nodes=answered(lambda: tuple(_nodes(api, wanted))),
            custom=answered(lambda: frozenset(item for item in wanted.custom if _known(api, *item))),
            rights=answered(lambda: {item: _allowed(api, wanted, *item) for item in wanted.rights}),
        )


def _nothing(why: NoAnswer) -> ClusterAnswers:
    rest = NoAnswer("not before it is reached", verdict="not asked")
    return ClusterAnswers(why, rest, rest, rest)


def _nodes(api: Api, wanted: ClusterWanted) -> list[Node]:
    labels = ",".join(f"{key}={value}" for key, value in wanted.selector)
    nodes: list[Node] = []
    more = ""
    while True:
        params = {"limit": PAGE} | ({"labelSelector": labels} if labels else {}) | ({"continue": more} if more else {})
        page = api.get("/api/v1/nodes", params)
        nodes += [_node(item) for item in page["items"]]
        more = page["metadata"].get("continue") or ""
        if not more:
            return nodes


def _node(item: Mapping[str, Any]) -> Node:
    """Unschedulable nodes take no pods, whatever their kubelet says."""
    status, spec = item["status"], item.get("spec") or {}
    room = status["allocatable"]
    ready = any(state["type"] == "Ready" and state["status"] == "True" for state in status["conditions"])
    return Node(
        name=str(item["metadata"]["name"]),
        ready=ready and not spec.get("unschedulable"),
        cpus=quantity(room["cpu"]),
        memory=quantity(room["memory"]),
        storage=quantity(room.get("ephemeral-storage", "0")),
        gpus=int(quantity(room.get(GPU, "0"))),
        arch=str(status["nodeInfo"]["architecture"]),
    )


def _known(api: Api, version: str, resource: str) -> bool:
    """Whether the API has the resource; a group that is not installed is answered with 404."""
    try:
        found = api.get(f"/apis/{version}")["resources"]
    except UnansweredError as error:
        if error.missing:
            return False
        raise
    return any(item["name"] == resource for item in found)


def _allowed(api: Api, wanted: ClusterWanted, group: str, resource: str) -> bool:
    attributes = {"namespace": wanted.namespace, "verb": "create", "group": group, "resource": resource}
    if resource in OF_THE_CLUSTER:
        del attributes["namespace"]
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    return bool(api.post(REVIEWS, review)["status"]["allowed"])
