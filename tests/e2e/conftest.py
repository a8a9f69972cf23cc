"""A whole local stack in a state folder of its own, made and taken away by the commands that the README names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bootstrap.commands.status import hosts_of
from bootstrap.log import NullLog
from bootstrap.session import Command, Result
from bootstrap.ssh import connect
from slipway.desired import Connection
from tests.support.terminal import foreground

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ran:
    """What one command left."""

    exit: int
    output: str


@dataclass
class LocalStack:
    """The local stack of this checkout, with its state in `state`."""

    state: Path
    before: World
    up: Ran | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        self.environ["SLIPWAY_STATE"] = str(self.state)

    def run(self, *command: str) -> Ran:
        """Run a command in the checkout; standard output and error come together."""
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout)

    def make(self, target: str) -> Ran:
        return self.run("make", target)

    def pulumi(self, *arguments: str) -> Ran:
        """Plain Pulumi, with the exports that `make env` prints."""
        script = 'exports=$(make env) && eval "$exports" && exec pulumi "$@" --stack local'
        return self.run("bash", "-c", script, "pulumi", *arguments)

    def outputs(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(
            self.pulumi("stack", "output", "--json", "--show-secrets").output.partition("{")[2].join(("{", ""))
        )
        return shown

    def interrupted_up(self, after: str) -> Ran:
        """`make up`, with Ctrl-C in its terminal once it printed `after`."""
        with subprocess.Popen(
            foreground("make", "up"),
            cwd=ROOT,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a terminal sends SIGINT to the whole foreground group
        ) as process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if after in line:
                    os.killpg(process.pid, signal.SIGINT)
                    break
            lines += process.stdout.readlines()
        return Ran(process.returncode, "".join(lines))

    def connection(self) -> Connection:
        """The way to the stack's host, from the state, as its owner could take it."""
        export = self.pulumi("stack", "export", "--show-secrets").output
        connection, _, _ = hosts_of(json.loads(export[export.index("{") :]))[0]
        return connection

    def on_host(self, script: str) -> Result:
        with connect(self.connection(), NullLog(), threading.Event()) as session:
            return session.run(Command(script, why="look at the host", check=False))


@dataclass(frozen=True)
class World:
    """What a stack could leave behind on this computer."""

    mounts: frozenset[str]
    links: frozenset[str]
    rules: frozenset[str]
    processes: frozenset[str]
    tracked: str

    @classmethod
    def now(cls, state: Path) -> World:
        links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
        return cls(
            mounts=frozenset(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()),
            links=frozenset(line.split(": ")[1].split("@")[0] for line in links.splitlines()),
            rules=frozenset(line for line in rules.splitlines() if line.startswith("-A")),
            processes=frozenset(_processes_of(state)),
            tracked=subprocess.run(
                ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout,
        )

    def left_behind(self, before: World) -> dict[str, list[str]]:
        """What is there now and was not before, by kind; empty lists are left out."""
        found = {
            "mounts": self.mounts - before.mounts,
            "links": self.links - before.links,
            "rules": self.rules - before.rules,
            "processes": self.processes - before.processes,
        }
        return {kind: sorted(items) for kind, items in found.items() if items}


def _processes_of(state: Path) -> Iterator[str]:
    """Command lines that name the state folder: supervisors, containers, VMs, plugins."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        if str(state) in line:
            yield line.strip()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A local stack; `make down` at the end, whatever happened."""
    state = tmp_path_factory.mktemp("stack") / "state"
    local = LocalStack(state, World.now(state))
    try:
        yield local
    finally:
        local.make("down")
