"""`slipway:index:Certificate`: the TLS certificate of one host, signed by the stack's own authority."""

from __future__ import annotations

from datetime import datetime

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.diffs import Change
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output, Resource

RENEW_BEFORE = 30 * 86_400.0
"""seconds before its end in which `up` makes a new certificate"""


class Certificate(Resource):
    """Made anew, in place, when its names or its authority change and in its last thirty days."""

    token = "slipway:index:Certificate"  # noqa: S105
    about = "A host's TLS certificate, signed by the stack's own authority."
    inputs = (
        Input("ca_certificate", "string", "PEM of the authority"),
        Input("ca_key", "string", "PEM of the authority's key", secret=True),
        Input("names", "array", "DNS names and IP addresses that clients use"),
    )
    outputs = (
        Output("certificate", "string", "PEM"),
        Output("private_key", "string", "PEM", secret=True),
        Output("bundle", "string", "PEM of key and certificate, as HAProxy reads it", secret=True),
        Output("not_after", "string", "end of validity, ISO 8601, UTC"),
    )

    def check(self, inputs: Values) -> list[Failure]:
        names = inputs["names"]
        if names is UNKNOWN:
            return []
        if not names:
            return [Failure(("names",), "needs at least one DNS name or IP address")]
        return [
            Failure(("names", index), "must be a DNS name or an IP address")
            for index, name in enumerate(names)
            if name is not UNKNOWN and not (isinstance(name, str) and name.strip() == name and name)
        ]

    def diff(self, outputs: Values, inputs: Values, now: float) -> list[Change]:
        del inputs
        end = outputs.get("not_after")
        if end is None or datetime.fromisoformat(end).timestamp() - now > RENEW_BEFORE:
            return []
        return [Change(("not_after",), "update", of_inputs=False)]

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        return operation.name, self._sign(operation, inputs)

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        del resource_id, outputs
        return self._sign(operation, inputs)

    @staticmethod
    def _sign(operation: Operation, inputs: Values) -> Values:
        from bootstrap import pki  # noqa: PLC0415  cryptography loads slowly

        authority = pki.Authority(inputs["ca_certificate"], inputs["ca_key"])
        leaf = pki.make_certificate(authority, inputs["names"], operation.now(), where=operation.name)
        return {
            "certificate": leaf.certificate,
            "private_key": operation.secret(leaf.key),
            "bundle": leaf.key + leaf.certificate,
            "not_after": leaf.not_after.isoformat(),
        }
