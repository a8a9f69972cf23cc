"""The provider process: a gRPC server on loopback that the Pulumi engine starts, talks to and ends."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterable
from concurrent import futures

import grpc

from bootstrap.plugin.resource import Resource
from bootstrap.plugin.servicer import Servicer
from bootstrap.plugin.wire import engine_pb2, engine_pb2_grpc, provider_pb2_grpc

THREADS = 256
"""One a resource in flight; each mostly waits for a host. The engine starts as many as `--parallel` says."""

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
"""Rendered files travel in one message; gRPC's own limit is 4 MiB."""

RESOURCES_VARIABLE = "SLIPWAY_PLUGIN_RESOURCES"
"""Module whose `RESOURCES` are served in place of ours, for tests."""

GRACE = 10.0
"""seconds that operations get to reach a safe point once the engine is gone"""

_SEVERITIES = {
    "debug": engine_pb2.DEBUG,
    "info": engine_pb2.INFO,
    "warning": engine_pb2.WARNING,
    "error": engine_pb2.ERROR,
}


class EngineSink:
    """Sends log lines to the engine. A line that cannot be sent is dropped: the work matters more."""

    def __init__(self, address: str | None) -> None:
        self._engine: engine_pb2_grpc.EngineStub | None = None
        if address:
            self.attach(address)

    def attach(self, address: str) -> None:
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=UNLIMITED))

    def send(self, severity: str, text: str, urn: str, ephemeral: bool) -> None:
        if self._engine is None or not text.strip():
            return
        request = engine_pb2.LogRequest(severity=_SEVERITIES[severity], message=text, urn=urn, ephemeral=ephemeral)
        with contextlib.suppress(grpc.RpcError):
            self._engine.Log(request, timeout=5)


def load_resources() -> Iterable[Resource]:
    module = importlib.import_module(os.environ.get(RESOURCES_VARIABLE, "bootstrap.plugin.resources"))
    resources: Iterable[Resource] = module.RESOURCES
    return resources


def serve(servicer: Servicer) -> tuple[grpc.Server, int]:
    """Start serving on a free port of loopback."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=THREADS), options=UNLIMITED)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def wait_for_end(parent: int, asked: threading.Event) -> None:
    """Return when the parent is gone or the process was asked to end.

    The parent is polled: a parent-death signal (PR_SET_PDEATHSIG) comes when the thread that started us ends, and Go
    ends threads while the engine lives on.
    """
    while os.getppid() == parent and not asked.wait(0.5):
        pass


def main(arguments: list[str]) -> int:
    """Serve until the engine ends. Standard output carries the port and nothing else, ever."""
    parent, asked = os.getppid(), threading.Event()
    # The engine starts us in a process group of our own, so a Ctrl-C at the terminal does not reach us: it comes as
    # Cancel. SIGINT is how the engine ends a provider that it no longer needs; ignoring it costs every command the
    # five seconds until SIGKILL.
    signal.signal(signal.SIGINT, lambda *_: asked.set())
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    sink = EngineSink(next((argument for argument in arguments if not argument.startswith("-")), None))
    servicer = Servicer(load_resources(), sink, attach=sink.attach)
    server, port = serve(servicer)
    with os.fdopen(os.dup(1), "w") as engine:
        engine.write(f"{port}\n")
    # Whatever a library prints from now on goes to standard error: the engine reads standard output no further.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    wait_for_end(parent, asked)
    servicer.operations.cancel_all()
    server.stop(GRACE).wait()
    # Not sys.exit: threads of a stuck operation would keep the interpreter alive.
    os._exit(0)
