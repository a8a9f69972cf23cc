"""What Host, Service and Gate share: a connection as an input, and a session from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Event
from typing import TYPE_CHECKING, Protocol

from bootstrap.plugin.codec import Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Input
from bootstrap.plugin.resources.validation import parse

if TYPE_CHECKING:
    from bootstrap.log import Log
    from bootstrap.session import Session
    from slipway.desired import Connection

    class PinnedSession(Session, Protocol):
        """A session that tells which host key it met."""

        pinned_host_key: str

    class Connect(Protocol):
        """`bootstrap.ssh.connect`, or a fake."""

        def __call__(
            self, connection: Connection, log: Log, cancel: Event, *, deadline: float = ...
        ) -> AbstractContextManager[PinnedSession]: ...


CONNECTION = Input("connection", "object", "how to reach the host over SSH: slipway.desired.Connection")

READ_DEADLINE = 20.0
"""seconds to wait for SSH where a host that is down is an answer, not a reason to wait"""


def parse_connection(inputs: Values, outputs: Values | None = None) -> Connection:
    """The connection, with the host key that was pinned on first sight when the inputs name none."""
    from slipway.desired import Connection  # noqa: PLC0415  pydantic loads slowly

    return parse(Connection, inputs["connection"]).pinned_to((outputs or {}).get("host_key"))


def open_session(
    connect: Connect, operation: Operation, connection: Connection, deadline: float | None = None
) -> AbstractContextManager[PinnedSession]:
    """Connect as part of an operation: its log, its cancel event."""
    operation.mask.add(connection.private_key)
    if deadline is None:
        return connect(connection, operation.log, operation.cancel)
    return connect(connection, operation.log, operation.cancel, deadline=deadline)


def real_connect() -> Connect:
    from bootstrap import ssh  # noqa: PLC0415  paramiko loads slowly

    opened: Callable[..., AbstractContextManager[PinnedSession]] = ssh.connect
    return opened
