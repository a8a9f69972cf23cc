"""The receipt on a host: which release it carries, what it replaced, and where a run stands.

The states, and what a run does that finds one (a run that died leaves the last one it wrote), are drawn in
docs/rollouts.md; `TRANSITIONS` are the arrows. converging, updating, failed: go on to the release asked for. restoring:
the same, from the packages recorded before the update, which stay recorded until the host has converged.

`stopped` says in every state whether the host has let go of its traffic: the units in it start again once every pin
holds, also after the old release was put back. A host that ends in `failed` keeps its engines stopped.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bootstrap.facts import Facts
from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.session import Session

SCHEMA = 1
State = Literal["converging", "converged", "updating", "restoring", "failed"]

TRANSITIONS: dict[State | None, frozenset[State]] = {
    None: frozenset({"converging"}),
    "converging": frozenset({"converged", "failed"}),
    "converged": frozenset({"converging", "updating"}),
    "updating": frozenset({"converged", "restoring", "converging"}),
    "restoring": frozenset({"converged", "failed", "updating", "converging"}),
    "failed": frozenset({"converging", "updating"}),
}
"""from the state that the host's receipt has (None: there is none) to those that may be written over it"""


class Receipt(BaseModel):
    """What /var/lib/slipway/receipt.json holds. `time` is the host's clock."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = SCHEMA
    release: str
    """the release that the host carries, or, while `state` is not converged, last carried whole ("" for none)"""
    target: str
    """the release that a run brings it to; the same as `release` once converged"""
    previous: str = ""
    """the release before this one"""
    state: State
    step: str = ""
    """the operation that was under way"""
    held: tuple[str, ...] = ()
    """packages that we hold"""
    gpus: tuple[str, ...] = ()
    """UUIDs of the GPUs that the host converged with"""
    reboot: str = ""
    """why the run that brought the release rebooted the host; empty where it did not"""
    stopped: tuple[str, ...] = ()
    """units that served, and start again once the host is what it should be; empty while they serve"""
    packages_before: dict[str, str] = {}
    """every installed package and its version before the update, while one is under way"""
    files_before: dict[str, str] = {}
    """the files that operations write, as they were before the update, while one is under way"""
    boot_id: str
    time: str

    def moved(self, **changes: Any) -> Receipt:
        """With other values. Raises ValueError for a state that does not follow on this one."""
        state = changes.get("state", self.state)
        if state != self.state and state not in TRANSITIONS[self.state]:
            raise ValueError(f"a receipt does not go from {self.state} to {state}")
        return self.model_copy(update=changes)


def read(facts: Facts) -> Receipt | None:
    """The host's receipt; None where there is none that this code can read: damaged, or of another schema."""
    raw = facts.receipt
    if not raw or raw.get("schema_version") != SCHEMA:
        return None
    try:
        return Receipt.model_validate(raw)
    except ValidationError:
        return None


def begin(facts: Facts, target: str) -> Receipt:
    """The receipt of a run that starts now; what an unfinished update recorded stays recorded."""
    last = read(facts)
    carried = last.release if last else ""
    updating = carried not in {"", target}
    unfinished = last if last and last.packages_before and last.state != "converged" else None
    installed = {name: package.version for name, package in facts.packages.items() if package.installed}
    return Receipt(
        release=carried,
        target=target,
        previous=last.previous if last else "",
        state="updating" if updating else "converging",
        held=last.held if last else (),
        gpus=last.gpus if last else (),
        stopped=last.stopped if last and last.state != "converged" else (),
        packages_before=(unfinished.packages_before if unfinished else installed) if updating else {},
        reboot=unfinished.reboot if unfinished and updating else "",
        files_before=(unfinished.files_before if unfinished else facts.files) if updating else {},
        boot_id=facts.system.boot_id,
        time=facts.system.clock,
    )


def finish(receipt: Receipt, facts: Facts, held: tuple[str, ...], gpus: tuple[str, ...]) -> Receipt:
    """The receipt of a host that converged to its target."""
    replaced = receipt.release if receipt.release not in {"", receipt.target} else receipt.previous
    return receipt.moved(
        release=receipt.target,
        previous=replaced,
        state="converged",
        step="",
        held=held,
        gpus=gpus,
        stopped=(),
        packages_before={},
        files_before={},
        boot_id=facts.system.boot_id,
        time=facts.system.clock,
    )


def write(session: Session, receipt: Receipt) -> None:
    """Writes it on the host, whole or not at all."""
    text = json.dumps(receipt.model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
    session.put(RECEIPT_PATH, text.encode())
