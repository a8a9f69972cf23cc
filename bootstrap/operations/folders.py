"""The operation that makes Slipway's own folders."""

from __future__ import annotations

from bootstrap.facts import Facts
from bootstrap.operations.step import Run, Steps
from bootstrap.session import Command
from slipway.desired import HostDesired

FOLDERS = {
    "/etc/slipway": "755 root:root",
    "/var/lib/slipway": "755 root:root",
    "/var/lib/slipway/models": "755 root:root",
    "/var/lib/slipway/archives": "700 root:root",
    "/usr/local/lib/slipway": "755 root:root",
}
"""path → mode and owner. /run/slipway is the services' own: it is gone after every boot."""


def make_folders(facts: Facts, desired: HostDesired) -> Steps:  # noqa: ARG001  one shape for all
    wrong = {path: kind for path, kind in FOLDERS.items() if facts.directories.get(path) != kind}
    if not wrong:
        return Steps("Slipway's folders are there")
    lines = []
    for path, kind in wrong.items():
        mode, owner = kind.split(" ")
        user, group = owner.split(":")
        lines.append(f"install -d -m {mode} -o {user} -g {group} {path}")
    return Steps("folders are missing or have another owner", (Run(Command(" &&\n".join(lines), "make the folders")),))
