"""The real root program under Pulumi's mocks: no engine, no provider, every resource that it asks for kept as asked."""

from __future__ import annotations

import asyncio
import json
import runpy
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, rpc, settings, stack

from slipway.settings import parse_stack_file
from tests.support import mock_aws, mock_azure, mock_gcp, mock_upcloud
from tests.support.pulumi import ROOT

SIGNATURE, SECRET = rpc._special_sig_key, rpc._special_secret_sig
UNKNOWN = rpc.UNKNOWN

SECRETS = {
    "slipway:index:StackKeys": ("api_key", "ca_key", "ssh_private_key"),
    "slipway:index:HostKey": ("private_key",),
}


@dataclass(frozen=True)
class Asked:
    """One resource as the program asked for it: inputs by their names on the wire, secrets as `{"[secret]": value}`."""

    type: str
    name: str
    inputs: dict[str, Any]
    dependencies: tuple[str, ...]
    options: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.type}::{self.name}"


@dataclass
class Graph:
    """Everything that one run asked for, the stack's outputs in the clear, and which of those are secret."""

    resources: list[Asked] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)

    def of(self, type_: str) -> list[Asked]:
        """The resources of one type, in the order of their names."""
        return sorted((asked for asked in self.resources if asked.type == type_), key=lambda asked: asked.name)

    def text(self) -> str:
        """The graph as a golden file has it; of Slipway's own resources, which other tests cover, the edges only."""
        shown = {}
        for asked in sorted(self.resources, key=lambda asked: asked.key):
            entry: dict[str, Any] = {}
            if not asked.type.startswith("slipway:"):
                entry["inputs"] = _hidden(asked.inputs)
            if asked.dependencies:
                entry["depends_on"] = list(asked.dependencies)
            shown[asked.key] = entry | asked.options
        outputs = {
            name: "[secret]" if name in self.secret_outputs else value for name, value in sorted(self.outputs.items())
        }
        return str(yaml.safe_dump({"outputs": outputs, "resources": shown}, width=110, allow_unicode=True))


class Recorder(mocks.MockMonitor):
    """Keeps what is asked, and marks outputs as secret that their resource says are, as an engine does."""

    def __init__(self, graph: Graph, preview: bool) -> None:
        super().__init__(_Answers(preview))
        self.graph = graph

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        response = _with_a_loop(super().RegisterResource, request)
        if request.type == "pulumi:pulumi:Stack":
            return response
        options: dict[str, Any] = {
            "ignore_changes": list(request.ignoreChanges),
            "replace_on_changes": list(request.replaceOnChanges),
            "secret_outputs": list(request.additionalSecretOutputs) if not request.type.startswith("slipway:") else [],
            "deleted_with": _short(request.deletedWith),
            "delete_before_replace": request.deleteBeforeReplace,
            "retain_on_delete": request.retainOnDelete,
        }
        self.graph.resources.append(
            Asked(
                request.type,
                request.name,
                _plain(MessageToDict(request.object)),
                tuple(sorted({_short(urn) for urn in request.dependencies})),
                {name: value for name, value in options.items() if value},
            )
        )
        for name in {*request.additionalSecretOutputs, *SECRETS.get(request.type, ())}:
            if name in response.object.fields:
                value = MessageToDict(response.object)[name]
                response.object.update({name: {SIGNATURE: SECRET, "value": value}})
        return response

    def Invoke(self, request: Any) -> Any:  # noqa: N802 - gRPC's name
        return _with_a_loop(super().Invoke, request)


def _with_a_loop(call: Callable[[Any], Any], request: Any) -> Any:
    """The SDK's mocks want an event loop in each thread that asks, and would leave one open."""
    if threading.current_thread() is threading.main_thread():
        return call(request)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return call(request)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class _Answers(mocks.Mocks):
    """Outputs as the resources are documented to give them; in a preview, unknown where only a real run knows."""

    def __init__(self, preview: bool) -> None:
        self.preview = preview

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        number = zlib.crc32(f"{args.typ} {args.name}".encode())
        kind = args.typ.rsplit(":", 1)[-1]
        state = dict(args.inputs)
        for name in SECRETS.get(args.typ, ()):
            state[name] = f"SECRET-{args.name}-{name}"
        if kind in ("StackKeys", "HostKey"):
            public = {"ssh_public_key": "ssh-ed25519 STACK", "public_key": f"ssh-ed25519 {args.name}"}
            state |= {**public, "ca_certificate": "CA"}
        if kind == "Machine":
            state |= {"address": self.known("192.0.2.9"), "port": 2222, "service_ports": {"8443": 18443}}
        if kind in ("Service", "Gate", "Certificate"):
            state |= {"fingerprint": "f", "completion": "c"}
            state |= {"certificate": "CERTIFICATE", "bundle": "SECRET-bundle", "private_key": "SECRET-key"}
        identity = f"00000000-0000-4000-8000-{number:012d}"
        if args.typ.startswith("upcloud:"):
            state |= mock_upcloud.answer(args.typ, args.name, args.inputs, self.known)
        if args.typ.startswith("aws:"):
            identity, more = mock_aws.answer(args.typ, args.name, args.inputs)
            state |= {name: self.known(value) for name, value in more.items()}
        if args.typ.startswith("gcp:"):
            identity, more = mock_gcp.answer(args.typ, args.name, args.inputs)
            state |= {name: self.known(value) for name, value in more.items()}
        if args.typ.startswith("azure-native:"):
            identity, more = mock_azure.answer(args.typ, args.name, args.inputs)
            state |= {name: self.known(value) for name, value in more.items()}
        # In a preview, an engine has no id of what is not there yet.
        return ("" if self.preview else identity), state

    def known(self, value: str) -> str:
        return UNKNOWN if self.preview else value

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        if self.preview or args.token not in mock_azure.CALLS:
            raise AssertionError(f"a provider module asks a cloud while it plans: {args.token}")
        return mock_azure.CALLS[args.token], []


def run_program(
    stack_file: str,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    name: str = "test",
    preview: bool = False,
    graph: Graph | None = None,
) -> Graph:
    """Run `__main__.py` with the configuration in the text of a stack file.

    `state` is a state folder with the artifacts of `tests.stacks.conftest.built`; `graph` is filled, where a run that
    ends early is looked at. Raises SystemExit where the program refuses.
    """
    parse_stack_file(stack_file, "Pulumi.test.yaml")
    config = yaml.safe_load(stack_file)["config"]
    encoded = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(encoded))
    monkeypatch.setenv("PULUMI_CONFIG_SECRET_KEYS", "[]")
    monkeypatch.setenv("SLIPWAY_STATE", str(state))
    graph = Graph() if graph is None else graph
    for level in ("info", "warn", "error"):
        monkeypatch.setattr(pulumi.log, level, lambda message, *_, **__: graph.log.append(message))
    # Names that a resource once had, dozens for each of Azure's: most of the time, and nobody here has had another.
    monkeypatch.setattr("pulumi.resource.collapse_alias_to_urn", lambda *_: "")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        settings.reset_options()
        mocks.set_mocks(_NoMocks(), project="slipway", stack=name, preview=preview, monitor=Recorder(graph, preview))
        loop.run_until_complete(stack.run_pulumi_func(lambda: runpy.run_path(str(ROOT / "__main__.py"))))
        root = settings.get_root_resource()
        assert root is not None
        loop.run_until_complete(_outputs(graph, root.outputs))
    finally:
        settings.reset_options()
        loop.close()
        asyncio.set_event_loop(None)
    return graph


class _NoMocks(mocks.Mocks):
    """What `set_mocks` wants beside a monitor of one's own."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        raise NotImplementedError

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise NotImplementedError


async def _outputs(graph: Graph, outputs: Mapping[str, Any]) -> None:
    for name, given in outputs.items():
        output = pulumi.Output.from_input(given)
        known = await output.is_known()
        graph.outputs[name] = await output.future() if known else "[unknown]"
        if await output.is_secret():
            graph.secret_outputs.add(name)


def in_clear(value: Any) -> Iterator[str]:
    """Every string that is not wrapped as a secret."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        if "[secret]" not in value:
            for item in value.values():
                yield from in_clear(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from in_clear(item)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return {"[secret]": _plain(value["value"])}
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and value == int(value):
        return int(value)
    return "[unknown]" if value == UNKNOWN else value


def _hidden(value: Any) -> Any:
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    if isinstance(value, dict):
        return "[secret]" if "[secret]" in value else {key: _hidden(item) for key, item in value.items()}
    return value


def _short(urn: str) -> str:
    return "::".join(urn.split("::")[-2:]).rsplit("$", 1)[-1]
