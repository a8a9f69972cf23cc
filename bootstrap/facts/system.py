"""Facts about the machine: system, disks, ports, users."""

from __future__ import annotations

import re
from typing import Any

from bootstrap.facts.fact import Fact
from slipway.models import MODELS


def _parse_system(text: str) -> dict[str, Any]:
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {
        "system": {
            "os": f"{lines['ID'].strip(chr(34))}:{lines.get('VERSION_ID', '').strip(chr(34))}",
            "arch": lines["arch"],
            "kernel": lines["kernel"],
            "boot_id": lines["boot_id"],
            "clock": lines["clock"],
            "memory_total": int(lines["MemTotal"]) * 1024,
            "memory_available": int(lines["MemAvailable"]) * 1024,
        }
    }


SYSTEM = Fact(
    "system",
    # The kernel of a system container is its machine's; the boot id is its own.
    "cat /etc/os-release && echo kernel=$(uname -r) && echo arch=$(dpkg --print-architecture) && "
    "echo boot_id=$(cat /proc/sys/kernel/random/boot_id) && date -u +clock=%Y-%m-%dT%H:%M:%SZ && "
    "sed -n 's/^\\(MemTotal\\|MemAvailable\\): *\\([0-9]*\\) kB/\\1=\\2/p' /proc/meminfo",
    _parse_system,
)


def _parse_disks(text: str) -> dict[str, Any]:
    disks = {}
    for line in text.splitlines():
        path, size, available = line.split()
        disks[path] = {"size": int(size), "available": int(available)}
    return {"disks": disks}


DISKS = Fact(
    "disks",
    "df -B1 --output=file,size,avail / /var /var/lib /var/cache/apt/archives "
    f"$(ls -d {MODELS} 2>/dev/null) | tail -n +2",
    _parse_disks,
)

_SOCKET = re.compile(r"^\S+\s+\d+\s+\d+\s+(\S+):(\d+)\s+\S+(?:\s+users:\(\(\"([^\"]*)\")?")


def _parse_ports(text: str) -> dict[str, Any]:
    ports = []
    for line in text.splitlines():
        match = _SOCKET.match(line)
        if match:
            ports.append({"address": match[1], "port": int(match[2]), "process": match[3] or ""})
    return {"ports": sorted(ports, key=lambda port: (port["port"], port["address"]))}


PORTS = Fact("ports", "ss -H -ltnp", _parse_ports)


def _parse_users(text: str) -> dict[str, Any]:
    users = {}
    for line in text.splitlines():
        name, _, uid = line.split(":")[:3]
        users[name] = int(uid)
    return {"users": users}


USERS = Fact("users", "cut -d: -f1-3 /etc/passwd", _parse_users)
