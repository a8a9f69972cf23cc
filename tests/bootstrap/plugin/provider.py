"""A provider served in this process, called as the engine calls it: over gRPC on loopback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_status import rpc_status

from bootstrap.plugin.codec import Properties, PropertyPath, decode, encode
from bootstrap.plugin.resource import Resource
from bootstrap.plugin.server import UNLIMITED, serve
from bootstrap.plugin.servicer import Servicer
from bootstrap.plugin.wire import provider_pb2, provider_pb2_grpc

URN = "urn:pulumi:test::project::parent:index:Type$"


@dataclass
class RecordingSink:
    """Keeps every line: (severity, text, ephemeral)."""

    lines: list[tuple[str, str, bool]] = field(default_factory=list)

    def send(self, severity: str, text: str, urn: str, ephemeral: bool) -> None:
        self.lines.append((severity, text, ephemeral))

    def texts(self, severity: str) -> str:
        return "\n".join(text for found, text, _ in self.lines if found == severity)


class CallError(Exception):
    """What the engine would show; `init_failed` is set when the resource is to be kept."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error.details())
        self.init_failed: provider_pb2.ErrorResourceInitFailed | None = None
        status = rpc_status.from_call(error)
        if status:
            self.init_failed = provider_pb2.ErrorResourceInitFailed()
            assert status.details[0].Unpack(self.init_failed)


@dataclass
class Provider:
    """Calls by resource name; property arguments are plain values, or Properties where some are secret."""

    token: str
    sink: RecordingSink
    servicer: Servicer
    stub: Any

    def call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request, timeout=30)
        except grpc.RpcError as error:
            raise CallError(error) from None

    def urn(self, name: str) -> str:
        return f"{URN}{self.token}::{name}"

    def check(self, inputs: Any, name: str = "it") -> tuple[Properties, dict[str, str]]:
        request = provider_pb2.CheckRequest(urn=self.urn(name), news=struct(inputs))
        response = self.call("Check", request)
        return decode(response.inputs), {failure.property: failure.reason for failure in response.failures}

    def diff(self, old_inputs: Any, new_inputs: Any, state: Any = None, ignore: tuple[str, ...] = ()) -> Any:
        request = provider_pb2.DiffRequest(
            id="id", urn=self.urn("it"), olds=struct(state or old_inputs), old_inputs=struct(old_inputs),
            news=struct(new_inputs), ignoreChanges=ignore,
        )  # fmt: skip
        return self.call("Diff", request)

    def create(self, inputs: Any, *, preview: bool = False, timeout: float = 0, name: str = "it") -> Any:
        request = provider_pb2.CreateRequest(
            urn=self.urn(name), properties=struct(inputs), preview=preview, timeout=timeout
        )
        response = self.call("Create", request)
        return response.id, decode(response.properties)

    def update(self, state: Any, inputs: Any, *, resource_id: str = "id", preview: bool = False) -> Properties:
        request = provider_pb2.UpdateRequest(
            id=resource_id, urn=self.urn("it"), olds=struct(state), news=struct(inputs), preview=preview
        )
        return decode(self.call("Update", request).properties)

    def read(self, resource_id: str, inputs: Any = None, state: Any = None) -> Any:
        request = provider_pb2.ReadRequest(
            id=resource_id, urn=self.urn("it"), inputs=struct(inputs or {}), properties=struct(state or {})
        )
        return self.call("Read", request)

    def delete(self, resource_id: str, state: Any, inputs: Any = None) -> None:
        request = provider_pb2.DeleteRequest(
            id=resource_id, urn=self.urn("it"), properties=struct(state), old_inputs=struct(inputs or {})
        )
        self.call("Delete", request)


def struct(given: Any) -> Any:
    return encode(given.values, given.secrets) if isinstance(given, Properties) else encode(given)


def secret(values: dict[str, Any], *paths: PropertyPath) -> Properties:
    return Properties(values, frozenset(paths))


@contextlib.contextmanager
def provider(resource: Resource, **options: Any) -> Iterator[Provider]:
    sink = RecordingSink()
    servicer = Servicer((resource,), sink, **options)
    server, port = serve(servicer)
    # What failed travels in the trailing metadata. The engine's client, in Go, takes 16 MiB of it; Python's 8 KiB.
    metadata = [("grpc.max_metadata_size", 1 << 24), ("grpc.absolute_max_metadata_size", 1 << 24)]
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[*UNLIMITED, *metadata])
    try:
        yield Provider(resource.token, sink, servicer, provider_pb2_grpc.ResourceProviderStub(channel))
    finally:
        channel.close()
        server.stop(0).wait()
