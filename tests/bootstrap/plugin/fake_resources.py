"""Resources for tests: they write one file each, and do as their inputs tell them.

The provider process serves these when SLIPWAY_PLUGIN_RESOURCES names this module.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from bootstrap.plugin.codec import UNKNOWN, Values
from bootstrap.plugin.diffs import Change
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output, Resource
from slipway.errors import CancelledError, HostError


class Kit(Resource):
    """A file. `fail` names an existing file while which work fails; `seconds` is how long work takes."""

    token = "slipway:index:Kit"
    about = "a file"
    inputs = (
        Input("path", "string", "where the file is", replace=True),
        Input("content", "string", "what is in it"),
        Input("desired", "object", "anything", required=False),
        Input("seconds", "number", "how long it takes", required=False, default=0),
        Input("fail", "string", "a file; while it exists, work fails", required=False),
        Input("crash", "boolean", "raise something unforeseen", required=False, default=False),
        Input("big", "integer", "bytes of an extra output", required=False, default=0),
        Input("triggers", "object", "only there to make a difference", required=False),
    )
    outputs = (
        Output("size", "integer", "bytes"),
        Output("derived", "string", "contains the content"),
        Output("pid", "integer", "the provider's process"),
        Output("drift", "object", "what differs"),
        Output("big_output", "string", "as long as asked for"),
        Output("where", "string", "the path", stable=True),
    )

    def check(self, inputs: Values) -> list[Failure]:
        path = inputs["path"]
        return [] if path is UNKNOWN or path.startswith("/") else [Failure(("path",), "must be absolute")]

    def diff(self, outputs: Values, inputs: Values, now: float) -> list[Change]:
        return [Change(("drift", pin), "delete", of_inputs=False) for pin in outputs.get("drift", {})]

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        return inputs["path"], self._work(operation, inputs)

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        return self._work(operation, inputs)

    def read(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values | None:
        file = Path(resource_id)
        if not file.exists():
            return None
        found = file.read_text()
        drift = {} if found == inputs["content"] else {"file.content": f"expected another, found {len(found)} bytes"}
        return {**outputs, "drift": drift}

    def adopt(self, operation: Operation, resource_id: str) -> tuple[Values, Values] | None:
        file = Path(resource_id)
        if not file.exists():
            return None
        inputs = {"path": resource_id, "content": file.read_text()}
        return inputs, self._outputs(inputs)

    def delete(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> None:
        Path(resource_id).unlink(missing_ok=True)

    def _work(self, operation: Operation, inputs: Values) -> Values:
        outputs = self._outputs(inputs)
        Path(inputs["path"]).write_text(inputs["content"])
        operation.exists(inputs["path"], outputs)
        operation.log.progress(f"writing {inputs['content']}")
        operation.log.info(f"wrote {inputs['content']}")
        deadline = time.monotonic() + inputs.get("seconds", 0)
        while (left := deadline - time.monotonic()) > 0:
            if operation.cancel.wait(min(left, 0.1)):
                raise CancelledError("stopped", where=operation.name, fix="Run `pulumi up` again.")
        if inputs.get("crash"):
            raise RuntimeError(f"bug beside {inputs['content']}")
        if Path(inputs.get("fail", "/nonexistent")).exists():
            raise HostError(f"no way to place {inputs['content']}", where=operation.name, fix="Remove the obstacle.")
        return outputs

    @staticmethod
    def _outputs(inputs: Values) -> Values:
        return {
            "size": len(inputs["content"]),
            "derived": f"derived from {inputs['content']}",
            "pid": os.getpid(),
            "drift": {},
            "big_output": "x" * inputs.get("big", 0),
            "where": inputs["path"],
        }


RESOURCES = (Kit(),)
