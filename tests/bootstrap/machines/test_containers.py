"""Real system containers: booted, logged in to, killed, rebooted, removed."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.log import NullLog
from bootstrap.machines import MachineSpec, MachineState, create, is_alive, network, nspawn, remove, start
from bootstrap.machines.fleet import fleet, new_key
from bootstrap.machines.spec import names_of
from bootstrap.pki import KeyPair
from bootstrap.testing import RecordingLog
from slipway.errors import CancelledError, HostKeyError, MachineError
from tests.bootstrap.machines.conftest import cancel_after_boot, make_spec, traces

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

LOG = NullLog()
Shell = Callable[..., str]


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def console(folder: Path) -> str:
    return (folder / "console.log").read_text(errors="replace")


def test_a_machine_from_create_to_remove(spec: MachineSpec, cancel: threading.Event, shell: Shell) -> None:
    log = RecordingLog()
    before = traces(spec.state)
    assert not any(before.values())

    state = create(spec, log, cancel)
    assert state.why in log.text
    assert state.kind == "nspawn"
    assert shell(state, "cat /proc/1/comm; hostname; id -u").split() == ["systemd", spec.name, "0"]
    assert shell(state, "systemctl is-system-running --wait") == "running"
    assert shell(state, "ssh-keyscan localhost 2>/dev/null | cut -d' ' -f2") == "ssh-ed25519"
    assert is_alive(state)
    # Each kind of trace is seen while the machine is up; else its absence afterwards would say nothing.
    assert [kind for kind, found in traces(spec.state).items() if not found] == ["mounts"]

    assert create(spec, LOG, cancel) == state
    lock = Path(json.loads((spec.state / "process.json").read_text())["lock"])
    assert lock.exists()

    remove(state, LOG)
    assert traces(spec.state) == before
    assert not lock.exists()
    assert not spec.state.parents[1].exists()
    assert not is_alive(state)
    remove(state, LOG)
    remove(spec.state, LOG)


def test_the_world_is_reached_through_this_computer(spec: MachineSpec, cancel: threading.Event, shell: Shell) -> None:
    state = create(spec, LOG, cancel)
    assert shell(state, "apt-get update -qq -o APT::Update::Error-Mode=any && echo fetched", 120) == "fetched"


def test_a_reboot_inside_keeps_disk_and_address(spec: MachineSpec, cancel: threading.Event, shell: Shell) -> None:
    state = create(spec, LOG, cancel)
    shell(state, "echo kept > /root/note")
    machine_id = shell(state, "cat /etc/machine-id")
    shell(state, "systemctl --no-block reboot")
    assert wait_for(lambda: console(spec.state).count("supervisor: starting") == 2)
    assert is_alive(state)
    assert shell(state, "cat /root/note") == "kept"
    assert shell(state, "cat /etc/machine-id") == machine_id
    assert create(spec, LOG, cancel) == state


def test_a_machine_that_was_powered_off_is_dead_and_starts_again(
    spec: MachineSpec, cancel: threading.Event, shell: Shell
) -> None:
    state = create(spec, LOG, cancel)
    shell(state, "echo kept > /root/note; sync; systemctl --no-block poweroff")
    assert wait_for(lambda: not is_alive(state))
    assert start(state, LOG, cancel) == state
    assert shell(state, "cat /root/note") == "kept"
    assert start(state, LOG, cancel) == state


def test_a_dead_supervisor_is_noticed_although_ssh_answers(
    spec: MachineSpec, cancel: threading.Event, shell: Shell
) -> None:
    state = create(spec, LOG, cancel)
    os.kill(json.loads((spec.state / "process.json").read_text())["pid"], signal.SIGKILL)
    assert wait_for(lambda: not is_alive(state), 5)
    assert shell(state, "hostname") == spec.name
    assert create(spec, LOG, cancel) == state
    assert is_alive(state)
    remove(state, LOG)
    assert not any(traces(spec.state).values())


def test_remove_after_the_supervisor_died_leaves_nothing(spec: MachineSpec, cancel: threading.Event) -> None:
    state = create(spec, LOG, cancel)
    os.kill(json.loads((spec.state / "process.json").read_text())["pid"], signal.SIGKILL)
    remove(state, LOG)
    assert not any(traces(spec.state).values())


def test_remove_works_when_the_folder_was_deleted_by_hand(spec: MachineSpec, cancel: threading.Event) -> None:
    state = create(spec, LOG, cancel)
    shutil.rmtree(spec.state.parents[1])
    remove(state, LOG)
    assert not any(traces(spec.state).values())


def test_create_works_when_the_folder_was_deleted_by_hand(spec: MachineSpec, cancel: threading.Event) -> None:
    create(spec, LOG, cancel)
    shutil.rmtree(spec.state.parents[1])
    assert is_alive(create(spec, LOG, cancel))


def test_a_machine_that_dies_at_boot_is_told_at_once_with_its_console(
    spec: MachineSpec, tmp_path: Path, cancel: threading.Event
) -> None:
    broken = tmp_path / "base"
    for folder in ("etc", "usr", "root", "var"):
        (broken / folder).mkdir(parents=True)
    (broken / "etc/os-release").write_text("ID=debian\n")
    started = time.monotonic()
    with pytest.raises(MachineError) as caught:
        create(dataclasses.replace(spec, base=broken), LOG, cancel)
    assert time.monotonic() - started < 60
    assert "died while it booted" in str(caught.value)
    assert "init" in str(caught.value)
    assert str(spec.state / "console.log") in str(caught.value)
    remaining = traces(spec.state)
    assert not any(found for kind, found in remaining.items() if kind != "files")
    # The same folder takes a machine that does boot.
    assert is_alive(create(spec, LOG, cancel))


def test_a_base_that_is_missing_is_told(spec: MachineSpec, tmp_path: Path, cancel: threading.Event) -> None:
    with pytest.raises(MachineError, match="no base tree"):
        create(dataclasses.replace(spec, base=tmp_path / "nowhere"), LOG, cancel)
    assert not any(found for kind, found in traces(spec.state).items() if kind != "files")


def test_a_cancelled_create_leaves_nothing_running(
    spec: MachineSpec, cancel: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel_after_boot(nspawn, cancel, monkeypatch)
    with pytest.raises(CancelledError):
        create(spec, LOG, cancel)
    assert not any(found for kind, found in traces(spec.state).items() if kind != "files")
    assert is_alive(create(spec, LOG, threading.Event()))


HALF = """\
import os, sys, pickle, threading
from bootstrap.log import NullLog
from bootstrap.machines import create, network, nspawn
spec = pickle.load(sys.stdin.buffer)
module, name = {"network": (network, "_bridge_down"), "disk": (nspawn, "_write"), "boot": (nspawn, "launch_detached"),
                "wait": (nspawn, "boot")}[sys.argv[1]]
original = getattr(module, name)
def die(*arguments):
    if sys.argv[1] == "wait":
        original(*arguments)
    os._exit(9)  # as a kill would: nothing is cleaned up
setattr(module, name, die)
create(spec, NullLog(), threading.Event())
"""


@pytest.mark.parametrize("point", ["network", "disk", "boot", "wait"])
@pytest.mark.parametrize("then", ["remove", "create"])
def test_a_create_that_was_killed_is_removed_or_finished(
    spec: MachineSpec, cancel: threading.Event, point: str, then: str
) -> None:
    argv = [sys.executable, "-c", HALF, point]
    assert subprocess.run(argv, input=pickle.dumps(spec), timeout=60, check=False).returncode == 9
    if then == "create":
        assert is_alive(create(spec, LOG, cancel))
    remove(spec.state, LOG)
    assert not any(traces(spec.state).values())


WHOLE = """\
import json, sys, pickle, threading
from bootstrap.log import NullLog
from bootstrap.machines import create
print(json.dumps(create(pickle.load(sys.stdin.buffer), NullLog(), threading.Event()).to_json()))
"""


def test_a_machine_outlives_its_creator_and_holds_none_of_its_pipes(spec: MachineSpec) -> None:
    # run() returns when every holder of the pipes is gone.
    argv = [sys.executable, "-c", WHOLE]
    done = subprocess.run(argv, input=pickle.dumps(spec), capture_output=True, timeout=60, check=True)
    state = MachineState.from_json(json.loads(done.stdout))
    assert is_alive(state)


def test_other_keys_make_another_machine(
    spec: MachineSpec, cancel: threading.Event, shell: Shell, user_key: KeyPair
) -> None:
    state = create(spec, LOG, cancel)
    shell(state, "echo old > /root/note")
    other = new_key()
    changed = dataclasses.replace(spec, host_key_public=other.public, host_key_private=other.private)
    again = create(changed, LOG, cancel)
    with pytest.raises(HostKeyError):
        shell(again, "true")


def test_another_kind_makes_another_machine(spec: MachineSpec, cancel: threading.Event) -> None:
    create(spec, LOG, cancel)
    with pytest.raises(MachineError, match="no VM base"):
        create(dataclasses.replace(spec, kind="qemu-tcg", vm_base=spec.state), LOG, cancel)
    assert not any(found for kind, found in traces(spec.state).items() if kind != "files")


def test_two_roots_do_not_meet(
    tmp_path: Path, base: Path, user_key: KeyPair, host_key: KeyPair, cancel: threading.Event, shell: Shell
) -> None:
    specs = [make_spec(tmp_path / side / "machines", base, user_key, host_key) for side in ("one", "two")]
    try:
        one, two = (create(spec, LOG, cancel) for spec in specs)
        assert one.address.rpartition(".")[0] != two.address.rpartition(".")[0]
        assert shell(one, "hostname") == shell(two, "hostname")
        remove(one, LOG)
        assert not any(traces(specs[0].state).values())
        assert is_alive(two)
        # The way out is still open for the one that stays.
        assert shell(two, "apt-get update -qq -o APT::Update::Error-Mode=any && echo fetched", 120) == "fetched"
    finally:
        for spec in specs:
            remove(spec.state, LOG)
    assert not any(traces(specs[1].state).values())


def test_a_network_that_is_taken_is_avoided(spec: MachineSpec, cancel: threading.Event) -> None:
    wanted = network.choose_subnet(names_of(spec.state).bridge.removeprefix("slw-"), [])
    subprocess.run(["ip", "link", "add", "slwtaken", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", f"{wanted[1]}/24", "dev", "slwtaken"], check=True)
        subprocess.run(["ip", "link", "set", "slwtaken", "up"], check=True)
        state = create(spec, LOG, cancel)
    finally:
        subprocess.run(["ip", "link", "del", "slwtaken"], check=True)
    assert not state.address.startswith(str(wanted[0]).rpartition(".")[0] + ".")


def test_without_root_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nspawn.missing() is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in (nspawn.missing() or "")


def test_a_container_is_not_removed_half_by_who_may_not(
    spec: MachineSpec, cancel: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = create(spec, LOG, cancel)
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(MachineError, match="as root"):
            remove(state, LOG)
    assert is_alive(state)


def test_auto_boots_what_can_be_had_and_leaves_no_record_of_the_probe(
    spec: MachineSpec, cancel: threading.Event, shell: Shell
) -> None:
    state = create(dataclasses.replace(spec, kind="auto"), LOG, cancel)
    assert shell(state, "cat /proc/1/comm") == "systemd"
    assert "because" in state.why
    remove(state, LOG)
    assert not spec.state.parents[1].exists()


@pytest.mark.parametrize("name", ["", "Web", "a_b", "-a", "a" * 64, "a.b"])
def test_a_name_that_is_no_host_name_is_refused(spec: MachineSpec, name: str, cancel: threading.Event) -> None:
    with pytest.raises(MachineError, match="host name"):
        create(dataclasses.replace(spec, name=name), LOG, cancel)


@pytest.mark.slow
def test_twenty_machines_at_once(tmp_path: Path, base: Path) -> None:
    root = tmp_path / "machines"
    with fleet(20, base, root) as machines:
        addresses = {each.address for each in machines.machines}
        assert len(addresses) == 20
        for address in addresses:
            with socket.create_connection((address, 22), timeout=10) as connection:
                assert connection.recv(4) == b"SSH-"
    assert not any(traces(root / "fleet" / "h1").values())


SERVER = (
    "$s = IO::Socket::INET->new(LocalPort => 8443, Listen => 5) or die;"
    'while ($c = $s->accept) { print $c "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $c }'
)
"""all that the base has to serve a port with is Debian's smallest Perl"""


@pytest.mark.slow
def test_docker_runs_inside(spec: MachineSpec, cancel: threading.Event, shell: Shell) -> None:
    state = create(spec, LOG, cancel)
    shell(
        state,
        "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends docker.io",
        150,
    )
    assert shell(state, "docker info --format '{{.Driver}} {{.CgroupVersion}}'") == "overlay2 2"
    shell(state, "tar -C / -c --hard-dereference usr bin lib lib64 | docker import - self >/dev/null", 120)
    assert (
        shell(state, "docker run --rm --read-only --cap-drop ALL -u 65532:65532 self /bin/echo from inside")
        == "from inside"
    )
    shell(state, f"docker run -d --name web -p 8443:8443 self /usr/bin/perl -MIO::Socket::INET -e '{SERVER}'")
    assert wait_for(lambda: _answers(state.address, state.host_port(8443)))
    remove(state, LOG)
    assert not any(traces(spec.state).values())


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.recv(4) == b"HTTP"
    except OSError:
        return False
