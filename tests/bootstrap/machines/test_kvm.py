"""The probe that decides about KVM, run where it can run everywhere: without acceleration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.machines import kvm


def test_a_boot_sector_is_512_bytes_with_the_signature() -> None:
    sector = kvm.boot_sector()
    assert len(sector) == 512
    assert sector[510:] == b"\x55\xaa"


@pytest.mark.hosts
def test_the_boot_sector_boots() -> None:
    assert kvm.runs_boot_sector("tcg")


@pytest.mark.hosts
def test_a_sector_that_does_nothing_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "boot_sector", lambda: b"\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa")
    monkeypatch.setattr(kvm, "SECTOR_DEADLINE", 1.0)
    assert not kvm.runs_boot_sector("tcg")


@pytest.mark.hosts
def test_an_accelerator_that_qemu_refuses_is_no_proof() -> None:
    assert not kvm.runs_boot_sector("no-such-accelerator")


def test_the_answer_is_kept_until_the_next_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path | None] = []

    def probe(base: Path | None) -> str | None:
        asked.append(base)
        return f"refused {len(asked)}"

    monkeypatch.setattr(kvm, "probe", probe)
    assert kvm.refused(tmp_path, None) == "refused 1"
    assert kvm.refused(tmp_path, None) == "refused 1"
    record = tmp_path / kvm.RECORD
    record.write_text(json.dumps({**json.loads(record.read_text()), "boot_id": "an earlier one"}))
    assert kvm.refused(tmp_path, None) == "refused 2"
    record.write_text("half a fi")
    assert kvm.refused(tmp_path, None) == "refused 3"


def test_kvm_is_taken_only_when_both_the_sector_and_a_kernel_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = True
    sector, kernel = True, True
    monkeypatch.setattr(kvm.os, "access", lambda path, mode: device)
    monkeypatch.setattr(kvm, "runs_boot_sector", lambda accel: sector)
    monkeypatch.setattr(kvm, "boots_kernel", lambda accel, base: kernel)
    assert kvm.probe(tmp_path) is None
    kernel = False
    assert "kernel did not boot" in (kvm.probe(tmp_path) or "")
    sector = False
    assert "boot sector did not run" in (kvm.probe(tmp_path) or "")
    device = False
    assert "/dev/kvm is not there" in (kvm.probe(tmp_path) or "")
