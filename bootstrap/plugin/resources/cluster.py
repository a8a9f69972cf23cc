"""`slipway:index:Cluster`: a cluster that exists, asked before anything is made in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bootstrap.plugin.codec import UNKNOWN, Values, leaves
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Resource

if TYPE_CHECKING:
    from slipway.doctor.cluster import ClusterAnswers, ClusterWanted
    from slipway.doctor.types import Check

    Ask = Callable[[ClusterWanted], ClusterAnswers]

PROPERTIES = {
    "reached": "context",
    "version": "context",
    "rights": "namespace",
    "custom resources": "custom",
    "nodes": "selector",
}
"""checks to the input that each is about"""


class Cluster(Resource):
    """Nothing is made. It is asked in every preview and every `up`, when its inputs are checked: what was there the
    last time may be gone, and whoever depends on this resource is not reached then."""

    token = "slipway:index:Cluster"  # noqa: S105
    about = "A cluster that exists, asked before anything is made in it: reached, definitions, rights, nodes."
    inputs = (
        # Another user of the stack has it elsewhere.
        Input("kubeconfig", "string", "path of the kubeconfig", quiet=True),
        Input("context", "string", "context in it"),
        Input("namespace", "string", "where things are made"),
        Input("selector", "object", "labels of the nodes that pods may be put on"),
        Input("custom", "array", "custom resources that are made, each as API version and resource"),
    )

    def __init__(self, ask: Ask | None = None) -> None:
        self._ask = ask

    def check(self, inputs: Values) -> list[Failure]:
        from slipway.doctor.cluster import refusals  # noqa: PLC0415  only stacks with a cluster need it

        if any(leaf is UNKNOWN for _, leaf in leaves(inputs)):
            return []
        wanted = _wanted(inputs)
        said = (self._ask or _real)(wanted)
        return [Failure((PROPERTIES[check.name],), _sentence(check)) for check in refusals(wanted, said)]

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        del inputs
        return operation.name, {}

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        del operation, resource_id, inputs
        return outputs


def _wanted(inputs: Values) -> ClusterWanted:
    from slipway.doctor.cluster import ClusterWanted  # noqa: PLC0415

    pairs: list[Any] = inputs["custom"]
    return ClusterWanted(
        kubeconfig=inputs["kubeconfig"],
        context=inputs["context"],
        namespace=inputs["namespace"],
        selector=tuple(sorted(inputs["selector"].items())),
        custom=tuple((version, resource) for version, resource in pairs),
    )


def _sentence(check: Check) -> str:
    wanted = f" (wanted: {check.wanted})" if check.wanted else ""
    return f"{check.group}: {check.name}: {check.found}{wanted}. {check.fix}"


def _real(wanted: ClusterWanted) -> ClusterAnswers:
    from bootstrap.clouds.kubernetes import ask  # noqa: PLC0415
    from bootstrap.waits import Waits  # noqa: PLC0415

    return ask(wanted, os.environ, Waits())
