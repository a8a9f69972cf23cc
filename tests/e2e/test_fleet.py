"""Hosts that exist already, reached over SSH: waves, the gate between them, and what a bad change does to a fleet.

The tests go in order, on two machines and one stack.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.commands.artifacts import artifacts
from bootstrap.machines.fleet import Fleet, fleet
from tests.support.pulumi import ROOT, Project, pulumi_bin
from tests.support.stack import PATIENCE, Stack
from tests.support.traffic import load

pytestmark = [pytest.mark.hosts, pytest.mark.pulumi, pytest.mark.slow]


class FleetStack(Stack):
    """A stack of the provider `ssh`, and the machines in its inventory."""

    def __init__(self, project: Project, machines: Fleet) -> None:
        hosts = machines.connections()
        settings: dict[str, Any] = {
            "slipway:provider": "ssh",
            "slipway:release": "local-2026.11",
            "slipway:model": {"name": "smollm2-135m-instruct", "context": 1024},
            "slipway:engine": {"name": "llama.cpp", "threads": 1},
            "slipway:proxy": {"concurrency": 2},
            "slipway:drain": {"deadline": "5s"},
            "slipway:ssh": {
                "inventory": [host.model_dump(include={"name", "address", "port", "host_key"}) for host in hosts]
            },
            "slipway:rollout": {"canary": 1, "wave": "100%", "bake": "3s"},
        }
        super().__init__(project, settings, hosts)
        self.secret("ssh_private_key", machines.user_key.private)


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
            yield FleetStack(Project(folder / "project", cli), machines)


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
    with load(stack.endpoints()) as met:
        stack.up()
    assert met.failed == []
    assert met.answered
    assert len(met.out) == 2, "each host was out of service for a while"
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
