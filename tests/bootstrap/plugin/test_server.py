"""The provider as a process: its launcher, its port, and how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from bootstrap.plugin.server import RESOURCES_VARIABLE, UNLIMITED, EngineSink
from bootstrap.plugin.wire import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc
from tests.bootstrap.plugin.provider import struct
from tests.support.pulumi import PLUGIN, ROOT

pytestmark = pytest.mark.net

LAUNCHER = PLUGIN / "pulumi-resource-slipway"


class Engine(engine_pb2_grpc.EngineServicer):
    """The engine's end of the log."""

    def __init__(self):
        self.lines = []

    def Log(self, request, context):  # noqa: N802
        self.lines.append((request.severity, request.message, request.urn, request.ephemeral))
        return engine_pb2_grpc.google_dot_protobuf_dot_empty__pb2.Empty()


@pytest.fixture
def engine():
    servicer = Engine()
    server = grpc.server(futures.ThreadPoolExecutor(2), options=UNLIMITED)
    engine_pb2_grpc.add_EngineServicer_to_server(servicer, server)
    servicer.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    server.stop(0).wait()


@contextlib.contextmanager
def launched(cwd, *arguments, **environment):
    process = subprocess.Popen(
        [LAUNCHER, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "SLIPWAY_PYTHON": sys.executable, **environment},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def connected(process):
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)


def test_it_starts_from_anywhere_and_serves_the_real_resources(tmp_path):
    with launched(tmp_path) as process, connected(process) as stub:
        schema = stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=20).schema
    for name in ("StackKeys", "HostKey", "Certificate", "Machine", "Host", "Service", "Gate", "Cluster"):
        assert f'"slipway:index:{name}"' in schema


def test_it_starts_without_what_does_the_work():
    """Loading these takes longer than all the rest of a start, and most commands do no work."""
    script = "import sys, bootstrap.plugin.server as s; s.load_resources(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"pulumi", "pydantic", "paramiko", "cryptography", "tenacity"} & set(loaded.stdout.split())


def test_it_says_what_is_missing(tmp_path):
    missing = tmp_path / "python"
    with launched(tmp_path, SLIPWAY_PYTHON=str(missing)) as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert said.startswith(f"pulumi-resource-slipway: {missing} is missing. Run `make install`")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_engines_signal_ends_it_at_once(tmp_path, how):
    with launched(tmp_path) as process, connected(process) as stub:
        stub.GetPluginInfo(provider_pb2_grpc.google_dot_protobuf_dot_empty__pb2.Empty(), timeout=20)
        process.send_signal(how)
        assert process.wait(timeout=20) == 0


def test_a_signal_lets_work_reach_its_safe_point(tmp_path, engine):
    with (
        launched(tmp_path, engine.address, **{RESOURCES_VARIABLE: "tests.bootstrap.plugin.fake_resources"}) as process,
        connected(process) as stub,
    ):
        inputs = struct({"path": str(tmp_path / "file"), "content": "a", "seconds": 60})
        request = provider_pb2.CreateRequest(urn="urn:pulumi:s::p::slipway:index:Kit::it", properties=inputs)
        running = stub.Create.future(request, timeout=30)
        while not any(message == "wrote a" for _, message, _, _ in engine.lines):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert running.exception(timeout=20).details() == "it: stopped. Run `pulumi up` again."
        assert process.wait(timeout=20) == 0


PARENT = """
import subprocess, sys
plugin = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE, text=True)
print(plugin.pid, plugin.stdout.readline(), flush=True)
sys.stdin.read()
"""


def test_it_ends_with_its_parent():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, LAUNCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "SLIPWAY_PYTHON": sys.executable},
    ) as parent:  # fmt: skip
        plugin = Path("/proc") / parent.stdout.readline().split()[0]
        assert b"bootstrap.plugin" in (plugin / "cmdline").read_bytes()
        parent.kill()
    deadline = time.monotonic() + 20
    while command_line(plugin):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def command_line(process):
    """Empty for a process that has ended, collected or not."""
    try:
        return (process / "cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def test_log_lines_reach_the_engine(engine):
    sink = EngineSink(engine.address)
    sink.send("info", "a line", "urn:x", ephemeral=False)
    sink.send("info", "a status", "urn:x", ephemeral=True)
    sink.send("info", "  ", "urn:x", ephemeral=False)
    assert engine.lines == [
        (engine_pb2.INFO, "a line", "urn:x", False),
        (engine_pb2.INFO, "a status", "urn:x", True),
    ]


def test_a_line_that_cannot_be_sent_is_dropped():
    EngineSink(None).send("info", "a line", "urn:x", ephemeral=False)
    EngineSink("127.0.0.1:1").send("info", "a line", "urn:x", ephemeral=False)
