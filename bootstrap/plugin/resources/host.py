"""`slipway:index:Host`: one host, converged to a release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.diffs import Change
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output, Resource
from bootstrap.plugin.resources import drift
from bootstrap.plugin.resources.connecting import (
    CONNECTION,
    READ_DEADLINE,
    open_session,
    parse_connection,
    real_connect,
)
from bootstrap.plugin.resources.validation import parse, problems
from slipway.errors import UnreachableError

if TYPE_CHECKING:
    from bootstrap.host import HostReport
    from bootstrap.log import Log
    from bootstrap.plugin.resources.connecting import Connect
    from bootstrap.session import Session
    from bootstrap.verify import Drift
    from slipway.desired import Connection, HostDesired


@dataclass(frozen=True)
class HostEdge:
    """What this resource calls; `bootstrap.ssh` and `bootstrap.host`, or fakes."""

    connect: Connect
    converge: Callable[[Session, HostDesired, Log, Event], HostReport]
    read: Callable[[Session, HostDesired], tuple[Drift, ...]]
    remove: Callable[[Session, HostDesired, Log, Event], None]


def real_edge() -> HostEdge:
    from bootstrap import host  # noqa: PLC0415  loaded only when there is work

    return HostEdge(real_connect(), host.converge_host, host.read_host, host.remove_host)


class Host(Resource):
    """The host itself is not made here. Deleting takes our units, holds and receipt off it and keeps the packages."""

    token = "slipway:index:Host"  # noqa: S105
    about = "A host, converged to a release over SSH."
    inputs = (
        CONNECTION,
        Input("desired", "object", "what the release asks of it: slipway.desired.HostDesired"),
        Input("triggers", "object", "values whose change asks for another convergence", required=False),
    )
    outputs = (
        Output("host_key", "string", "the OpenSSH host key line that was met", stable=True),
        Output("release", "string", "the release that it carries"),
        Output("boot_id", "string", "which boot of the host was converged"),
        Output("changed", "array", "operations that acted in the last convergence"),
        drift.OUTPUT,
    )

    def __init__(self, edge: HostEdge | None = None) -> None:
        self._edge = edge

    @property
    def edge(self) -> HostEdge:
        return self._edge or real_edge()

    def check(self, inputs: Values) -> list[Failure]:
        from slipway.desired import Connection, HostDesired  # noqa: PLC0415  pydantic loads slowly

        return [
            *problems(Connection, inputs["connection"], ("connection",)),
            *problems(HostDesired, inputs["desired"], ("desired",)),
        ]

    def diff(self, outputs: Values, inputs: Values, now: float) -> list[Change]:
        del inputs, now
        return drift.changes_of(outputs)

    def preview(self, inputs: Values, outputs: Values | None) -> Values:
        release = inputs["desired"].get("release", UNKNOWN) if isinstance(inputs["desired"], dict) else UNKNOWN
        return {**super().preview(inputs, outputs), "release": release, "drift": {}}

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        connection = parse_connection(inputs)
        return connection.name, self._converge(operation, connection.name, connection, inputs)

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        return self._converge(operation, resource_id, parse_connection(inputs, outputs), inputs)

    def read(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values | None:
        del resource_id
        from slipway.desired import HostDesired  # noqa: PLC0415

        desired = parse(HostDesired, inputs["desired"])
        edge = self.edge
        try:
            with open_session(edge.connect, operation, parse_connection(inputs, outputs), READ_DEADLINE) as session:
                found = drift.as_output(edge.read(session, desired))
        except UnreachableError as error:
            operation.log.warning(str(error))
            found = {"connection": f"expected an answer, found: {error.what}"}
        return {**outputs, "drift": found}

    def delete(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> None:
        del resource_id
        from slipway.desired import HostDesired  # noqa: PLC0415

        desired = parse(HostDesired, inputs["desired"])
        edge = self.edge
        with open_session(edge.connect, operation, parse_connection(inputs, outputs), READ_DEADLINE) as session:
            edge.remove(session, desired, operation.log, operation.cancel)

    def _converge(self, operation: Operation, resource_id: str, connection: Connection, inputs: Values) -> Values:
        from slipway.desired import HostDesired  # noqa: PLC0415

        desired = parse(HostDesired, inputs["desired"])
        edge = self.edge
        with open_session(edge.connect, operation, connection) as session:
            seen: Values = {"host_key": session.pinned_host_key}
            # From the first command on, the host is no longer what it was.
            operation.exists(resource_id, seen)
            report = edge.converge(session, desired, operation.log, operation.cancel)
        return {
            **seen,
            "release": report.release,
            "boot_id": report.boot_id,
            "changed": list(report.changed),
            "drift": {},
        }
