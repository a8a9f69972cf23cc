"""Names, identity and what is written into a machine: pure."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from bootstrap.machines.fleet import new_key
from bootstrap.machines.guest import GuestNetwork, guest_files, host_key_blob
from bootstrap.machines.spec import MachineSpec, MachineState, Record, fingerprint, names_of
from bootstrap.pki import KeyPair
from tests.bootstrap.machines.conftest import make_spec

NETWORK = GuestNetwork("host0", "10.70.0.11/24", "10.70.0.1", ("192.0.2.53",))


@pytest.fixture
def plain(tmp_path: Path, user_key: KeyPair, host_key: KeyPair) -> MachineSpec:
    return make_spec(tmp_path / "machines", tmp_path / "base", user_key, host_key)


def test_interface_names_fit_and_differ() -> None:
    folders = [
        Path(f"/{root}/machines/{stack}/h{n}") for root in "ab" for stack in ("local", "x" * 90) for n in range(50)
    ]
    names = [names_of(folder) for folder in folders]
    assert all(len(each.bridge) <= 15 and len(each.veth) <= 15 for each in names)
    assert len({each.container for each in names}) == len(folders)
    assert len({each.bridge for each in names}) == 2  # one a root


def test_names_do_not_depend_on_how_the_folder_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert names_of(Path("m/s/n")) == names_of(tmp_path / "m/s/n")


def test_the_state_goes_through_json_and_back() -> None:
    state = MachineState("nspawn", "Why.", "web", "local", "10.70.0.11", 22, {"8443": 20001}, "/x/m/local/web")
    record = Record("f" * 16, state, "/base", 2, 2048)
    assert MachineState.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    assert state.host_port(8443) == 20001
    assert state.host_port(22) == 22


def test_the_private_host_key_is_in_no_repr(plain: MachineSpec, host_key: KeyPair) -> None:
    assert "PRIVATE" not in repr(plain)
    assert "PRIVATE" not in repr(host_key)


@pytest.mark.parametrize("field", ["name", "authorized_key", "host_key_public", "base"])
def test_what_is_written_into_the_disk_is_part_of_the_fingerprint(plain: MachineSpec, field: str) -> None:
    value = Path("/other") if field == "base" else "other"
    assert fingerprint(dataclasses.replace(plain, **{field: value})) != fingerprint(plain)


def test_size_and_forwards_are_not(plain: MachineSpec) -> None:
    assert fingerprint(dataclasses.replace(plain, cpus=8, memory_mib=1, forward=())) == fingerprint(plain)


def test_a_guest_gets_its_keys_and_no_other_host_key(plain: MachineSpec, user_key: KeyPair, host_key: KeyPair) -> None:
    files = {file.path: file for file in guest_files(plain, NETWORK, container=True)}
    assert files["/root/.ssh/authorized_keys"].content.strip() == user_key.public
    private = files["/etc/ssh/ssh_host_ed25519_key"]
    assert private.content.strip() == host_key.private.strip()
    assert private.mode == 0o600
    assert "HostKey /etc/ssh/ssh_host_ed25519_key\n" in files["/etc/ssh/sshd_config.d/10-slipway.conf"].content
    assert "Address=10.70.0.11/24\nGateway=10.70.0.1\n" in files["/etc/systemd/network/10-slipway.network"].content
    assert files["/etc/resolv.conf"].content == "nameserver 192.0.2.53\n"
    assert files["/etc/systemd/system/apt-daily.timer"].link == "/dev/null"


def test_a_new_host_key_means_a_new_machine_id(plain: MachineSpec) -> None:
    def machine_id(spec: MachineSpec) -> str:
        return next(file.content for file in guest_files(spec, NETWORK, container=True) if "machine-id" in file.path)

    assert machine_id(plain) == machine_id(plain)
    assert machine_id(plain) != machine_id(dataclasses.replace(plain, host_key_public=new_key().public))


@pytest.mark.parametrize("line", ["", "ssh-rsa AAAA", "ssh-ed25519", "ssh-ed25519 not/base64!"])
def test_what_is_no_ed25519_key_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        host_key_blob(line)
