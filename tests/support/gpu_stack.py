"""A fleet whose driver is rolled: machines booted by provider `local`, GPUs and NVIDIA's packages that are STUBS.

What is real: the repository's own program and `pulumi up`, apt, dpkg, systemd, the reboots, Docker with CDI, HAProxy,
llama.cpp with a small model on the CPU. What is not: GPUs, their kernel modules, the content of NVIDIA's packages
(`tests/support/nvidia`). The engines' containers get the stub devices by CDI and do not use them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.commands.status import hosts_of, plain
from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.log import NullLog
from bootstrap.machines import network, remove
from bootstrap.session import Command
from bootstrap.ssh import connect
from slipway.artifacts import Artifacts, parse_artifacts
from slipway.desired import Connection
from slipway.errors import SlipwayError
from slipway.paths import RELEASES
from tests.support.nvidia import NvidiaArchive, StubGpu, describe_gpus, set_faults
from tests.support.nvidia.archive import CUDA
from tests.support.pulumi import ROOT, Project, pulumi_bin
from tests.support.stack import Stack
from tools import cache

BASE = "trixie"
"""Debian 13: its Docker gives containers devices by CDI, which Debian 12's is too old for"""
ENGINE = "engine-llama-cpp"
RELEASE = """\
name = "{name}"
summary = "STUB driver {driver}, for roll-outs that are shown and tested"
os = ["debian:13"]
packages = ["ca-certificates", "curl", "docker-cli", "docker.io", "iptables", "socat"]

[gpu]
archive = "nvidia"
driver = "{driver}"
branch = "{branch}"
modules = "open"
cuda = "13.0"
toolkit = {{ version = "1.19.1-1" }}

# Nothing is pulled: the stack file has the image that its recipe built, under slipway:container.archives.
[images.engine-llama-cpp]
repository = "registry.invalid/engine-llama-cpp"
version = "built-here"

[images.proxy]
build = "proxy"

[images.collector]
build = "collector"
"""
MACHINES = ("StackKeys", "HostKey", "Machine")
"""resources that there are before a host is anything"""


@dataclass(frozen=True)
class Described:
    """A host by its connection, as the stubs want it."""

    connection: Connection

    def shell(self, script: str) -> str:
        with connect(self.connection, NullLog(), threading.Event()) as session:
            return session.run(Command(script, why="arrange the stub", deadline=120)).stdout


class GpuStack(Stack):
    """Local machines with one stub GPU each."""

    def install(self) -> None:
        """The first `up`, to all hosts at once: there is nothing yet that a wave would spare."""
        policy = self.settings["slipway:rollout"]
        self.write(rollout={"canary": 0, "wave": "100%"})
        self.up()
        self.write(rollout=policy)

    def describe(self) -> None:
        """Makes the machines that were booted machines with a GPU each."""
        self.hosts = _booted(self.exported())
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(lambda host: describe_gpus(Described(host), [StubGpu()]), self.hosts))

    def set_faults(self, host: str, *faults: str) -> None:
        """Switches exactly these faults of the stub on, on one host."""
        set_faults(Described(next(known for known in self.hosts if known.name == host)), faults)

    def on_all(self, script: str) -> dict[str, str]:
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            found = pool.map(lambda index: self.on_host(index, script).strip(), range(len(self.hosts)))
            return {host.name: text for host, text in zip(self.hosts, found, strict=True)}

    def drivers(self) -> dict[str, str]:
        """Host → driver whose (stub) module is loaded."""
        return self.on_all("grep -o '[0-9]*[.][0-9]*[.][0-9]*' /proc/driver/nvidia/version | head -n 1")

    def releases(self) -> dict[str, str]:
        """Host → release that its receipt names as the one it carries."""
        return {name: json.loads(text)["release"] for name, text in self.on_all(f"cat {RECEIPT_PATH}").items()}

    def seconds_and_waves(self) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
        """Host → how long each step of its last convergence took, as its resource says it; and host → wave."""
        exported = self.exported()
        seconds = {
            resource["urn"].rsplit("::", 1)[-1]: plain(resource["outputs"]).get("seconds", {})
            for resource in exported["deployment"]["resources"]
            if resource["type"] == "slipway:index:Host"
        }
        return seconds, {connection.name: wave for connection, _, wave in hosts_of(exported)}


@contextmanager
def gpu_stack(
    folder: Path, drivers: dict[str, str], hosts: int, say: Callable[[str], object], **settings: Any
) -> Iterator[GpuStack]:
    """A stack with a release of each of `drivers` ({release: driver}), at the first of them, before its first `up`.

    `settings` are sections of its stack file. Its machines are booted, and have GPUs. Whatever happens, nothing of it
    is left in the end.
    """
    say("building what is not in the cache yet: Pulumi CLI, images, the base of the machines")
    state = folder / "state"
    environment = {"SLIPWAY_STATE": str(state)}
    build = [sys.executable, "-m", "tools.artifacts", "build", BASE]
    subprocess.run(build, cwd=ROOT, check=True, env={**os.environ, **environment}, stdout=sys.stderr)
    cli = pulumi_bin()
    assert cli is not None, "it was built just now"
    archive = NvidiaArchive(cache.folder("stubs", ""))
    project = Project(folder / "project", cli, stack=folder.name, environment=environment)
    gateway = state / "machines" / project.stack / "archive"
    allocation, _ = network.attach(gateway, NullLog())  # the machines' network, for the archive to be there first
    try:
        with archive.serve(str(allocation.gateway)):
            for name, driver in drivers.items():
                say(f"locking release {name}: driver {driver} from the stub of NVIDIA's archive")
                _lock(project, archive, name, driver)
            stack = GpuStack(project, _settings(next(iter(drivers)), hosts, _built(state)))
            stack.write(**settings)
            say(f"booting {hosts} machines")
            stack.up(*(f"--target=**slipway:index:{kind}**" for kind in MACHINES))
            stack.describe()
            yield stack
    finally:
        say("taking the machines away")
        _remove(state / "machines" / project.stack)
        network.detach(gateway)


def _built(state: Path) -> Artifacts:
    return parse_artifacts((state / "artifacts.json").read_text())


def _settings(release: str, hosts: int, built: Artifacts) -> dict[str, Any]:
    engine = built.images[ENGINE]
    archives = {ENGINE: {"path": engine.archive, "sha256": engine.archive_sha256, "image_id": engine.reference}}
    return {
        "slipway:provider": "local",
        "slipway:local": {"machine": "nspawn"},
        "slipway:release": release,
        "slipway:hosts": {"count": hosts},
        "slipway:model": {"name": "smollm2-135m-instruct", "context": 1024},
        "slipway:engine": {"name": "llama.cpp", "threads": 1, "gpus": 1},
        "slipway:container": {"archives": archives},
        "slipway:proxy": {"concurrency": 2},
        "slipway:drain": {"deadline": "30s", "settle": "2s"},
        "slipway:rollout": {"canary": 1, "wave": 2, "bake": "5s"},
    }


def _lock(project: Project, archive: NvidiaArchive, name: str, driver: str) -> None:
    releases = project.folder / RELEASES
    releases.mkdir(exist_ok=True)
    (releases / f"{name}.toml").write_text(RELEASE.format(name=name, driver=driver, branch=driver.partition(".")[0]))
    key = project.folder / "archive.asc"
    key.write_text(archive.key)
    command = ["lock", "--release", name, "--source", f"deb {archive.url}/{CUDA} /", "--key", str(key)]
    done = subprocess.run(
        [Path(sys.executable).with_name("slipway"), *command],
        cwd=project.folder, env=project.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SlipwayError(done.stderr.strip(), where=f"release {name}", fix="Put that right, then run it again")


def _booted(exported: dict[str, Any]) -> list[Connection]:
    """The ways in to machines of a state that has no hosts yet."""
    resources = {}
    for resource in exported["deployment"]["resources"]:
        kind, name = resource["type"].rsplit(":", 1)[-1], resource["urn"].rsplit("::", 1)[-1]
        resources[kind, name] = plain(resource.get("outputs") or {})
    (key,) = (outputs["ssh_private_key"] for (kind, _), outputs in resources.items() if kind == "StackKeys")
    return [
        Connection(
            name=name,
            address=outputs["address"],
            port=int(outputs["port"]),
            private_key=key,
            host_key=resources["HostKey", f"{name}-key"]["public_key"],
        )
        for (kind, name), outputs in sorted(resources.items())
        if kind == "Machine"
    ]


def _remove(folder: Path) -> None:
    """All machines of a stack, as far as it had come."""
    machines = [path for path in folder.glob("*") if path.is_dir()] if folder.is_dir() else []
    with ThreadPoolExecutor(max(1, len(machines))) as pool:
        list(pool.map(lambda machine: remove(machine, NullLog()), machines))
    shutil.rmtree(folder, ignore_errors=True)
