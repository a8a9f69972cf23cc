from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bootstrap.service import ServiceReport, converge_service
from bootstrap.testing import RecordingLog
from slipway.desired import Drain, HealthGate, HostFile, ServiceDesired, Unit
from tests.bootstrap.service.sandbox import SandboxSession
from tests.bootstrap.service.stub_engine import Reply, certificate, chat, serve

KEY = "sk-very-secret-key"
CONFIG = "/etc/slipway/engine.conf"
SECRET = "/etc/slipway/keys.conf"
UNITS = "/etc/systemd/system"
DRAIN = """#!/bin/sh
echo "$1" >> /run/slipway/drain-calls
"""
STREAMS = """#!/bin/sh
n=$(cat /run/slipway/open 2>/dev/null || echo 0); echo $n
[ "$n" = 0 ] || echo $((n - 1)) > /run/slipway/open
"""


@pytest.fixture
def session(tmp_path: Path) -> SandboxSession:
    return SandboxSession(tmp_path / "host")


@dataclass
class World:
    """A box with an engine and a proxy that answer from its files, and the service that runs them."""

    session: SandboxSession
    engine: int = 0
    proxy: int = 0
    log: RecordingLog = field(default_factory=RecordingLog)
    cancel: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    ready: int = 200
    """what the proxy says of itself"""
    loading: int = 0
    """answers of /health that say "loading" before it is well"""

    def desired(self, config: str = "m", **changes: Any) -> ServiceDesired:
        fake = changes.pop("fake", "")
        extra = changes.pop("extra", ())
        gate = {
            "start_deadline": 2,
            "health_deadline": 5,
            "models_deadline": 2,
            "completion_deadline": 3,
            **changes.pop("gate", {}),
        }
        files = (
            HostFile(path=f"{UNITS}/engine.service", content=f"[Service]\nExecStart=/bin/engine\n{fake}"),
            HostFile(path=f"{UNITS}/proxy.service", content="[Service]\nExecStart=/bin/proxy\n"),
            HostFile(path=CONFIG, content=config),
            HostFile(path=SECRET, content=KEY, mode=0o640, owner="root:65532", secret=True),
            HostFile(
                path="/etc/slipway/tls/ca.pem",
                content=self.session.path("ca").read_text() if self.session.path("ca").exists() else "",
            ),
            HostFile(path="/usr/local/lib/slipway/drain", content=DRAIN, mode=0o755),
            HostFile(path="/usr/local/lib/slipway/streams", content=STREAMS, mode=0o755),
            *extra,
        )
        values: dict[str, Any] = {
            "name": "chat",
            "release": "2026.10",
            "files": files,
            "units": (
                Unit(name="engine.service", restart_on=(CONFIG,), container="engine", ports=(self.engine,)),
                Unit(name="proxy.service", restart_on=(SECRET,), container="proxy", ports=(self.proxy,)),
            ),
            "directories": ("/etc/slipway/more",),
            "images": ("sha256:abc",),
            "gate": HealthGate(
                engines=(f"http://127.0.0.1:{self.engine}",),
                proxy=f"https://127.0.0.1:{self.proxy}",
                model="m",
                **gate,
            ),
            "drain": Drain(deadline=5),
        }
        return ServiceDesired(**{**values, **changes})

    def converge(self, desired: ServiceDesired, key: str = KEY, **options: Any) -> ServiceReport:
        return converge_service(self.session, desired, key, self.log, self.cancel, **options)

    def answer_engine(self, method: str, path: str, _: dict[str, str]) -> Reply:
        self.asked.append(f"engine {path}")
        config = self.session.path(CONFIG).read_text()
        if path == "/health":
            if self.loading > 0:
                self.loading -= 1
                return 503, {"error": {"message": "Loading model"}}
            return (500, {"error": "out of memory"}) if config == "sick" else (200, {"status": "ok"})
        if path == "/v1/models":
            return 200, {"data": [{"id": "other" if config == "wrong" else "m"}]}
        return 200, chat("" if config == "mute" else "Hello there.")

    def answer_proxy(self, method: str, path: str, headers: dict[str, str]) -> Reply:
        self.asked.append(f"proxy {path}")
        if path == "/ready":
            return self.ready, {}
        if headers.get("authorization") != f"Bearer {self.session.path(SECRET).read_text()}":
            return 401, {"error": {"message": "unknown key"}}
        return 200, chat("Hello through the proxy.")

    def drains(self) -> list[str]:
        file = self.session.path("/run/slipway/drain-calls")
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def world(session: SandboxSession, tmp_path: Path) -> Iterator[World]:
    made = World(session)
    tls = certificate(tmp_path)
    session.path("ca").write_bytes(tls[0].read_bytes())
    with serve(made.answer_engine) as made.engine, serve(made.answer_proxy, tls) as made.proxy:
        yield made
