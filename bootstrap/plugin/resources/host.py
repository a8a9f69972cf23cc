"""`slipway:index:Host`: one host, converged to a release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from bootstrap.plugin.codec import Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output
from bootstrap.plugin.resources import drift
from bootstrap.plugin.resources.connecting import CONNECTION, open_session, parse_connection, real_connect
from bootstrap.plugin.resources.on_host import OnHost
from bootstrap.plugin.resources.others import INPUTS as OTHERS
from bootstrap.plugin.resources.others import others, peer_failures
from bootstrap.plugin.resources.validation import parse
from bootstrap.plugin.resources.windows import INPUT as WINDOWS
from bootstrap.plugin.resources.windows import closed, window_failures
from slipway.errors import HostError

if TYPE_CHECKING:
    from bootstrap.host import HostReport
    from bootstrap.log import Log
    from bootstrap.plugin.resources.connecting import Connect
    from bootstrap.receipts import Receipt
    from bootstrap.session import Session
    from bootstrap.verify import Drift
    from slipway.desired import Connection, HostDesired


@dataclass(frozen=True)
class HostEdge:
    """What this resource calls; `bootstrap.ssh` and `bootstrap.host`, or fakes."""

    connect: Connect
    converge: Callable[..., HostReport]
    """(session, desired, log, cancel, *, others)"""
    read: Callable[[Session, HostDesired], tuple[Drift, ...]]
    remove: Callable[[Session, HostDesired, Log, Event], None]
    patience: float | None = None
    """seconds for other hosts to come back; None for as long as `bootstrap.waits.SPARE` says"""


class Host(OnHost[HostEdge]):
    """The host itself is not made here. Deleting takes our units, holds and receipt off it and keeps the packages."""

    token = "slipway:index:Host"  # noqa: S105
    about = "A host, converged to a release over SSH."
    inputs = (
        CONNECTION,
        Input("desired", "object", "what the release asks of it: slipway.desired.HostDesired"),
        Input("triggers", "object", "values whose change asks for another convergence", required=False),
        *OTHERS,
        WINDOWS,
    )
    outputs = (
        Output("host_key", "string", "the OpenSSH host key line that was met", stable=True),
        Output("release", "string", "the release that it carries"),
        Output("boot_id", "string", "which boot of the host was converged"),
        Output("changed", "array", "operations that acted in the last convergence"),
        Output("seconds", "object", "how long each of its steps took"),
        drift.OUTPUT,
    )

    def real_edge(self) -> HostEdge:
        from bootstrap import host  # noqa: PLC0415  loaded only when there is work

        return HostEdge(real_connect(), host.converge_host, host.read_host, host.remove_host)

    def model(self) -> type[HostDesired]:
        from slipway.desired import HostDesired  # noqa: PLC0415  pydantic loads slowly

        return HostDesired

    def check(self, inputs: Values) -> list[Failure]:
        return [*super().check(inputs), *window_failures(inputs), *peer_failures(inputs)]

    def warnings(self, inputs: Values, outputs: Values, now: float) -> list[str]:
        wanted, carries = inputs["desired"]["release"], outputs.get("release")
        shut = closed(inputs, now) if carries not in (None, wanted) else None
        if shut is None:
            return []
        return [f"it carries {carries} and is to get {wanted}, and {shut}. `pulumi up` stops here until then, unless "
                "the host has begun with it or goes back to the release before"]  # fmt: skip

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        connection = parse_connection(inputs)
        return connection.name, self._converge(operation, connection.name, connection, inputs)

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        connection = parse_connection(inputs, outputs)
        self._ask_windows(operation, connection, inputs, outputs)
        return self._converge(operation, resource_id, connection, inputs)

    def _ask_windows(self, operation: Operation, connection: Connection, inputs: Values, outputs: Values) -> None:
        """Raises HostError, before anything is touched, when the host would start for another release outside of its
        windows.

        The host's own receipt says whether it would start, and is read where that can matter only. A first install, an
        update that has begun, a host that is out of service and the way back to the release before this one are gone on
        with at any time; a host that was put back to its old release would start anew.
        """
        from slipway.windows import AT_ONCE  # noqa: PLC0415  pydantic loads slowly

        wanted, shut = inputs["desired"]["release"], closed(inputs, operation.now())
        if shut is None or outputs.get("release") == wanted:
            return
        edge = self.edge
        with open_session(edge.connect, operation, connection) as session:
            receipt = _read_receipt(session)
        if receipt is None or receipt.state == "failed" or receipt.release == "":
            return
        if wanted in (receipt.release, receipt.target, receipt.previous):
            return
        raise HostError(
            f"it carries {receipt.release} and is to get {wanted}, and {shut}",
            where=connection.name,
            fix=f"Run `pulumi up` again then; or, {AT_ONCE}",
        )

    def _converge(self, operation: Operation, resource_id: str, connection: Connection, inputs: Values) -> Values:
        desired = parse(self.model(), inputs["desired"])
        edge = self.edge
        with open_session(edge.connect, operation, connection) as session:
            seen: Values = {"host_key": session.pinned_host_key}
            # From the first command on, the host is no longer what it was.
            operation.exists(resource_id, seen)
            asked = None
            if desired.serving is not None:
                asked = others(edge, operation, connection, inputs, desired.serving.ready)
            report = edge.converge(session, desired, operation.log, operation.cancel, others=asked)
        return {
            **seen,
            "release": report.release,
            "boot_id": report.boot_id,
            "changed": list(report.changed),
            "seconds": dict(report.seconds),
            "drift": {},
        }


def _read_receipt(session: Session) -> Receipt | None:
    from bootstrap import receipts  # noqa: PLC0415
    from bootstrap.facts import Query, gather  # noqa: PLC0415
    from bootstrap.facts.runtime import RECEIPT  # noqa: PLC0415
    from bootstrap.facts.system import SYSTEM  # noqa: PLC0415

    return receipts.read(gather(session, (SYSTEM, RECEIPT), Query()))
