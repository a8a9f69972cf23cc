"""A real VM, without acceleration: everywhere the same, and slow."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.log import NullLog
from bootstrap.machines import MachineSpec, create, is_alive, kvm, qemu, remove, start
from slipway.errors import CancelledError
from tests.bootstrap.machines.conftest import cancel_after_boot, traces
from tools import bases

pytestmark = [pytest.mark.alone, pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(900)]

LOG = NullLog()
REBOOT = 300.0
"""seconds; twenty on an idle computer"""


@pytest.fixture(scope="module")
def vm_base() -> Path:
    return Path(bases.ensure("bookworm-vm")["disk"]).parent


@pytest.fixture
def vm(spec: MachineSpec, vm_base: Path) -> MachineSpec:
    return dataclasses.replace(spec, kind="qemu-tcg", vm_base=vm_base, disk_gib=14, memory_mib=1024)


def test_a_vm_from_create_to_remove(vm: MachineSpec, cancel: threading.Event, shell: Callable[..., str]) -> None:
    state = create(vm, LOG, cancel)
    assert state.kind == "qemu-tcg"
    assert shell(state, "cat /proc/1/comm; hostname; systemd-detect-virt").split() == ["systemd", vm.name, "qemu"]
    assert shell(state, "ssh-keyscan localhost 2>/dev/null | cut -d' ' -f2") == "ssh-ed25519"
    assert int(shell(state, "df --output=size -BG / | tail -1").rstrip("G")) >= 13
    assert create(vm, LOG, cancel) == state

    shell(state, "echo kept > /root/note; sync; systemctl --no-block reboot")
    end = time.monotonic() + REBOOT
    while _boots(vm.state) < 2 or not is_alive(state):
        assert time.monotonic() < end, "it did not come back"
        time.sleep(0.5)
    assert shell(state, "cat /root/note") == "kept"

    os.kill(json.loads((vm.state / "process.json").read_text())["pid"], signal.SIGKILL)
    time.sleep(0.5)
    assert not is_alive(state)
    assert start(state, LOG, cancel) == state
    assert shell(state, "cat /root/note") == "kept"

    remove(state, LOG)
    assert not any(traces(vm.state).values())
    remove(state, LOG)


def test_a_cancelled_create_leaves_nothing_running(
    vm: MachineSpec, cancel: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel_after_boot(qemu, cancel, monkeypatch)
    with pytest.raises(CancelledError):
        create(vm, LOG, cancel)
    assert not any(found for kind, found in traces(vm.state).items() if kind != "files")


def test_the_base_is_found_beside_the_tree(vm: MachineSpec, vm_base: Path, tmp_path: Path) -> None:
    beside = dataclasses.replace(vm, vm_base=None)
    assert (qemu.find_base(beside) or Path()).name.startswith("bookworm-vm-")
    assert qemu.find_base(dataclasses.replace(vm, vm_base=None, base=vm_base)) == vm_base
    assert qemu.find_base(dataclasses.replace(vm, vm_base=None, base=tmp_path / "a" / "tree")) is None
    assert "no VM base" in (qemu.missing(dataclasses.replace(vm, vm_base=tmp_path)) or "")


def test_the_probe_tells_a_kernel_that_boots_from_one_that_does_not(
    vm_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kvm, "KERNEL_DEADLINE", 120.0)
    assert kvm.boots_kernel("tcg", vm_base)
    (tmp_path / "vmlinuz").write_bytes(b"no kernel")
    assert not kvm.boots_kernel("tcg", tmp_path)


def test_files_get_into_an_image_with_their_modes(vm: MachineSpec, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    subprocess.run(["truncate", "-s", "16M", str(image)], check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", str(image)], check=True)
    files = qemu.guest_files(vm, qemu.NETWORK, container=False)
    for _ in range(2):  # what is there already is replaced
        qemu.inject(image, files, tmp_path / "scratch dir")
    assert not (tmp_path / "scratch dir").exists()
    said = subprocess.run(
        ["debugfs", "-R", "stat /etc/ssh/ssh_host_ed25519_key", str(image)], capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"Type: regular\s+Mode:\s+0600", said)
    assert re.search(r"User:\s+0\s+Group:\s+0\b", said)
    link = subprocess.run(
        ["debugfs", "-R", "stat /etc/systemd/system/apt-daily.timer", str(image)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "/dev/null" in link
    assert subprocess.run(["e2fsck", "-f", "-n", str(image)], capture_output=True, check=False).returncode == 0


def _boots(folder: Path) -> int:
    return (folder / "console.log").read_text(errors="replace").count("] Linux version")
