"""`slipway doctor` with fakes in place of clouds and hosts: what it asks, what it prints, how it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from slipway.cli.effects import Doctor
from slipway.desired import Connection
from slipway.doctor.cluster import ClusterAnswers, ClusterWanted, Node
from slipway.doctor.computer import ComputerAnswers
from slipway.doctor.hosts import Unmeasured
from slipway.doctor.market import CloudAnswers, CloudWanted
from slipway.doctor.measured import HostMeasured
from slipway.doctor.types import Made, NoAnswer
from slipway.units import GIB
from tests.slipway.doctor.subjects import CPU_HOST
from tests.slipway.doctor.test_cloud import SAID, UPCLOUD
from tests.slipway.stack_files import HOST_KEY, LOCAL
from tests.slipway.test_cli import World
from tests.slipway.test_forecast import gpu_lock

SSH = f"""\
config:
  slipway:provider: ssh
  slipway:release: local-2026.11
  slipway:model: smollm2-135m-instruct
  slipway:ssh:
    user: ops
    inventory:
      - {{name: h1, address: 192.0.2.11, port: 2222, host_key: "{HOST_KEY}"}}
"""
NOTHING = Made()
H1 = Connection(name="h1", address="10.0.0.1", private_key="PEM-of-the-state")
COMPUTER = ComputerAnswers(None, None, None, memory=8 * GIB, disk=40 * GIB, state="/s")
CLUSTER = ClusterAnswers("v1.33.2", (Node("n1", True, 8, 16 * GIB, 100 * GIB, 0),), frozenset(), {})
KUBERNETES = f"""\
config:
  slipway:provider: kubernetes
  slipway:kind: node-pool
  slipway:release: local-2026.11
  slipway:model:
    name: small
    source: https://models.example/small.gguf
    sha256: {"a" * 64}
    size: 100MB
    context: 2048
  slipway:cluster:
    context: prod
    namespace: models
    images: {{engine-llama-cpp: "r.example/e@sha256:{"a" * 64}", proxy: "r.example/p@sha256:{"a" * 64}",
             collector: "r.example/c@sha256:{"a" * 64}"}}
"""


@dataclass
class Fakes:
    """Answers, and what was asked."""

    made: Made | NoAnswer = NOTHING
    key: str | NoAnswer = "PEM"
    hosts: tuple[HostMeasured | Unmeasured, ...] = (CPU_HOST,)
    cloud: CloudAnswers = SAID
    computer: ComputerAnswers = COMPUTER
    cluster: ClusterAnswers = CLUSTER
    reached: list[ClusterWanted] = field(default_factory=list)
    asked: list[CloudWanted] = field(default_factory=list)
    measured: list[tuple[Sequence[Connection], str, bool]] = field(default_factory=list)

    def measure(
        self, connections: Sequence[Connection], read: str, gpu: bool, tell: Callable[[str], None]
    ) -> tuple[HostMeasured | Unmeasured, ...]:
        tell("1 of 1 hosts measured")
        self.measured.append((connections, read, gpu))
        return self.hosts

    def ask(self, wanted: CloudWanted) -> CloudAnswers:
        self.asked.append(wanted)
        return self.cloud

    def reach(self, wanted: ClusterWanted) -> ClusterAnswers:
        self.reached.append(wanted)
        return self.cluster

    def world(self) -> World:
        files = {"local": LOCAL, "prod": UPCLOUD, "own": SSH, "cluster": KUBERNETES}
        world = World({f"stacks/Pulumi.{name}.yaml": text for name, text in files.items()})
        doctor = Doctor(
            made=lambda stack: self.made,
            private_key=lambda stack: self.key,
            measure=self.measure,
            cloud=self.ask,
            computer=lambda: self.computer,
            cluster=self.reach,
        )
        world.effects = replace(world.effects, doctor=lambda: doctor)
        return world


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


def test_a_local_stack_that_is_well(fakes: Fakes) -> None:
    fakes.made = Made((H1,))
    result = fakes.world().run("doctor", "--stack", "local")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ") and line and "  " not in line] == [
        "stack local",
        "this computer",
        "h1",
        "all 15 checks are well, or not asked",
    ]
    assert " ".join(lines[1].split()) == "check verdict found"
    assert fakes.measured[0][1].startswith("/var/lib/slipway/models/")
    assert fakes.asked == []


def test_before_up_a_cloud_is_asked_and_no_host(fakes: Fakes) -> None:
    fakes.cloud = replace(SAID, limits={})
    result = fakes.world().run("doctor", "--stack", "prod", "--json")
    assert result.exit_code == 0, result.output
    assert fakes.asked[0].servers == 3
    assert fakes.measured == []
    said = json.loads(result.stdout)
    assert said["stack"] == "prod"
    assert said["verdicts"] == {"ok": 7, "not asked": 1}
    assert said["checks"][0]["found"] == "nothing made yet"
    assert set(said["checks"][0]) == {"group", "name", "verdict", "found", "wanted", "fix", "cost"}


def test_what_is_off_has_a_code_and_what_to_do(fakes: Fakes) -> None:
    fakes.cloud = replace(SAID, zones=("de-fra1",), types=NoAnswer("nobody home"))
    result = fakes.world().run("doctor", "--stack", "prod")
    assert result.exit_code == 4
    words = " ".join(result.stdout.split())
    assert "Set the zone of slipway:upcloud to" in words
    assert words.endswith("checks are off; 1 of 12 checks gave no answer")


def test_no_answer_alone_has_another_code(fakes: Fakes) -> None:
    fakes.cloud = replace(SAID, limits=NoAnswer("nobody home", "Try again"))
    assert fakes.world().run("doctor", "--stack", "prod").exit_code == 1


GPUS = """\
config:
  slipway:provider: upcloud
  slipway:release: r580-2026.11-ubuntu-24.04
  slipway:model:
    name: some-8b
    architecture: Qwen/Qwen3-8B
    source: https://models.example/model.safetensors
    sha256: SHA256
    size: 16GB
    context: 4096
  slipway:gpu: [L40S, RTXPRO6000]
  slipway:upcloud: {zone: fi-hel2, ssh_from: [192.0.2.7]}
""".replace("SHA256", "a" * 64)
L40S, RTX = "GPU-8xCPU-64GB-1xL40S", "GPU-16xCPU-80GB-1xRTXPRO6000"


@pytest.fixture
def gpus(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> World:
    """A stack that takes either GPU, of a release that is locked."""
    monkeypatch.setattr("slipway.releases.load_lock", gpu_lock)
    world = fakes.world()
    world.files["stacks/Pulumi.prod.yaml"] = GPUS
    return world


def test_plan_b_is_what_advice_would_take_next(fakes: Fakes, gpus: World) -> None:
    fakes.cloud = replace(SAID, stock={L40S: 0, RTX: 9})
    result = gpus.run("doctor", "--stack", "prod", "--json", "--pin")
    assert result.exit_code == 4, result.output
    assert fakes.asked[0].instances[:2] == (L40S, RTX)
    stock = next(check for check in json.loads(result.stdout)["checks"] if check["name"] == "stock")
    assert (stock["verdict"], stock["fix"].startswith(f"Plan B: {RTX} has 9")) == ("off", True)
    assert f"plan: {RTX}" in gpus.files["stacks/Pulumi.prod.yaml"]
    assert "now says slipway:upcloud.plan" in result.stderr
    again = gpus.run("doctor", "--stack", "prod", "--pin")
    assert fakes.asked[-1].instances[0] == RTX
    assert "says slipway:upcloud.plan: GPU-16xCPU-80GB-1xRTXPRO6000 already" in again.stderr


def test_nothing_to_pin(fakes: Fakes, gpus: World) -> None:
    fakes.cloud = replace(SAID, stock={"other": 9})
    result = gpus.run("doctor", "--stack", "prod", "--pin")
    assert result.exit_code == 2
    assert "nothing was written" in result.stderr
    assert gpus.files["stacks/Pulumi.prod.yaml"] == GPUS


def test_hosts_that_exist_are_measured_before_up(fakes: Fakes) -> None:
    result = fakes.world().run("doctor", "--stack", "own")
    assert result.exit_code == 0, result.output
    (connections, _, gpu) = fakes.measured[0]
    (connection,) = connections
    assert (connection.address, connection.port, connection.user) == ("192.0.2.11", 2222, "ops")
    assert (connection.host_key, connection.host_key_policy, gpu) == (HOST_KEY, "pinned", False)
    assert "PEM" not in result.output


def test_hosts_that_no_key_opens_yet(fakes: Fakes) -> None:
    fakes.key = NoAnswer("there is no key yet", "Set one", "not asked")
    result = fakes.world().run("doctor", "--stack", "own", "--json")
    assert (result.exit_code, fakes.measured) == (0, [])
    assert json.loads(result.stdout)["checks"][-1]["found"] == "there is no key yet"


def test_the_state_wins_over_the_inventory(fakes: Fakes) -> None:
    fakes.made = Made((H1,))
    fakes.world().run("doctor", "--stack", "own")
    assert fakes.measured[0][0] == (H1,)


def test_a_cluster_that_exists(fakes: Fakes) -> None:
    result = fakes.world().run("doctor", "--stack", "cluster", "--json")
    assert result.exit_code == 0, result.output
    (wanted,) = fakes.reached
    assert (wanted.context, wanted.namespace, wanted.custom) == ("prod", "models", ())
    assert ("", "secrets") in wanted.rights
    checks = json.loads(result.stdout)["checks"]
    assert {check["group"] for check in checks} == {"stack cluster", "cluster prod"}
    assert {check["verdict"] for check in checks} == {"ok"}


def test_a_state_that_cannot_be_read(fakes: Fakes) -> None:
    fakes.made = NoAnswer("there is no pulumi on PATH", "Install it")
    result = fakes.world().run("doctor", "--stack", "local")
    assert result.exit_code == 1
    assert "there is no pulumi on PATH" in " ".join(result.stdout.split())


def test_a_stack_without_a_file(fakes: Fakes) -> None:
    result = fakes.world().run("doctor", "--stack", "none")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("stacks/Pulumi.none.yaml: (file): this cannot be read")
