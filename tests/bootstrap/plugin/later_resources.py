"""The resources for tests as a later version might have them: one more input with a default, one more output."""

from __future__ import annotations

from bootstrap.plugin.resource import Input, Output
from tests.bootstrap.plugin.fake_resources import Kit


class LaterKit(Kit):
    inputs = (*Kit.inputs, Input("colour", "string", "new in this version", required=False, default="blue"))
    outputs = (*Kit.outputs, Output("weight", "number", "new in this version"))


RESOURCES = (LaterKit(),)
