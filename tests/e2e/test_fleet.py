"""Hosts that exist already, reached over SSH: waves, the gate between them, and what a bad change does to a fleet.

The tests go in order, on two machines and one stack.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from bootstrap.commands.artifacts import artifacts
from bootstrap.log import NullLog
from bootstrap.machines.fleet import Fleet, fleet
from bootstrap.session import Command
from bootstrap.ssh import connect
from slipway.desired import Connection
from tests.support.pulumi import ROOT, Project, Run, pulumi_bin

pytestmark = [pytest.mark.hosts, pytest.mark.pulumi, pytest.mark.slow]

PATIENCE = 600
"""seconds for one command on the whole fleet"""


@dataclass
class Load:
    """What clients met: answers, errors, and the hosts that said for a while that they are not ready."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)


def _ready(http: httpx.Client) -> bool:
    try:
        return http.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False  # the proxy itself is being restarted


class Stack:
    """A stack of the provider `ssh` with the repository's own program, and the machines in its inventory."""

    def __init__(self, project: Project, machines: Fleet) -> None:
        self.project = project
        self.machines = machines
        self.settings: dict[str, Any] = {
            "slipway:provider": "ssh",
            "slipway:release": "local-2026.11",
            "slipway:model": {"name": "smollm2-135m-instruct", "context": 1024},
            "slipway:engine": {"name": "llama.cpp", "threads": 1},
            "slipway:proxy": {"concurrency": 2},
            "slipway:drain": {"deadline": "5s"},
            "slipway:ssh": {
                "inventory": [
                    {"name": machine.name, "address": machine.address, "port": machine.port, "host_key": key}
                    for machine, key in zip(machines.machines, machines.host_keys, strict=True)
                ]
            },
            "slipway:rollout": {"canary": 1, "wave": "100%", "bake": "3s"},
        }
        project.program((ROOT / "__main__.py").read_text())
        self.write()
        subprocess.run(
            ["pulumi", "config", "set", "--secret", "slipway:ssh_private_key", "--stack", project.stack],
            cwd=project.folder,
            env=project.env,
            input=machines.user_key.private,
            text=True,
            check=True,
            capture_output=True,
        )

    def write(self, **changed: Any) -> None:
        """Write the stack file with `changed` sections; what Pulumi keeps in it stays."""
        self.settings |= {f"slipway:{key}": value for key, value in changed.items()}
        path = self.project.folder / f"Pulumi.{self.project.stack}.yaml"
        kept = yaml.safe_load(path.read_text()) or {}
        path.write_text(yaml.safe_dump({**kept, "config": {**kept.get("config", {}), **self.settings}}))

    def up(self, expect: int | None = 0) -> Run:
        done = self.project.start("up").wait(PATIENCE)
        assert expect is None or done.exit == expect, done.diagnostics()
        return done

    def connection(self, index: int) -> Connection:
        machine = self.machines.machines[index]
        return Connection(
            name=machine.name,
            address=machine.address,
            port=machine.port,
            private_key=self.machines.user_key.private,
            host_key=self.machines.host_keys[index],
        )

    def on_host(self, index: int, script: str) -> str:
        with connect(self.connection(index), NullLog(), threading.Event()) as session:
            return session.run(Command(script, why="look at the host", check=False)).stdout

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Steady requests, on each host one after the other, while it says that it is ready."""
        load, done = Load(), threading.Event()
        outputs = self.project.outputs()

        def client(index: int) -> None:
            base = f"https://{self.machines.machines[index].address}:8443"
            headers = {"Authorization": f"Bearer {outputs['api_key']}"}
            body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
            context = ssl.create_default_context(cadata=outputs["ca_certificate"])
            with httpx.Client(base_url=base, headers=headers, verify=context, timeout=60) as http:
                while not done.wait(0.05):
                    if not _ready(http):
                        load.refused.add(index)
                        continue
                    try:
                        http.post("/v1/chat/completions", json=body).raise_for_status()
                        load.answered += 1
                    except httpx.HTTPError as error:
                        load.failed.append(f"host {index}: {error!r}")

        threads = [threading.Thread(target=client, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        try:
            yield load
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def started(self) -> list[str]:
        """When each host's engine was started, as systemd says it."""
        show = "systemctl show --value -p ExecMainStartTimestampMonotonic slipway-engine-0"
        return [self.on_host(index, show).strip() for index in range(2)]

    def ask(self, index: int) -> int:
        """Status of one chat completion through a host's proxy, over verified TLS."""
        outputs = self.project.outputs()
        return httpx.post(
            f"https://{self.machines.machines[index].address}:8443/v1/chat/completions",
            json={"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4},
            headers={"Authorization": f"Bearer {outputs['api_key']}"},
            verify=ssl.create_default_context(cadata=outputs["ca_certificate"]),
            timeout=60,
        ).status_code


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("fleet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_STATE", str(folder / "state"))
        subprocess.run([sys.executable, "-m", "tools.artifacts", "build"], cwd=ROOT, check=True, env=os.environ)
        cli = pulumi_bin()
        assert cli is not None
        base = Path(artifacts(ROOT).base("bookworm"))
        with fleet(2, base, folder / "machines") as machines:
            yield Stack(Project(folder / "project", cli), machines)


def test_the_canary_goes_first_and_the_gate_lets_the_rest_follow(stack: Stack) -> None:
    up = stack.up()
    order = [
        event["resOutputsEvent"]["metadata"]["urn"].rsplit("::", 1)[-1]
        for event in up.events
        if event.get("resOutputsEvent", {}).get("metadata", {}).get("type")
        in ("slipway:index:Service", "slipway:index:Gate")
    ]
    assert order == ["h1", "wave-0", "h2"], up.diagnostics()
    assert [stack.ask(index) for index in range(2)] == [200, 200]


def test_status_asks_the_hosts(stack: Stack) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("slipway"), "status", "--stack", stack.project.stack, "--json"],
        cwd=stack.project.folder, env=stack.project.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert [(host["name"], host["wave"], host["state"], host["engines_up"]) for host in shown] == [
        ("h1", 0, "converged", 1), ("h2", 1, "converged", 1),
    ]  # fmt: skip


def test_nothing_is_left_to_do(stack: Stack) -> None:
    assert stack.project.preview("--expect-no-changes").exit == 0
    assert stack.project.refresh("--expect-no-changes").exit == 0


def test_a_bad_change_stops_at_the_canary_and_everybody_goes_on_serving(stack: Stack) -> None:
    before = stack.started()
    stack.write(engine={"name": "llama.cpp", "threads": 1, "args": ["--no-such-flag"]})
    up = stack.up(expect=None)
    said = up.diagnostics()
    assert up.exit != 0
    assert "no-such-flag" in said, said
    assert "put back and serves again" in said, said
    assert "Traceback" not in said
    assert [stack.ask(index) for index in range(2)] == [200, 200]
    assert stack.started()[1] == before[1], "the second host was touched"


def test_a_good_change_goes_on_from_there(stack: Stack) -> None:
    """And waits for the second host, which somebody has drained: without it the fleet cannot spare the first."""
    before = stack.started()
    stack.on_host(1, "/usr/local/lib/slipway/drain on")
    stack.write(engine={"name": "llama.cpp", "threads": 2})
    up = stack.project.start("up")
    waits = "h1: the fleet cannot spare it: of 1 other hosts 1 are out of service"
    up.wait_until(lambda: up.events.exists() and waits in up.events.read_text(), PATIENCE)
    assert stack.started() == before
    stack.on_host(1, "/usr/local/lib/slipway/drain off")
    done = up.wait(PATIENCE)
    assert done.exit == 0, done.diagnostics()
    after = stack.started()
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert [stack.ask(index) for index in range(2)] == [200, 200]


def test_a_change_of_the_proxy_alone_leaves_the_engine_running(stack: Stack) -> None:
    before = stack.started()
    stack.write(proxy={"concurrency": 2, "queue": 5})
    stack.up()
    assert stack.started() == before
    assert "maxconn 2" in stack.on_host(0, "cat /etc/slipway/haproxy.cfg")


def test_a_restart_of_docker_goes_under_traffic_and_fails_no_request(stack: Stack) -> None:
    """What a load balancer does: each host is asked while its /ready says 200. A change of the daemon's settings
    restarts Docker, which every container needs: one host after the other lets go, and takes up again."""
    stack.write(drain={"deadline": "30s", "settle": "2s"})
    stack.up()
    before = stack.started()
    stack.write(container={"registry_mirrors": ["https://mirror.invalid"]})
    with stack.load() as load:
        stack.up()
    assert load.failed == []
    assert load.answered > 0
    assert len(load.refused) == 2, "each host was out of service for a while"
    assert all(new != old for new, old in zip(stack.started(), before, strict=True))
    assert "mirror.invalid" in stack.on_host(1, "docker info")
    assert [stack.ask(index) for index in range(2)] == [200, 200]


def test_gpu_auto_deploys_what_was_advised(stack: Stack) -> None:
    del stack.settings["slipway:proxy"]
    stack.write(
        gpu="auto",
        engine={"name": "llama.cpp", "threads": 1},
        workload={
            "requests_per_second": 0.05,
            "prompt": {"mean": 64, "p95": 128},
            "output": {"mean": 32, "p95": 64},
            "first_token": "20s",
            "per_token": "1s",
            "concurrency": 3,
        },
        offers=[
            {
                "provider": "ssh", "instance": "machine", "vcpus": 2, "memory": "4GiB", "price": 0,
                "source": "the machines of this test", "date": "2026-11",
            }
        ],
    )  # fmt: skip
    up = stack.up()
    said = re.search(r"CPU, 2 hosts ssh machine .*\ncarries (\d+) at once", up.diagnostics())
    assert said is not None, up.diagnostics()
    assert f"maxconn {said[1]}" in stack.on_host(0, "cat /etc/slipway/haproxy.cfg")
    assert [stack.ask(index) for index in range(2)] == [200, 200]
    assert stack.project.preview("--expect-no-changes").exit == 0


def test_destroy_leaves_the_hosts_and_takes_what_was_put_on_them(stack: Stack) -> None:
    assert stack.project.start("destroy").wait(PATIENCE).exit == 0
    left = stack.on_host(
        1,
        "cd /; ls etc/systemd/system/slipway-* etc/slipway usr/local/lib/slipway var/lib/slipway/receipt.json 2>&-; "
        "docker ps --quiet --all; apt-mark showhold; dpkg-query -W -f '${db:Status-Abbrev}' docker.io",
    )
    assert left.strip() == "ii", left
