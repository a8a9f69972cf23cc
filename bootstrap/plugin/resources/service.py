"""`slipway:index:Service`: what serves a model on one host, up and past its health gate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

from bootstrap.plugin.codec import UNKNOWN, Values, leaves
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

if TYPE_CHECKING:
    from bootstrap.log import Log
    from bootstrap.plugin.resources.connecting import Connect
    from bootstrap.service import ServiceReport
    from bootstrap.session import Session
    from bootstrap.verify import Drift
    from slipway.desired import ServiceDesired


CREDENTIALS = ("token", "access_key", "secret_key", "session_token", "region")
"""the fields of `bootstrap.service.Credentials`"""


@dataclass(frozen=True)
class ServiceEdge:
    """What this resource calls; `bootstrap.ssh` and `bootstrap.service`, or fakes."""

    connect: Connect
    converge: Callable[..., ServiceReport]
    """(session, desired, api_key, log, cancel, *, credentials, others, closed)"""
    read: Callable[[Session, ServiceDesired], tuple[Drift, ...]]
    remove: Callable[[Session, ServiceDesired, Log, Event], None]
    patience: float | None = None
    """as of a host's edge"""


class Service(OnHost[ServiceEdge]):
    """Created when it answered one real completion. An update drains first, and the old bundle returns if it fails."""

    token = "slipway:index:Service"  # noqa: S105
    about = "What serves a model on one host: files, units, model file, health gate."
    inputs = (
        CONNECTION,
        Input("desired", "object", "files, units, model and gate: slipway.desired.ServiceDesired"),
        Input("api_key", "string", "what the health gate sends to the proxy", secret=True),
        Input("credentials", "object", "what a private model source asks for", required=False, secret=True),
        Input("triggers", "object", "values whose change asks for another convergence", required=False),
        *OTHERS,
        WINDOWS,
    )
    outputs = (
        Output("release", "string", "the release that it was rendered from"),
        Output("fingerprint", "string", "SHA-256 of all that it should be; gates behind it ask again when it changes"),
        Output("completion", "string", "what the model answered at the health gate"),
        Output("changed", "array", "what acted in the last convergence"),
        Output("seconds", "object", "how long each step took"),
        Output("host_key", "string", "the OpenSSH host key line that was met", stable=True),
        drift.OUTPUT,
    )

    def real_edge(self) -> ServiceEdge:
        from bootstrap import service  # noqa: PLC0415  loaded only when there is work

        return ServiceEdge(real_connect(), service.converge_service, service.read_service, service.remove_service)

    def model(self) -> type[ServiceDesired]:
        from slipway.desired import ServiceDesired  # noqa: PLC0415  pydantic loads slowly

        return ServiceDesired

    def check(self, inputs: Values) -> list[Failure]:
        credentials = inputs.get("credentials", UNKNOWN)
        unknown = () if credentials is UNKNOWN else sorted(credentials.keys() - set(CREDENTIALS))
        return [
            *super().check(inputs),
            *peer_failures(inputs),
            *window_failures(inputs),
            *(Failure(("credentials", name), f"known are {', '.join(CREDENTIALS)}") for name in unknown),
        ]

    def preview(self, inputs: Values, outputs: Values | None) -> Values:
        return {**super().preview(inputs, outputs), "fingerprint": fingerprint(inputs)}

    def warnings(self, inputs: Values, outputs: Values, now: float) -> list[str]:
        new, old = inputs["desired"], outputs.get("desired") or {}
        moved = [name for name in ("model", "images") if new.get(name) != old.get(name)]
        shut = closed(inputs, now) if moved and new.get("release") == old.get("release") else None
        if shut is None:
            return []
        return [f"another {moved[0].removesuffix('s')} is to serve, and {shut}. `pulumi up` stops here until then, "
                "unless the host has begun with it or goes back to the one before"]  # fmt: skip

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        resource_id = f"{inputs['connection']['name']}/{inputs['desired']['name']}"
        return resource_id, self._converge(operation, resource_id, inputs, {})

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        return self._converge(operation, resource_id, inputs, outputs)

    def _converge(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        from bootstrap.service import Credentials  # noqa: PLC0415

        desired = parse(self.model(), inputs["desired"])
        edge, connection = self.edge, parse_connection(inputs, outputs)
        with open_session(edge.connect, operation, connection) as session:
            seen: Values = {"host_key": session.pinned_host_key}
            operation.exists(resource_id, {**outputs, **seen})
            report = edge.converge(
                session,
                desired,
                inputs["api_key"],
                operation.log,
                operation.cancel,
                credentials=Credentials(**inputs["credentials"]) if "credentials" in inputs else None,
                others=others(edge, operation, connection, inputs, f"{desired.gate.proxy}/ready"),
                closed=None if outputs.get("fingerprint") == fingerprint(inputs) else closed(inputs, operation.now()),
            )
        return {
            **seen,
            "release": desired.release,
            "fingerprint": fingerprint(inputs),
            "completion": report.completion,
            "changed": list(report.changed),
            "seconds": dict(report.seconds),
            "drift": {},
        }


def fingerprint(inputs: Values) -> object:
    """SHA-256 (hex) of what the service should be, where and for which key; UNKNOWN while a part of that is."""
    whole = {name: inputs[name] for name in ("desired", "api_key")}
    if any(leaf is UNKNOWN for _, leaf in leaves(whole)):
        return UNKNOWN
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
