"""Measures the hosts of a stack, all at once: one script each, and the time; then how fast a few of them reach each
other, a pair at a time. Nothing on them is changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager

from bootstrap.commands.status import CONNECT_DEADLINE, HOSTS_AT_ONCE
from bootstrap.commands.throughput import measure_pairs
from bootstrap.facts import MEASURES, Facts, Query, gather
from bootstrap.log import NullLog
from bootstrap.session import Command, Session
from bootstrap.ssh import connect
from slipway.desired import Connection
from slipway.doctor.hosts import Unmeasured
from slipway.doctor.measured import HostMeasured
from slipway.doctor.types import NoAnswer
from slipway.errors import HostError

PEERS = 2
"""other hosts that each one pings: the next ones in order, so that a fleet of any size takes as long"""
ASKED = 3
"""times that a host is asked what time it is; the quickest answer is the least wrong"""

Opened = Callable[[Connection], AbstractContextManager[Session]]


def open_session(connection: Connection) -> AbstractContextManager[Session]:
    return connect(connection, NullLog(), threading.Event(), deadline=CONNECT_DEADLINE)


def measure_hosts(
    connections: Sequence[Connection],
    *,
    read: str,
    gpu: bool,
    tell: Callable[[str], None],
    opened: Opened = open_session,
) -> tuple[HostMeasured | Unmeasured, ...]:
    """What each host says, in the order given; `read` is the model's file there. `tell` hears how far it is."""
    found: dict[str, HostMeasured | Unmeasured] = {}
    with ThreadPoolExecutor(HOSTS_AT_ONCE) as pool:
        asked = {
            pool.submit(_measure, connection, Query(gpu=gpu, read=read, peers=peers), opened): connection.name
            for connection, peers in zip(connections, _peers(connections), strict=True)
        }
        for done in as_completed(asked):
            found[asked[done]] = done.result()
            tell(f"{len(found)} of {len(connections)} hosts measured")
    reached = [connection for connection in connections if isinstance(found[connection.name], HostMeasured)]
    for name, throughput in measure_pairs(reached, opened, tell).items():
        host = found[name]
        if isinstance(host, HostMeasured):
            found[name] = host.model_copy(update={"throughput": throughput})
    return tuple(found[connection.name] for connection in connections)


def _peers(connections: Sequence[Connection]) -> list[tuple[str, ...]]:
    """Addresses that each host pings.

    >>> at = [Connection(name=n, address=f"10.0.0.{n}", private_key="") for n in "1234"]
    >>> _peers(at)[3], _peers(at[:1])
    (('10.0.0.1', '10.0.0.2'), [()])
    """
    around = [connection.address for connection in connections] * 2
    count = min(PEERS, len(connections) - 1)
    return [tuple(around[index + 1 : index + 1 + count]) for index in range(len(connections))]


def _measure(connection: Connection, query: Query, opened: Opened) -> HostMeasured | Unmeasured:
    try:
        with opened(connection) as session:
            offset, error = _offset(session)
            facts = gather(session, MEASURES, query)
    except HostError as error_of_host:
        return Unmeasured(connection.name, NoAnswer(error_of_host.what, error_of_host.fix))
    return measured(connection.name, facts, offset, error)


def _offset(session: Session) -> tuple[float | NoAnswer, float]:
    """The host's clock less ours, in the middle of the quickest of a few questions, and half of what that one took."""
    answers = []
    for _ in range(ASKED):
        before, began = time.time(), time.monotonic()
        said = session.run(Command("date +%s.%N", why="ask what time it is", deadline=10, check=False))
        took = time.monotonic() - began
        try:
            answers.append((took / 2, float(said.stdout) - (before + took / 2)))
        except ValueError:
            return NoAnswer("date there does not tell nanoseconds", "See `date` there"), 0.0
    error, offset = min(answers)
    return offset, error


def measured(name: str, facts: Facts, offset: float | NoAnswer, error: float = 0.0) -> HostMeasured:
    """The measures among the facts of a host."""
    disk = facts.disks.get("/var/lib") or facts.disks["/"]
    return HostMeasured(
        name=name,
        os=facts.system.os,
        arch=facts.system.arch,
        memory=facts.system.memory_total,
        memory_available=facts.system.memory_available,
        disk_available=disk.available,
        disk_size=disk.size,
        cpu=facts.cpu,
        disk=facts.disk,
        network=facts.network,
        links=facts.links,
        states=facts.states,
        gpu_names=tuple(gpu.name for gpu in facts.smi.gpus),
        gpu_devices=len(facts.pci.gpus),
        clock=facts.clock,
        offset=offset,
        offset_error=error,
    )
