"""What the tests of local machines share: a base, a root of their own, and a look at what is left on this computer."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bootstrap.log import NullLog
from bootstrap.machines import MachineSpec, MachineState, remove
from bootstrap.machines.fleet import new_key, way_in
from bootstrap.machines.spec import Record, names_of
from bootstrap.pki import KeyPair
from bootstrap.session import Command
from bootstrap.ssh import connect
from tools import bases

LOG = NullLog()


@pytest.fixture(scope="session")
def base() -> Path:
    return Path(bases.ensure("bookworm")["tree"])


@pytest.fixture(scope="session")
def user_key() -> KeyPair:
    return new_key()


@pytest.fixture(scope="session")
def host_key() -> KeyPair:
    return new_key()


@pytest.fixture
def cancel() -> threading.Event:
    return threading.Event()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "machines"
    yield root
    for folder in sorted(root.glob("*/*/")):
        remove(folder, LOG)


@pytest.fixture
def spec(root: Path, base: Path, user_key: KeyPair, host_key: KeyPair) -> MachineSpec:
    return make_spec(root, base, user_key, host_key)


def make_spec(root: Path, base: Path, user_key: KeyPair, host_key: KeyPair, name: str = "web") -> MachineSpec:
    return MachineSpec(
        name=name,
        stack="test",
        kind="nspawn",
        authorized_key=user_key.public,
        host_key_public=host_key.public,
        host_key_private=host_key.private,
        base=base,
        state=root / "test" / name,
    )


def cancel_after_boot(kind: ModuleType, cancel: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancels a `create` once the machine's process runs and nobody has waited for it yet, however fast it boots."""
    boot = kind.boot

    def boot_and_cancel(record: Record) -> None:
        boot(record)
        cancel.set()

    monkeypatch.setattr(kind, "boot", boot_and_cancel)


@pytest.fixture
def shell(user_key: KeyPair, host_key: KeyPair, cancel: threading.Event) -> Callable[[MachineState, str], str]:
    """Runs a script on a machine over SSH, with its host key pinned; returns what it printed."""

    def run(state: MachineState, script: str, deadline: float = 60) -> str:
        with connect(way_in(state, user_key.private, host_key.public), LOG, cancel, deadline=30) as session:
            return session.run(Command(script, why="test", deadline=deadline)).stdout.strip()

    return run


def traces(folder: Path) -> dict[str, list[str]]:
    """What is on this computer of the machine in `folder` and of its network, by kind of thing."""
    names, root = names_of(folder), folder.parents[1]
    marks = (names.bridge, names.container, str(root))

    def ours(lines: list[str]) -> list[str]:
        return [line for line in lines if any(mark in line for mark in marks)]

    def output(*argv: str) -> list[str]:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()

    groups = [str(path) for place in ("systemd", "unified", "") for path in Path("/sys/fs/cgroup", place).glob("slw-*")]
    return {
        "interfaces": ours(output("ip", "link")),
        "addresses and routes": ours(output("ip", "route", "show", "table", "all")),
        "rules": ours(output("iptables-save")),
        "cgroups": ours(groups),
        "processes": ours(output("ps", "-ww", "-eo", "pid,args")),
        "mounts": ours(Path("/proc/mounts").read_text().splitlines()),
        "nspawn's notes": ours(list(map(str, Path("/run/systemd/nspawn").rglob("*")))),
        "files": list(map(str, root.glob("*"))),
    }
