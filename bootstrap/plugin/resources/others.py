"""The other hosts of a stack, as inputs of Host and Service, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input
from bootstrap.plugin.resources.connecting import READ_DEADLINE, open_session
from bootstrap.plugin.resources.validation import parse, problems
from slipway.errors import CancelledError, SlipwayError

if TYPE_CHECKING:
    from bootstrap.plugin.resources.connecting import Connect
    from bootstrap.spare import Others
    from slipway.desired import Connection, Peer

INPUTS = (
    Input("peers", "array", "hosts that are asked before this one lets its traffic go: slipway.desired.Peer, each",
          required=False, quiet=True),
    Input("peers_out", "integer", "how many of them may be out of service then", required=False, quiet=True, default=0),
)  # fmt: skip


def peer_failures(inputs: Values) -> list[Failure]:
    from slipway.desired import Peer  # noqa: PLC0415  pydantic loads slowly

    peers = inputs.get("peers") or ()
    found = () if peers is UNKNOWN else enumerate(peers)
    return [problem for index, peer in found for problem in problems(Peer, peer, ("peers", index))]


class Edge(Protocol):
    """How they are reached, and the seconds they get to come back (None: as `bootstrap.waits.SPARE` says)."""

    @property
    def connect(self) -> Connect: ...

    @property
    def patience(self) -> float | None: ...


def others(edge: Edge, operation: Operation, connection: Connection, inputs: Values, ready: str) -> Others | None:
    """Those that can be asked with the key of `connection`; None where there are none. `ready` is the URL of a proxy's
    readiness, on its host."""
    from bootstrap.spare import Others  # noqa: PLC0415  it loads tenacity
    from bootstrap.waits import SPARE  # noqa: PLC0415
    from slipway.desired import Peer  # noqa: PLC0415

    peers = [parse(Peer, peer) for peer in inputs.get("peers") or ()]
    if not peers:
        return None

    def ask() -> dict[str, str]:
        with ThreadPoolExecutor(max_workers=len(peers)) as pool:
            found = pool.map(_asking(edge.connect, operation, connection, ready), peers)
            return {peer.name: where for peer, where in zip(peers, found, strict=True)}

    return Others(ask, inputs["peers_out"], SPARE.deadline if edge.patience is None else edge.patience)


def _asking(connect: Connect, operation: Operation, connection: Connection, ready: str) -> Callable[[Peer], str]:
    from bootstrap.spare import standing  # noqa: PLC0415

    def asked(peer: Peer) -> str:
        try:
            with open_session(connect, operation, peer.opened_with(connection.private_key), READ_DEADLINE) as session:
                return standing(session, ready)
        except CancelledError:
            raise
        except SlipwayError as error:
            return error.what

    return asked
