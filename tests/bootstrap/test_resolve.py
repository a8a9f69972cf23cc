"""`slipway lock` on real apt: the base's own lists, and a STUB of NVIDIA's archive with its names and dependencies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.commands import resolve
from bootstrap.commands.resolve import bare_tree, resolve_packages
from slipway.errors import ReleaseError
from slipway.releases import Release, check_lock, compute_lock, load_lock, load_release
from tests.support.nvidia.archive import CUDA, TOOLKIT, NvidiaArchive
from tools import cache

pytestmark = [pytest.mark.net, pytest.mark.hosts, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
R580 = load_release("r580-2026.11-debian-12")


@pytest.fixture(scope="module")
def archive() -> Iterator[NvidiaArchive]:
    with NvidiaArchive(cache.folder("tests", "nvidia").parent).serve("127.0.0.1") as served:
        yield served


def sources(archive: NvidiaArchive) -> list[str]:
    return [f"deb {archive.url}/{path} ./" for path in (CUDA, TOOLKIT)]


def test_a_release_for_cpus_resolves_to_its_lock() -> None:
    release = load_release("local-2026.11")
    assert resolve_packages(release, ROOT).packages == load_lock(release.name).packages


@pytest.mark.parametrize("name", ["r580-2026.11-debian-12", "r620-2026.11-debian-12"])
def test_a_gpu_release_resolves_to_one_version_though_there_are_others(archive: NvidiaArchive, name: str) -> None:
    release = load_release(name)
    assert release.gpu is not None
    lock = compute_lock(release, resolve_packages(release, ROOT, sources(archive), archive.key))
    assert check_lock(release, lock) == ()
    ours = {name: version for name, version in lock.gpu.items() if "nvidia" in name and "container" not in name}
    assert {version.rpartition("-")[0] for version in ours.values()} == {release.gpu.driver}
    assert lock.gpu["dkms"], "what the driver draws in is locked with it"
    assert set(lock.nvswitch) == {"libnvidia-nscq", "nvidia-fabricmanager"}
    assert "libibumad3" in lock.nvlink5
    assert not set(lock.packages) & set(lock.gpu)
    assert (lock.key, lock.key_fingerprint) == (archive.key, archive.fingerprint)
    assert lock.sources[0].startswith(f"Types: deb\nURIs: {archive.url}")


def test_a_version_that_the_archive_does_not_have(archive: NvidiaArchive) -> None:
    assert R580.gpu is not None
    older = R580.model_copy(update={"gpu": R580.gpu.model_copy(update={"driver": "580.65.06", "fabric_manager": None})})
    with pytest.raises(ReleaseError, match=r"Unable to locate package nvidia-driver-pinning-580"):
        resolve_packages(older, ROOT, sources(archive), archive.key)


def test_an_archive_signed_by_another_key(archive: NvidiaArchive, tmp_path: Path) -> None:
    other = NvidiaArchive(tmp_path)
    assert other.fingerprint != archive.fingerprint
    with pytest.raises(ReleaseError, match="apt cannot resolve its packages"):
        resolve_packages(R580, ROOT, sources(archive), other.key)


@pytest.mark.parametrize(("key", "said"), [("nothing", "the key cannot be read"), (None, "and NVIDIA's is EB693B30")])
def test_another_key_than_the_releases_own(archive: NvidiaArchive, key: str | None, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        resolve_packages(R580, ROOT, (), key or archive.key)


def test_the_releases_own_archive_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(resolve.urllib.request, "urlopen", unreachable)
    with pytest.raises(
        ReleaseError, match=r"key cannot be fetched from https://.*/debian12/.*no route to host"
    ) as caught:
        resolve_packages(R580, ROOT)
    assert "--source" in caught.value.fix


def test_a_system_without_a_base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    release: Release = load_release("r580-2026.11-ubuntu-24.04")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=fedora\nVERSION_ID="42"\n')
    monkeypatch.setattr(resolve, "LOCAL", tmp_path)
    with pytest.raises(ReleaseError, match=r"no base on this machine is one of ubuntu:24\.04"):
        resolve_packages(release, ROOT, ["deb http://mirror.example/ /"])
    (tmp_path / "etc/os-release").write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
    assert bare_tree(release, ROOT) == tmp_path, "a computer that runs the release's system is its own base"
