"""The Machine resource over fakes: what it asks of bootstrap.machines, and when."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bootstrap.machines import MachineSpec, MachineState
from bootstrap.plugin.resources.machine import Machine, MachineEdge
from bootstrap.plugin.wire import provider_pb2
from slipway.errors import MachineError
from tests.bootstrap.plugin.provider import CallError, provider, secret

pytestmark = pytest.mark.net

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


@dataclasses.dataclass
class Machines:
    """Machines that are a folder and a flag."""

    asked: list = dataclasses.field(default_factory=list)
    alive: bool = True
    fault: Exception | None = None

    @property
    def edge(self):
        return MachineEdge(self.create, lambda state: self.alive, self.start, self.remove)

    def create(self, spec, log, cancel):
        if self.fault:
            raise self.fault
        self.asked.append(("create", spec))
        spec.state.mkdir(parents=True)
        log.info("took nspawn")
        ports = {str(port): port + 1 for port in spec.forward}
        return MachineState("nspawn", "it is there", spec.name, spec.stack, "10.9.0.2", 22, ports, str(spec.state))

    def start(self, state, log, cancel):
        self.asked.append(("start", state.name))
        return state

    def remove(self, state, log):
        self.asked.append(("remove", state.name))


@pytest.fixture
def machines():
    return Machines()


@pytest.fixture
def machine(machines):
    with provider(Machine(machines.edge)) as served:
        yield served


@pytest.fixture
def inputs(tmp_path):
    return {
        "name": "h1",
        "stack": "test",
        "kind": "auto",
        "authorized_key": "ssh-ed25519 AAAA",
        "host_key_public": "ssh-ed25519 BBBB",
        "host_key_private": KEY,
        "base": "/base",
        "state": str(tmp_path / "machines" / "test" / "h1"),
    }


def test_create_hands_over_the_whole_spec(machine, machines, inputs):
    checked, failures = machine.check(inputs)
    assert failures == {}
    resource_id, made = machine.create(checked)
    assert resource_id == "test/h1"
    [(_, spec)] = machines.asked
    assert spec == MachineSpec(
        name="h1", stack="test", kind="auto", authorized_key="ssh-ed25519 AAAA", host_key_public="ssh-ed25519 BBBB",
        host_key_private=KEY, base=Path("/base"), state=Path(inputs["state"]), cpus=2, memory_mib=2048, disk_gib=16,
        forward=(8443,),
    )  # fmt: skip
    assert made.values["address"] == "10.9.0.2"
    assert made.values["service_ports"] == {"8443": 8444}
    assert (made.values["taken"], made.values["why"]) == ("nspawn", "it is there")
    assert made.secrets == {("host_key_private",)}


@pytest.mark.parametrize(
    ("change", "key"), [({"kind": "kvm"}, "kind"), ({"base": "base"}, "base"), ({"state": "x"}, "state")]
)
def test_useless_inputs_are_refused(machine, inputs, change, key):
    assert list(machine.check({**inputs, **change})[1]) == [key]


def test_a_failed_create_leaves_nothing_in_the_state(machine, machines, inputs):
    machines.fault = MachineError("it did not boot", where="h1", fix="Look at its console.")
    with pytest.raises(CallError, match=r"h1: it did not boot\. Look at its console\.") as caught:
        machine.create(inputs)
    assert caught.value.init_failed is None


def test_any_change_replaces_after_the_old_one_is_gone(machine, inputs):
    _, made = machine.create(inputs)
    found = machine.diff(inputs, {**inputs, "cpus": 4}, state=made)
    assert list(found.replaces) == ["cpus"]
    assert found.deleteBeforeReplace


def test_a_dead_machine_is_a_difference_and_is_started_with_its_disk(machine, machines, inputs):
    resource_id, made = machine.create(inputs)
    assert machine.diff(inputs, inputs, state=made).changes == provider_pb2.DiffResponse.DIFF_NONE
    machines.alive = False
    found = machine.diff(inputs, inputs, state=made)
    assert list(found.detailedDiff) == ["alive"]
    assert not found.replaces
    response = machine.read(resource_id, inputs, made)
    assert response.id == resource_id
    assert response.properties.fields["alive"].bool_value is False
    previewed = machine.update(made, inputs, preview=True)
    assert previewed.values["address"] == "10.9.0.2"
    assert machine.update(made, inputs).values["alive"] is True
    assert machines.asked[-1] == ("start", "h1")


def test_a_machine_whose_folder_is_gone_is_gone(machine, inputs):
    resource_id, made = machine.create(inputs)
    Path(inputs["state"]).rmdir()
    assert machine.read(resource_id, inputs, made).id == ""
    assert "is gone" in machine.sink.texts("warning")


def test_delete_removes(machine, machines, inputs):
    resource_id, made = machine.create(secret(inputs, ("host_key_private",)))
    machine.delete(resource_id, made, inputs)
    assert machines.asked[-1] == ("remove", "h1")
