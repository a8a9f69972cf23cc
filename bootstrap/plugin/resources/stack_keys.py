"""`slipway:index:StackKeys`: the secrets of a stack, made once: API key, certificate authority, SSH key."""

from __future__ import annotations

import secrets

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output, Resource

API_KEY_BYTES = 32
"""256 bits: as strong as the TLS that carries it"""

SHORTEST_API_KEY = 16
"""characters"""


class StackKeys(Resource):
    """Rotating everything is replacing the resource; a new `api_key` alone keeps the rest."""

    token = "slipway:index:StackKeys"  # noqa: S105
    about = "The secrets of a stack: API key, certificate authority and SSH key."
    inputs = (
        Input("stack", "string", "name of the stack, for the subjects of the keys", replace=True),
        Input("api_key", "string", "the API key to use; one is made when it is left out", required=False, secret=True),
    )
    outputs = (
        Output("api_key", "string", "what clients send as bearer token", secret=True),
        Output("ca_certificate", "string", "PEM; clients trust it", stable=True),
        Output("ca_key", "string", "PEM; signs the hosts' certificates", secret=True, stable=True),
        Output("ssh_public_key", "string", "OpenSSH public key line", stable=True),
        Output("ssh_private_key", "string", "OpenSSH PEM", secret=True, stable=True),
    )

    def check(self, inputs: Values) -> list[Failure]:
        key = inputs.get("api_key", UNKNOWN)
        if key is UNKNOWN:
            return []
        if len(key) < SHORTEST_API_KEY or not all(33 <= ord(character) <= 126 for character in key):
            reason = f"must be at least {SHORTEST_API_KEY} printable ASCII characters without spaces"
            return [Failure(("api_key",), f"{reason}; leave it out to have one made")]
        return []

    def preview(self, inputs: Values, outputs: Values | None) -> Values:
        return {**super().preview(inputs, outputs), "api_key": inputs.get("api_key", UNKNOWN)}

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        from bootstrap import pki  # noqa: PLC0415  cryptography loads slowly

        stack = inputs["stack"]
        authority = pki.make_authority(f"Slipway {stack} CA", operation.now())
        ssh = pki.make_ssh_key(f"slipway-{stack}")
        return stack, {
            "api_key": operation.secret(inputs.get("api_key") or _new_api_key()),
            "ca_certificate": authority.certificate,
            "ca_key": operation.secret(authority.key),
            "ssh_public_key": ssh.public,
            "ssh_private_key": operation.secret(ssh.private),
        }

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        del resource_id
        return {**outputs, "api_key": operation.secret(inputs.get("api_key") or _new_api_key())}


def _new_api_key() -> str:
    return "sw-" + secrets.token_urlsafe(API_KEY_BYTES)
