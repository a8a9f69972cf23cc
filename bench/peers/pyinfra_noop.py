"""A converged host of the release, as a pyinfra deploy. Run by pyinfra, which this module is not importable without.

A step that only looks is a fact; a wrong answer raises, and pyinfra ends with an error.
"""

import json
import os
from pathlib import Path

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, server, systemd

STEPS = json.loads(Path(os.environ["SLIPWAY_BENCH_STEPS"]).read_text())


def expect(right: bool, what: str) -> None:
    if not right:
        raise AssertionError(f"{host.name}: {what}")


system = host.get_fact(Command, "grep -E '^(ID|VERSION_ID)=' /etc/os-release")
expect(f"ID={STEPS['os_id']}" in system and STEPS["os_version"] in system, "another operating system")
expect(not host.get_fact(Command, "dpkg --audit"), "a package is half done")

for folder in STEPS["folders"]:
    files.directory(
        name=f"Folder {folder['path']}",
        path=folder["path"],
        mode=folder["mode"].lstrip("0"),
        user=folder["owner"],
        group=folder["group"],
    )

for file in STEPS["files"]:
    local = Path(os.environ["SLIPWAY_BENCH_STEPS"]).parent / Path(file["path"]).name
    files.put(name=f"File {file['path']}", src=str(local), dest=file["path"], mode=file["mode"].lstrip("0"))

apt.packages(
    name="Packages",
    packages=[f"{package}={version}" for package, version in STEPS["packages"].items()],
    no_recommends=True,
)

held = (host.get_fact(Command, "apt-mark showhold") or "").split()
if missing := [package for package in STEPS["packages"] if package not in held]:
    server.shell(name="Holds", commands=[f"apt-mark hold {' '.join(missing)}"])

systemd.service(name="Docker is enabled and runs", service=STEPS["service"], running=True, enabled=True)
answer = host.get_fact(Command, "curl -sSf --unix-socket /run/docker.sock http://docker/info")
expect("ServerVersion" in answer, "Docker does not answer")
failed = host.get_fact(Command, "systemctl list-units --failed --plain --no-legend 'slipway-*'")
expect(not failed, "a unit of Slipway's failed")
files.file(name="Receipt", path=STEPS["receipt"], user="root")
