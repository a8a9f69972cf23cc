"""What a real Kubernetes is built from: versions out of the locks, and folders of the cache that change with them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from tools import kubernetes

SOURCES = kubernetes.SOURCES


def test_versions_come_from_the_locks() -> None:
    assert re.fullmatch(r"1\.\d+\.\d+", kubernetes.kubernetes_version((SOURCES / "kubebox/go.mod").read_text()))
    sdk = kubernetes.provider_version(kubernetes.PROJECT.read_text())
    assert f"pulumi-kubernetes=={sdk}" in kubernetes.PROJECT.read_text()


@pytest.mark.parametrize("read", [kubernetes.kubernetes_version, kubernetes.provider_version])
def test_a_version_that_is_not_pinned_is_said(read: object) -> None:
    assert callable(read)
    with pytest.raises(SlipwayError, match="is not"):
        read("module empty\n")


@pytest.mark.parametrize("part", kubernetes.PARTS)
def test_another_lock_is_another_folder(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kubernetes.path(part)
    for name in ("SOURCES", "PROVIDER_SOURCE"):
        copy = tmp_path / name
        shutil.copytree(getattr(kubernetes, name), copy)
        monkeypatch.setattr(kubernetes, name, copy)
    assert kubernetes.path(part) == before, "the key is of what it is made from, not of where that lies"
    for lock in tmp_path.rglob("go.mod"):
        lock.write_text(lock.read_text() + "\n// changed\n")
    assert kubernetes.path(part) != before


def test_every_part_that_is_a_module_has_its_hashes() -> None:
    for module in [*SOURCES.iterdir(), kubernetes.PROVIDER_SOURCE]:
        needs = "require" in (module / "go.mod").read_text()
        assert needs == (module / "go.sum").exists(), module
