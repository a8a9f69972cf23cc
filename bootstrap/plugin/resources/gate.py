"""`slipway:index:Gate`: stands between two waves; opens when the traffic behind it is as good as it was."""

from __future__ import annotations

import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output, Resource
from bootstrap.plugin.resources.connecting import open_session, real_connect
from bootstrap.plugin.resources.traffic import Limits, Traffic, parse_metrics, regression
from bootstrap.plugin.resources.validation import parse, problems
from slipway.errors import CancelledError, ServiceError

if TYPE_CHECKING:
    from bootstrap.plugin.resources.connecting import Connect
    from slipway.desired import Connection

HOSTS_AT_ONCE = 32
TELL_EVERY = 1.0
"""seconds between two status lines"""


@dataclass(frozen=True)
class GateEdge:
    """What this resource calls; `bootstrap.ssh`, or a fake."""

    connect: Connect


class Gate(Resource):
    """Asks when it is created, and again when `triggers` changed. It keeps nothing of a failure: the next `up` asks."""

    token = "slipway:index:Gate"  # noqa: S105
    about = "Waits the bake time and asks the proxies' metrics before the next wave may start."
    inputs = (
        Input("connections", "array", "hosts of the wave: slipway.desired.Connection, each"),
        Input("bake_seconds", "number", "how long traffic is watched"),
        Input("triggers", "object", "fingerprints of what the wave changed", required=False),
        Input("metrics_url", "string", "on the host", required=False, default="http://127.0.0.1:8404/metrics"),
        Input("max_error_ratio", "number", "share of 5xx responses", required=False, default=0.01),
        Input("max_latency_ratio", "number", "mean latency over the last passed", required=False, default=1.5),
        Input("min_requests", "integer", "fewer in the bake time say nothing", required=False, default=20),
    )
    outputs = (
        Output("latency", "object", "host to mean latency in seconds when the gate passed"),
        Output("requests", "object", "host to requests seen in the bake time"),
    )

    def __init__(self, edge: GateEdge | None = None) -> None:
        self._edge = edge

    def check(self, inputs: Values) -> list[Failure]:
        from slipway.desired import Connection  # noqa: PLC0415  pydantic loads slowly

        failures = [
            Failure((name,), "must not be negative")
            for name in ("bake_seconds", "max_error_ratio", "max_latency_ratio", "min_requests")
            if inputs.get(name, UNKNOWN) is not UNKNOWN and inputs[name] < 0
        ]
        connections = inputs["connections"]
        if connections is not UNKNOWN:
            for index, connection in enumerate(connections):
                failures += problems(Connection, connection, ("connections", index))
        return failures

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        return operation.name, self._ask(operation, inputs, {})

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        del resource_id
        if inputs.get("triggers") == outputs.get("triggers"):
            return outputs
        return self._ask(operation, inputs, outputs.get("latency") or {})

    def _ask(self, operation: Operation, inputs: Values, baseline: dict[str, float]) -> Values:
        from slipway.desired import Connection  # noqa: PLC0415

        limits = Limits(inputs["max_error_ratio"], inputs["max_latency_ratio"], inputs["min_requests"])
        connections = [parse(Connection, connection) for connection in inputs["connections"]]
        before = self._read_all(operation, connections, inputs["metrics_url"])
        _bake(operation, inputs["bake_seconds"])
        after = self._read_all(operation, connections, inputs["metrics_url"])
        for name, traffic in after.items():
            why = regression(before[name], traffic, baseline.get(name), limits)
            if why:
                raise ServiceError(
                    f"the gate stays shut: {why}",
                    where=name,
                    fix="Look at its logs; set the release back, or raise the limit, then run `pulumi up` again.",
                )
        seen = {name: max(traffic.requests - before[name].requests, 0) for name, traffic in after.items()}
        quiet = sorted(name for name, requests in seen.items() if requests < limits.min_requests)
        if quiet:
            operation.log.info(f"{', '.join(quiet)}: fewer than {limits.min_requests} requests, too few to judge by")
        return {"latency": {name: traffic.latency for name, traffic in after.items()}, "requests": seen}

    def _read_all(self, operation: Operation, connections: list[Connection], url: str) -> dict[str, Traffic]:
        with ThreadPoolExecutor(max_workers=HOSTS_AT_ONCE) as pool:
            readings = pool.map(lambda connection: self._read(operation, connection, url), connections)
            return {connection.name: traffic for connection, traffic in zip(connections, readings, strict=True)}

    def _read(self, operation: Operation, connection: Connection, url: str) -> Traffic:
        from bootstrap.session import Command  # noqa: PLC0415

        connect = self._edge.connect if self._edge else real_connect()
        with open_session(connect, operation, connection) as session:
            result = session.run(Command(f"curl -fsS --max-time 10 {shlex.quote(url)}", why="read the proxy's metrics"))
        try:
            return parse_metrics(result.stdout)
        except ValueError as error:
            raise ServiceError(
                str(error), where=connection.name, fix=f"See what answers at {url} there; it should be the proxy."
            ) from None


def _bake(operation: Operation, seconds: float) -> None:
    left = seconds
    while left > 0:
        operation.log.progress(f"watching the traffic for another {left:.0f} s")
        pause = min(left, TELL_EVERY)
        if operation.cancel.wait(pause):
            raise CancelledError(
                "stopped while watching the traffic", where=operation.name, fix="Run `pulumi up` again; it asks again."
            )
        left -= pause
