"""A stack of the repository's own program in a throw-away project: its settings, its hosts, `pulumi up`."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx
import yaml

from bootstrap.commands.status import hosts_of
from bootstrap.log import NullLog
from bootstrap.session import Command
from bootstrap.ssh import connect
from slipway.desired import Connection
from tests.support.pulumi import ROOT, Project, Run
from tests.support.traffic import Endpoints

PATIENCE = 600
"""seconds for one command on the whole fleet"""
PROXY_PORT = 8443


@dataclass
class Stack:
    """`hosts` are the ways in to its hosts; `settings` the `slipway:` part of its stack file."""

    project: Project
    settings: dict[str, Any]
    hosts: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.project.program((ROOT / "__main__.py").read_text())
        self.write()

    def write(self, **changed: Any) -> None:
        """Write the stack file with `changed` sections; what Pulumi keeps in it stays."""
        self.settings |= {f"slipway:{key}": value for key, value in changed.items()}
        path = self.project.folder / f"Pulumi.{self.project.stack}.yaml"
        kept = yaml.safe_load(path.read_text()) or {}
        path.write_text(yaml.safe_dump({**kept, "config": {**kept.get("config", {}), **self.settings}}))

    def secret(self, key: str, value: str) -> None:
        command = ["pulumi", "config", "set", "--secret", f"slipway:{key}", "--stack", self.project.stack]
        subprocess.run(
            command, cwd=self.project.folder, env=self.project.env, input=value, text=True, check=True,
            capture_output=True,
        )  # fmt: skip

    def up(self, *arguments: str, expect: int | None = 0) -> Run:
        done = self.project.start("up", *arguments).wait(PATIENCE)
        assert expect is None or done.exit == expect, done.diagnostics()
        return done

    def exported(self) -> dict[str, Any]:
        """The stack's state, secrets in clear."""
        found: dict[str, Any] = json.loads(self.project.pulumi("stack", "export", "--show-secrets"))
        return found

    def find_hosts(self) -> None:
        """The ways in, from the state: of a stack whose hosts were made by it."""
        self.hosts = [connection for connection, _, _ in hosts_of(self.exported())]

    def on_host(self, index: int, script: str) -> str:
        with connect(self.hosts[index], NullLog(), threading.Event()) as session:
            return session.run(Command(script, why="look at the host", check=False, deadline=120)).stdout

    def started(self) -> list[str]:
        """When each host's engine was started, as systemd says it."""
        show = "systemctl show --value -p ExecMainStartTimestampMonotonic slipway-engine-0"
        return [self.on_host(index, show).strip() for index in range(len(self.hosts))]

    def endpoints(self) -> Endpoints:
        """Where clients ask."""
        outputs = self.project.outputs()
        urls = {host.name: f"https://{host.address}:{PROXY_PORT}" for host in self.hosts}
        return Endpoints(urls, outputs["api_key"], ssl.create_default_context(cadata=outputs["ca_certificate"]))

    def ask(self, index: int) -> int:
        """Status of one chat completion through a host's proxy, over verified TLS."""
        endpoints = self.endpoints()
        with endpoints.client(self.hosts[index].name) as http:
            return _status(http)


def _status(http: httpx.Client) -> int:
    return http.post("/v1/chat/completions", json=Endpoints.BODY).status_code
