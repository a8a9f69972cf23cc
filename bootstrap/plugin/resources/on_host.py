"""What Host and Service have in common: they are read over SSH into drift, and taken off a host again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.diffs import Change
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Resource
from bootstrap.plugin.resources import drift
from bootstrap.plugin.resources.connecting import READ_DEADLINE, open_session, parse_connection
from bootstrap.plugin.resources.validation import parse, problems
from slipway.errors import UnreachableError

if TYPE_CHECKING:
    from bootstrap.log import Log
    from bootstrap.plugin.resources.connecting import Connect
    from bootstrap.session import Session
    from bootstrap.verify import Drift
    from slipway.desired import Desired


class Edge(Protocol):
    """What these resources call outside of themselves; the real things, or fakes."""

    @property
    def connect(self) -> Connect: ...

    @property
    def read(self) -> Callable[[Session, Any], tuple[Drift, ...]]: ...

    @property
    def remove(self) -> Callable[[Session, Any, Log, Event], None]: ...


E = TypeVar("E", bound=Edge)


class OnHost(Resource, Generic[E]):
    """A resource with the inputs `connection` and `desired`, and the outputs `host_key` and `drift`."""

    def __init__(self, edge: E | None = None) -> None:
        self._edge = edge

    @property
    def edge(self) -> E:
        return self._edge or self.real_edge()

    @abstractmethod
    def real_edge(self) -> E:
        """The edge that works on real hosts. It imports what it needs when it is called."""

    @abstractmethod
    def model(self) -> type[Desired]:
        """What `desired` is. Imported when it is called: pydantic loads slowly."""

    def check(self, inputs: Values) -> list[Failure]:
        from slipway.desired import Connection  # noqa: PLC0415

        return [
            *problems(Connection, inputs["connection"], ("connection",)),
            *problems(self.model(), inputs["desired"], ("desired",)),
        ]

    def diff(self, outputs: Values, inputs: Values, now: float) -> list[Change]:
        del inputs, now
        return drift.changes_of(outputs)

    def preview(self, inputs: Values, outputs: Values | None) -> Values:
        desired = inputs["desired"]
        release = desired.get("release", UNKNOWN) if isinstance(desired, dict) else UNKNOWN
        return {**super().preview(inputs, outputs), "release": release, "drift": {}}

    def read(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values | None:
        del resource_id
        desired, edge = parse(self.model(), inputs["desired"]), self.edge
        try:
            with open_session(edge.connect, operation, parse_connection(inputs, outputs), READ_DEADLINE) as session:
                found = drift.as_output(edge.read(session, desired))
        except UnreachableError as error:
            operation.log.warning(str(error))
            found = {"connection": f"expected an answer, found: {error.what}"}
        return {**outputs, "drift": found}

    def delete(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> None:
        del resource_id
        desired, edge = parse(self.model(), inputs["desired"]), self.edge
        with open_session(edge.connect, operation, parse_connection(inputs, outputs), READ_DEADLINE) as session:
            edge.remove(session, desired, operation.log, operation.cancel)
