"""Slipway as a contender: `python -m bench.peers.slipway_round INVENTORY` converges every host at once.

Prints one line of JSON: `changed`, host → the operations that acted; `seconds`, without Python's start and imports.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bootstrap.host import converge_host
from bootstrap.log import NullLog
from bootstrap.ssh import connect
from slipway.desired import Connection, HostDesired


def converge(connection: Connection, desired: HostDesired) -> tuple[str, ...]:
    """What acted on the host. The connection is made for it, and closed."""
    cancel = threading.Event()
    with connect(connection, NullLog(), cancel) as session:
        return converge_host(session, desired, NullLog(), cancel).changed


def main(inventory: Path) -> None:
    begun = time.monotonic()
    said = json.loads(inventory.read_text())
    hosts = [Connection.model_validate(host) for host in said["hosts"]]
    desired = HostDesired.model_validate(said["desired"])
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        changed = list(pool.map(lambda host: converge(host, desired), hosts))
    acted = {host.name: operations for host, operations in zip(hosts, changed, strict=True)}
    print(json.dumps({"changed": acted, "seconds": time.monotonic() - begun}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
