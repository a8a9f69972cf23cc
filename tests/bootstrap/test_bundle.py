"""`slipway lock --bundle` on real apt: what is in the tar installs without any other archive."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from bootstrap.commands.bundle import write_bundle
from bootstrap.commands.resolve import bare_tree, parse_install, resolve_packages
from slipway.errors import ReleaseError
from slipway.releases import Lock, Release, compute_lock, load_lock, load_release
from tests.support.nvidia.archive import CUDA, TOOLKIT, NvidiaArchive
from tools import cache

pytestmark = [pytest.mark.net, pytest.mark.hosts, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
LOCAL = load_release("local-2026.11")


def installed_from(folder: Path, release: Release, lock: Lock) -> dict[str, str]:
    """What apt would install on the bare OS from the unpacked bundle alone, once it has checked every hash."""
    tree, work = bare_tree(release, ROOT), folder.with_name(folder.name + "-apt")
    for name in ("lists/partial", "cache/archives/partial", "none.d"):
        (work / name).mkdir(parents=True)
    (work / "sources.list").write_text(f"deb [trusted=yes] file:{folder} ./\n")
    settings = {
        "Dir::State::status": tree / "var/lib/dpkg/status",
        "Dir::State::lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": work / "none.d",
        "Dir::Etc::preferences": work / "none",
        "Dir::Etc::preferencesparts": work / "none.d",
        "APT::Sandbox::User": "root",
    }
    options = [text for name, value in settings.items() for text in ("-o", f"{name}={value}")]
    every = lock.packages | lock.gpu | lock.nvswitch | lock.nvlink5
    named = [f"{name}={version}" for name, version in every.items()]

    def run(*command: str) -> str:
        done = subprocess.run(["apt-get", *options, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("update", "--error-on=any")
    # A file's archive is not copied into the cache, but its hashes are checked as any other's.
    run("install", "--download-only", "-y", "--no-install-recommends", *named)
    return parse_install(run("-s", "install", "--no-install-recommends", *named))


def unpacked(bundle: Path, folder: Path) -> Path:
    with tarfile.open(bundle) as tar:
        assert {(item.mtime, item.uid, item.gid) for item in tar} == {(0, 0, 0)}
        tar.extractall(folder, filter="data")
    return folder


def test_the_local_release_installs_from_its_bundle(tmp_path: Path) -> None:
    lock = load_lock(LOCAL.name)
    assert write_bundle(LOCAL, lock, ROOT, tmp_path / "one.tar") == len(lock.packages)
    folder = unpacked(tmp_path / "one.tar", tmp_path / "one")
    installed = installed_from(folder, LOCAL, lock)
    assert installed == {name: lock.packages[name] for name in installed}
    assert {"docker.io", "containerd"} <= set(installed)
    said = (folder / "README").read_text()
    assert f'apt_sources: ["deb [trusted=yes] file:/srv/{LOCAL.name} ./"]' in said
    assert "engine-llama-cpp: {path: /srv/local-2026.11/images/engine-llama-cpp.tar, sha256: " in said
    assert "NVIDIA" not in said
    write_bundle(LOCAL, lock, ROOT, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_damaged_bundle_is_noticed(tmp_path: Path) -> None:
    lock = load_lock(LOCAL.name)
    write_bundle(LOCAL, lock, ROOT, tmp_path / "one.tar")
    folder = unpacked(tmp_path / "one.tar", tmp_path / "one")
    package = next((folder / "packages").glob("socat_*"))
    package.write_bytes(package.read_bytes()[:-1] + b"?")
    with pytest.raises(AssertionError, match="Hash Sum mismatch"):
        installed_from(folder, LOCAL, lock)


def test_a_gpu_release_and_what_only_some_hosts_need(tmp_path: Path) -> None:
    release = load_release("r580-2026.11-debian-12")
    with NvidiaArchive(cache.folder("tests", "nvidia").parent).serve("127.0.0.1") as archive:
        sources = [f"deb {archive.url}/{path} ./" for path in (CUDA, TOOLKIT)]
        lock = compute_lock(release, resolve_packages(release, ROOT, sources, archive.key))
        count = write_bundle(release, lock, ROOT, tmp_path / "one.tar")
    assert count == len(lock.packages) + len(lock.gpu) + len(lock.nvswitch) + len(lock.nvlink5)
    folder = unpacked(tmp_path / "one.tar", tmp_path / "one")
    installed = installed_from(folder, release, lock)
    assert installed["nvidia-kernel-open-dkms"] == "580.159.03-1"
    assert installed["datacenter-gpu-manager-4-core"].startswith("1:"), "an epoch does not get into the way"
    assert {"nvidia-fabricmanager", "nvlsm", "libibumad3"} <= set(installed)
    assert "  slipway:driver:\n    sources: [" in (folder / "README").read_text()
    # The archive is gone; the bundle is one, for a lock of its own.
    again = resolve_packages(release, ROOT, [f"deb [trusted=yes] file:{folder} ./"])
    assert compute_lock(release, again).gpu == lock.gpu


def test_a_package_that_no_archive_has(tmp_path: Path) -> None:
    lock = load_lock(LOCAL.name)
    gone = lock.model_copy(update={"packages": lock.packages | {"socat": "1.0-1"}})
    with pytest.raises(ReleaseError, match=r"Version '1\.0-1' for 'socat' was not found"):
        write_bundle(LOCAL, gone, ROOT, tmp_path / "one.tar")
    assert not (tmp_path / "one.tar").exists()
