"""Create, look at, start again, remove. Each is idempotent, and each copes with what a dead run left."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from bootstrap.log import Log
from bootstrap.machines import kvm, nspawn, qemu
from bootstrap.machines.guest import host_key_blob
from bootstrap.machines.kinds import choose, probe
from bootstrap.machines.locks import folder_lock, write_json
from bootstrap.machines.processes import last_lines, running_pid, ssh_banner
from bootstrap.machines.shell import call
from bootstrap.machines.spec import Kind, MachineSpec, MachineState, Reach, Record, fingerprint, root_of
from bootstrap.machines.waits import CONTAINER_BOOT, VM_BOOT
from bootstrap.waits import Retry, Waits
from slipway.errors import MachineError, SlipwayError

RECORD = "machine.json"
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ALIVE_TRIES = 5
ALIVE_PAUSE = 0.4
"""seconds; a machine that reboots at this moment answers again within a second"""
SSH_TIMEOUT = 1.0
"""seconds for one look at SSH's banner"""


class Provider(Protocol):
    """One way to boot machines; a module of this package."""

    def prepare(self, spec: MachineSpec, log: Log) -> Reach: ...
    def boot(self, record: Record) -> None: ...
    def resume(self, record: Record, log: Log) -> None: ...
    def stop(self, folder: Path) -> None: ...
    def release(self, folder: Path) -> None: ...


def create(spec: MachineSpec, log: Log, cancel: threading.Event) -> MachineState:
    """Boots a machine, and returns once SSH's banner is there. One that is up already is left alone.

    Raises `MachineError` when it cannot be booted, with the last lines of its console, and `CancelledError` when
    `cancel` is set. Either way nothing of it runs then; its folder stays, and `create` or `remove` goes on from there.
    """
    _check(spec)
    waits = Waits(cancel)
    folder = spec.state.absolute()
    spec = dataclasses.replace(spec, state=folder, base=spec.base.absolute())
    with _exclusively(folder):
        record = _read_record(folder)
        if record and not _fits(record, spec):
            log.info(f"{spec.name}: the machine there is of another kind, key or base, and is made anew")
            _erase(folder)
            folder.mkdir(parents=True)
            record = None
        started = time.monotonic()
        provider = _provider(record.state.kind if record else "nspawn")
        try:
            if record and running_pid(folder / "process.json") is not None:
                return _booted(record.state, started, log, waits)
            choice = choose(spec.kind if record is None else record.state.kind, probe(spec))
            why = choice.why if record is None else record.state.why
            log.info(f"{spec.name}: {why}")
            provider = _provider(choice.kind)
            waits.check(spec.name)
            provider.stop(folder)
            reach = provider.prepare(spec, log)
            state = MachineState(
                choice.kind, why, spec.name, spec.stack, reach.address, reach.port, reach.ports, str(folder)
            )
            record = Record(fingerprint(spec), state, reach.base, spec.cpus, spec.memory_mib)
            write_json(folder / RECORD, record.to_json())
            provider.boot(record)
            return _booted(state, started, log, waits)
        except BaseException:
            # Pulumi does not know of a machine whose create failed, so nobody would remove it.
            with contextlib.suppress(SlipwayError):
                provider.stop(folder)
                provider.release(folder)
            raise


def is_alive(state: MachineState) -> bool:
    """Whether the machine's process is the one that was started, and its SSH port answers as SSH."""
    if running_pid(Path(state.state) / "process.json") is None:
        return False
    for _ in range(ALIVE_TRIES):
        if ssh_banner(state.address, state.port, SSH_TIMEOUT):
            return True
        time.sleep(ALIVE_PAUSE)
    return False


def start(state: MachineState, log: Log, cancel: threading.Event) -> MachineState:
    """Boots a machine that died, with its disk and its address as they were. One that is up is left alone.

    Raises `MachineError` when its folder is gone, or its address was taken by something else meanwhile.
    """
    folder = Path(state.state)
    record = _read_record(folder)
    if record is None:
        raise MachineError(
            "there is no machine in this folder any more", where=str(folder), fix="Run `pulumi up` to make a new one."
        )
    with _exclusively(folder):
        started = time.monotonic()
        if running_pid(folder / "process.json") is None:
            provider = _provider(state.kind)
            provider.stop(folder)
            provider.resume(record, log)
            provider.boot(record)
        return _booted(state, started, log, Waits(cancel))


def remove(state: MachineState | Path, log: Log) -> None:
    """Ends the machine and removes all that is of it. Takes its folder alone, too, for one that was half created.

    Processes, mounts, interfaces, cgroups, firewall rules, files; the network with the root's last machine. Machines
    of other roots are not touched. Idempotent.
    """
    folder = Path(state.state if isinstance(state, MachineState) else state).absolute()
    log.progress(f"{folder.name}: removing the machine")
    if folder.exists():
        with folder_lock(folder):
            _erase(folder)
    else:
        _erase(folder)
    root = root_of(folder)
    with contextlib.suppress(OSError):  # not empty: other machines are there
        folder.parent.rmdir()
    with contextlib.suppress(OSError):
        if [path.name for path in root.iterdir()] == [kvm.RECORD]:
            (root / kvm.RECORD).unlink()
        root.rmdir()


def _erase(folder: Path) -> None:
    for provider in (nspawn, qemu):
        provider.stop(folder)
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        target = line.split()[1].encode().decode("unicode_escape")
        if target.startswith(f"{folder}/"):
            call("umount", "--lazy", target)  # somebody looked inside by hand; never delete through a mount
    for provider in (nspawn, qemu):
        provider.release(folder)
    if folder.exists():
        shutil.rmtree(folder)


def _booted(state: MachineState, started: float, log: Log, waits: Waits) -> MachineState:
    """Waits for SSH's banner, with an eye on the machine's process: a dead one is told at once."""
    folder = Path(state.state)
    policy = CONTAINER_BOOT if state.kind == "nspawn" else VM_BOOT
    mark = 0.0

    def look() -> None:
        nonlocal mark
        if running_pid(folder / "process.json") is None:
            raise MachineError(
                f"the machine died while it booted. Its console ended with:\n  {last_lines(folder / 'console.log')}\n",
                where=state.name,
                fix=f"See {folder / 'console.log'}, then run this again.",
            )
        if ssh_banner(state.address, state.port, SSH_TIMEOUT):
            return
        if (waited := time.monotonic() - started) - mark > 2:
            mark = waited
            log.progress(f"{state.name}: booting, {waited:.0f} s of at most {policy.deadline:.0f} s")
        raise Retry(
            MachineError(
                f"no SSH at {state.address}:{state.port} after {policy.deadline:.0f} s. Its console ended with:\n"
                f"  {last_lines(folder / 'console.log')}\n",
                where=state.name,
                fix=f"See {folder / 'console.log'}, then run this again.",
            )
        )

    waits.until(policy, look)
    log.info(f"{state.name}: up at {state.address}:{state.port} after {time.monotonic() - started:.1f} s")
    return state


def _fits(record: Record, spec: MachineSpec) -> bool:
    return record.fingerprint == fingerprint(spec) and spec.kind in ("auto", record.state.kind)


def _provider(kind: Kind) -> Provider:
    return nspawn if kind == "nspawn" else qemu


@contextlib.contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(folder):
        folder.mkdir(parents=True, exist_ok=True)  # a remove may have held the lock
        yield


def _read_record(folder: Path) -> Record | None:
    try:
        return Record.from_json(json.loads((folder / RECORD).read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _check(spec: MachineSpec) -> None:
    if not HOST_NAME.fullmatch(spec.name):
        raise MachineError(
            f"{spec.name!r} is no host name", where="machine name", fix="Use a-z, 0-9 and '-', at most 63 characters."
        )
    try:
        host_key_blob(spec.host_key_public)
    except ValueError as error:
        raise MachineError(f"host key: {error}", where=spec.name, fix="Give an OpenSSH ed25519 key.") from None
