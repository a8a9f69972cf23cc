"""Several machines at once, for tests and benchmarks: booted together, removed whatever happens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap.log import Log, NullLog
from bootstrap.machines.lifecycle import create, remove
from bootstrap.machines.spec import KindSetting, MachineSpec, MachineState
from bootstrap.pki import KeyPair, make_ssh_key
from slipway.desired import Connection


def way_in(machine: MachineState, private_key: str, host_key: str) -> Connection:
    """The connection to a machine that was born with `host_key` (its public line) and lets `private_key` in."""
    return Connection(
        name=machine.name,
        address=machine.address,
        port=machine.port,
        private_key=private_key,
        host_key=host_key.strip(),
    )


@dataclass(frozen=True)
class Fleet:
    """Machines that are up, and how to log in to them. `host_keys` are in the machines' order."""

    machines: tuple[MachineState, ...]
    user_key: KeyPair
    host_keys: tuple[str, ...]

    def connections(self) -> list[Connection]:
        """The way in to each."""
        return [
            way_in(machine, self.user_key.private, host_key)
            for machine, host_key in zip(self.machines, self.host_keys, strict=True)
        ]


def new_key() -> KeyPair:
    """A fresh SSH key."""
    return make_ssh_key("fleet")


def specs(
    count: int, base: Path, root: Path, user_key: str, kind: KindSetting = "nspawn"
) -> list[tuple[MachineSpec, KeyPair]]:
    """`count` machines named h1, h2, … of the stack `fleet` in `root`, each with a host key of its own."""
    made = []
    for number in range(1, count + 1):
        host_key, name = new_key(), f"h{number}"
        folder = root / "fleet" / name
        spec = MachineSpec(name, "fleet", kind, user_key, host_key.public, host_key.private, base=base, state=folder)
        made.append((spec, host_key))
    return made


@contextmanager
def fleet(
    count: int, base: Path, root: Path, *, kind: KindSetting = "nspawn", log: Log | None = None
) -> Iterator[Fleet]:
    """Boots `count` machines at once; removes them at the end, also those of a fleet that did not come up."""
    user_key, says, cancel = new_key(), log or NullLog(), threading.Event()
    planned = specs(count, base, root, user_key.public, kind)
    with ThreadPoolExecutor(max_workers=max(1, count)) as pool:
        try:
            machines = tuple(pool.map(lambda each: create(each[0], says, cancel), planned))
            yield Fleet(machines, user_key, tuple(key.public for _, key in planned))
        finally:
            list(pool.map(lambda each: remove(each[0].state, says), planned))
