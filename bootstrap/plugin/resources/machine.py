"""`slipway:index:Machine`: a machine booted on this computer, a VM or a system container."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from bootstrap.plugin.codec import Values
from bootstrap.plugin.diffs import Change
from bootstrap.plugin.operation import Operation
from bootstrap.plugin.resource import Failure, Input, Output, Resource

if TYPE_CHECKING:
    from bootstrap.log import Log
    from bootstrap.machines import MachineSpec, MachineState

KINDS = ("auto", "nspawn", "qemu-kvm", "qemu-tcg")
PATHS = ("base", "state")


@dataclass(frozen=True)
class MachineEdge:
    """What this resource calls; `bootstrap.machines`, or fakes."""

    create: Callable[[MachineSpec, Log, Event], MachineState]
    is_alive: Callable[[MachineState], bool]
    start: Callable[[MachineState, Log, Event], MachineState]
    remove: Callable[[MachineState, Log], None]


def real_edge() -> MachineEdge:
    from bootstrap import machines  # noqa: PLC0415  loaded only when there is work

    return MachineEdge(machines.create, machines.is_alive, machines.start, machines.remove)


class Machine(Resource):
    """Any change makes a new one, after the old one is gone: the folder is the same. A dead one is started again."""

    token = "slipway:index:Machine"  # noqa: S105
    about = "A machine booted on this computer: a VM or a system container."
    delete_before_replace = True
    inputs = (
        Input("name", "string", "host name inside the machine", replace=True),
        Input("stack", "string", "stack it belongs to", replace=True),
        Input("kind", "string", f"one of {', '.join(KINDS)}", replace=True),
        Input("authorized_key", "string", "OpenSSH public key line that may log in as root", replace=True),
        Input("host_key_public", "string", "OpenSSH public key line that the machine shows", replace=True),
        Input("host_key_private", "string", "its private half, OpenSSH PEM", secret=True, replace=True),
        Input("base", "string", "absolute path of the root file system tree", replace=True),
        Input("state", "string", "absolute path of the machine's own folder", replace=True),
        Input("cpus", "integer", "processors of a VM", required=False, replace=True, default=2),
        Input("memory_mib", "integer", "memory of a VM in MiB", required=False, replace=True, default=2048),
        Input("disk_gib", "integer", "disk of a VM in GiB", required=False, replace=True, default=16),
        Input("forward", "array", "TCP ports to reach from here", required=False, replace=True, default=[8443]),
    )
    outputs = (
        Output("address", "string", "where it answers", stable=True),
        Output("port", "integer", "TCP port of SSH at that address", stable=True),
        Output("service_ports", "object", "port in the machine to port at that address", stable=True),
        Output("taken", "string", "the kind that was taken", stable=True),
        Output("why", "string", "why that kind", stable=True),
        Output("record", "object", "what finds the machine again", stable=True),
        Output("alive", "boolean", "whether it ran at the last look"),
    )

    def __init__(self, edge: MachineEdge | None = None) -> None:
        self._edge = edge

    @property
    def edge(self) -> MachineEdge:
        return self._edge or real_edge()

    def check(self, inputs: Values) -> list[Failure]:
        failures = [
            Failure((name,), "must be an absolute path")
            for name in PATHS
            if isinstance(inputs[name], str) and not inputs[name].startswith("/")
        ]
        if isinstance(inputs["kind"], str) and inputs["kind"] not in KINDS:
            failures.append(Failure(("kind",), f"must be one of {', '.join(KINDS)}"))
        return failures

    def diff(self, outputs: Values, inputs: Values, now: float) -> list[Change]:
        """A look takes milliseconds, so every `up` finds out, also after this computer was restarted."""
        del inputs, now
        if outputs.get("record") and self._alive(outputs):
            return []
        return [Change(("alive",), "update", of_inputs=False)]

    def preview(self, inputs: Values, outputs: Values | None) -> Values:
        return {**super().preview(inputs, outputs), "alive": True}

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        from bootstrap.machines import MachineSpec  # noqa: PLC0415  loaded only when there is work

        spec = MachineSpec(
            name=inputs["name"],
            stack=inputs["stack"],
            kind=inputs["kind"],
            authorized_key=inputs["authorized_key"],
            host_key_public=inputs["host_key_public"],
            host_key_private=inputs["host_key_private"],
            base=Path(inputs["base"]),
            state=Path(inputs["state"]),
            cpus=inputs["cpus"],
            memory_mib=inputs["memory_mib"],
            disk_gib=inputs["disk_gib"],
            forward=tuple(inputs["forward"]),
        )
        state = self.edge.create(spec, operation.log, operation.cancel)
        return f"{inputs['stack']}/{inputs['name']}", _outputs(state)

    def read(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values | None:
        del resource_id
        if not Path(inputs["state"]).is_dir():
            operation.log.warning(f"{operation.name}: its folder {inputs['state']} is gone")
            return None
        return {**outputs, "alive": self._alive(outputs)}

    def update(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> Values:
        del resource_id, inputs
        return _outputs(self.edge.start(_state(outputs), operation.log, operation.cancel))

    def delete(self, operation: Operation, resource_id: str, inputs: Values, outputs: Values) -> None:
        del resource_id, inputs
        self.edge.remove(_state(outputs), operation.log)

    def _alive(self, outputs: Values) -> bool:
        return self.edge.is_alive(_state(outputs))


def _state(outputs: Values) -> MachineState:
    from bootstrap.machines import MachineState  # noqa: PLC0415  loaded only when there is work

    return MachineState.from_json(outputs["record"])


def _outputs(state: MachineState) -> Values:
    return {
        "address": state.address,
        "port": state.port,
        "service_ports": dict(state.ports),
        "taken": state.kind,
        "why": state.why,
        "record": state.to_json(),
        "alive": True,
    }
