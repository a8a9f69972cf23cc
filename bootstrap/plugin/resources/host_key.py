"""`slipway:index:HostKey`: the SSH host key that a machine is born with, so that the plan knows it before boot."""

from __future__ import annotations

from pathlib import Path

from bootstrap.plugin.codec import Values
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Input, Output, Resource


class HostKey(Resource):
    """An Ed25519 key pair. Importing takes the path of an unencrypted OpenSSH private key as id."""

    token = "slipway:index:HostKey"  # noqa: S105
    about = "The SSH host key that a machine is born with."
    inputs = (Input("name", "string", "the host's name, the comment of the key", replace=True),)
    outputs = (
        Output("public_key", "string", "OpenSSH public key line", stable=True),
        Output("private_key", "string", "OpenSSH PEM", secret=True, stable=True),
    )

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        from bootstrap import pki  # noqa: PLC0415  cryptography loads slowly

        pair = pki.make_ssh_key(inputs["name"])
        return inputs["name"], {"public_key": pair.public, "private_key": operation.secret(pair.private)}

    def adopt(self, operation: Operation, resource_id: str) -> tuple[Values, Values] | None:
        from bootstrap import pki  # noqa: PLC0415

        file = Path(resource_id)
        if not file.is_file():
            return None
        pair = pki.load_ssh_key(operation.secret(file.read_text()), comment=operation.name, where=resource_id)
        return {"name": operation.name}, {"public_key": pair.public, "private_key": pair.private}
