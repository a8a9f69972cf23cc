"""`slipway:index:Host`: one host, converged to a release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from bootstrap.plugin.codec import Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Input, Output
from bootstrap.plugin.resources import drift
from bootstrap.plugin.resources.connecting import CONNECTION, open_session, parse_connection, real_connect
from bootstrap.plugin.resources.on_host import OnHost
from bootstrap.plugin.resources.validation import parse

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


class Host(OnHost[HostEdge]):
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

    def real_edge(self) -> HostEdge:
        from bootstrap import host  # noqa: PLC0415  loaded only when there is work

        return HostEdge(real_connect(), host.converge_host, host.read_host, host.remove_host)

    def model(self) -> type[HostDesired]:
        from slipway.desired import HostDesired  # noqa: PLC0415  pydantic loads slowly

        return HostDesired

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        connection = parse_connection(inputs)
        return connection.name, self._converge(operation, connection.name, connection, inputs)

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        return self._converge(operation, resource_id, parse_connection(inputs, outputs), inputs)

    def _converge(self, operation: Operation, resource_id: str, connection: Connection, inputs: Values) -> Values:
        desired = parse(self.model(), inputs["desired"])
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
