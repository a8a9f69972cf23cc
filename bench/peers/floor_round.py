"""The floor: `python -m bench.peers.floor_round INVENTORY` runs `true` on every host, with nothing but paramiko."""

from __future__ import annotations

import base64
import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko


def trivial(host: dict[str, Any]) -> int:
    """The exit status of `true` on the host."""
    kind, data = host["host_key"].split()[:2]
    with paramiko.SSHClient() as client:
        client.get_host_keys().add(host["address"], kind, paramiko.Ed25519Key(data=base64.b64decode(data)))
        client.connect(
            host["address"],
            host["port"],
            host["user"],
            pkey=paramiko.Ed25519Key.from_private_key(io.StringIO(host["private_key"])),
            allow_agent=False,
            look_for_keys=False,
        )
        _, stdout, _ = client.exec_command("true")
        return stdout.channel.recv_exit_status()


def main(inventory: Path) -> None:
    hosts = json.loads(inventory.read_text())["hosts"]
    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        print(json.dumps(list(pool.map(trivial, hosts))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
