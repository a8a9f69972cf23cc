"""Asks every host of a stack where it stands, over SSH; the stack's own state says which hosts these are."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bootstrap import receipts
from bootstrap.facts import FACTS, Facts, gather
from bootstrap.log import NullLog
from bootstrap.operations import query
from bootstrap.serving import ENGINES
from bootstrap.ssh import connect
from bootstrap.verify import drifts
from slipway.cli.status import HostStatus
from slipway.desired import Connection, HostDesired
from slipway.errors import HostError, SlipwayError

HOSTS_AT_ONCE = 32
CONNECT_DEADLINE = 20.0
"""seconds; a host that is down is an answer"""


def host_statuses(stack: str, every: float | None) -> Iterator[list[HostStatus]]:
    """One look at all hosts, or one each `every` seconds until interrupted. Raises SlipwayError where there is no such
    stack, or none of its hosts is in its state yet."""
    pause = threading.Event()
    while True:
        hosts = stack_hosts(stack)
        with ThreadPoolExecutor(HOSTS_AT_ONCE) as pool:
            yield list(pool.map(lambda host: look(*host), hosts))
        if every is None:
            return
        pause.wait(every)


def stack_hosts(stack: str) -> list[tuple[Connection, HostDesired, int]]:
    """Way in, what was asked of it last, and wave of each host in the stack's state, also while an `up` runs."""
    found = hosts_of(exported_state(stack))
    if not found:
        raise SlipwayError("it has no hosts yet", where=f"stack {stack}", fix=f"Run: pulumi up --stack {stack}")
    return found


def exported_state(stack: str) -> dict[str, Any]:
    """What `pulumi stack export --show-secrets` prints. Raises SlipwayError where there is no such stack."""
    command = ["pulumi", "stack", "export", "--stack", stack, "--show-secrets"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SlipwayError(
            "there is no pulumi on PATH", where=f"stack {stack}", fix='Run: eval "$(make env)", or install Pulumi'
        ) from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise SlipwayError(
            f"its state cannot be read: {said[0] if said else 'no reason given'}",
            where=f"stack {stack}",
            fix="See `pulumi stack ls`; for the local stack run first: make up",
        )
    state: dict[str, Any] = json.loads(done.stdout)
    return state


def hosts_of(exported: dict[str, Any]) -> list[tuple[Connection, HostDesired, int]]:
    """The hosts in what `pulumi stack export --show-secrets` prints, in its order."""
    resources = (exported.get("deployment") or {}).get("resources") or ()
    hosts = []
    for resource in resources:
        if resource["type"] != "slipway:index:Host" or resource.get("delete"):
            continue
        inputs = plain(resource["inputs"])
        seen = plain(resource.get("outputs") or {}).get("host_key")
        connection = Connection.model_validate(inputs["connection"]).pinned_to(seen)
        hosts.append((connection, HostDesired.model_validate(inputs["desired"]), _wave(resource)))
    return hosts


def _wave(resource: dict[str, Any]) -> int:
    """The host of a wave waits for the gate behind the one before it."""
    gates = (re.search(r"slipway:index:Gate::wave-(\d+)$", urn) for urn in resource.get("dependencies") or ())
    return max((int(gate[1]) + 1 for gate in gates if gate), default=0)


def plain(value: Any) -> Any:
    """An exported value without what marks its secrets, which hold their JSON."""
    if isinstance(value, dict):
        if "plaintext" in value:
            return json.loads(value["plaintext"])
        return {key: plain(item) for key, item in value.items() if key != "__defaults"}
    return [plain(item) for item in value] if isinstance(value, list) else value


def look(connection: Connection, desired: HostDesired, wave: int) -> HostStatus:
    """What one host says; nothing on it is changed."""
    try:
        with connect(connection, NullLog(), threading.Event(), deadline=CONNECT_DEADLINE) as session:
            facts = gather(session, FACTS, query(desired))
    except HostError as error:
        return HostStatus(connection.name, connection.address, wave, problem=error.what)
    return status_of(connection, desired, wave, facts)


def status_of(connection: Connection, desired: HostDesired, wave: int, facts: Facts) -> HostStatus:
    receipt = receipts.read(facts)
    engines = [unit for name, unit in facts.units.items() if name.startswith(ENGINES)]
    return HostStatus(
        name=connection.name,
        address=connection.address,
        wave=wave,
        release=receipt.release if receipt else "",
        target=receipt.target if receipt else "",
        state=receipt.state if receipt else "none",
        step=receipt.step if receipt else "",
        stopped=bool(receipt and receipt.stopped),
        engines=len(engines),
        engines_up=sum(unit.active == "active" for unit in engines),
        drift={drift.pin: f"expected {drift.expected}, found {drift.found}" for drift in drifts(facts, desired)},
    )
