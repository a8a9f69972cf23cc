"""The shell scripts behind `make install` and `make up`, run with stand-ins for what they call."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

UV = """\
#!/bin/sh
echo "$@" >>"$CALLS"
mkdir -p .venv/bin
touch .venv/bin/python
chmod +x .venv/bin/python
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    (root / "tools").mkdir(parents=True)
    for name in ("install.sh", "need.sh", "python.sh", "uv.txt"):
        shutil.copy(ROOT / "tools" / name, root / "tools" / name)
    (root / "uv.lock").write_text("lock\n")
    (root / "pyproject.toml").write_text("[project]\n")
    digest = subprocess.run(["sha256sum", "tools/uv.txt"], cwd=root, capture_output=True, text=True, check=True).stdout
    uv = tmp_path / "cache/uv" / digest[:16] / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(UV)
    uv.chmod(0o755)
    return root


def run(root: Path, *argv: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SLIPWAY_CACHE": str(root.parent / "cache"), "CALLS": str(root.parent / "calls")}
    return subprocess.run(
        argv, cwd=root, env={**env, "PATH": path or env["PATH"]}, capture_output=True, text=True, check=False
    )


def calls(root: Path) -> list[str]:
    path = root.parent / "calls"
    return path.read_text().splitlines() if path.exists() else []


def fake(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_install_syncs_from_the_lock_once(checkout: Path) -> None:
    assert run(checkout, "tools/install.sh").returncode == 0
    again = run(checkout, "tools/install.sh")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    (call,) = calls(checkout)
    assert call.startswith("sync --frozen")


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml", "tools/uv.txt"])
def test_install_syncs_again_when_the_lock_or_the_project_changed(checkout: Path, name: str) -> None:
    run(checkout, "tools/install.sh")
    uv = next((checkout.parent / "cache/uv").iterdir())
    (checkout / name).write_text((checkout / name).read_text() + "# changed\n")
    if name == "tools/uv.txt":  # another installer, too: put the stand-in where it will be looked for
        digest = run(checkout, "sha256sum", "tools/uv.txt").stdout[:16]
        shutil.copytree(uv, uv.parent / digest)
    run(checkout, "tools/install.sh")
    assert len(calls(checkout)) == 2


def test_a_failed_sync_leaves_no_stamp(checkout: Path) -> None:
    run(checkout, "tools/install.sh")
    (checkout / "uv.lock").write_text("changed\n")
    next((checkout.parent / "cache/uv").glob("*/uv")).write_text("#!/bin/sh\necho 'hash mismatch' >&2\nexit 2\n")
    failed = run(checkout, "tools/install.sh")
    assert failed.returncode == 2
    assert "hash mismatch" in failed.stderr
    assert not list((checkout / ".venv").glob(".slipway-*"))


def test_an_old_python_is_refused_in_a_sentence(checkout: Path, tmp_path: Path) -> None:
    fake(tmp_path / "old", "python3", 'case "$2" in *platform*) echo 3.9.2 ;; *) exit 1 ;; esac')
    said = run(checkout, "tools/install.sh", path=f"{tmp_path / 'old'}:{os.environ['PATH']}")
    assert said.returncode == 1
    assert said.stderr.startswith("slipway: python3 is 3.9.2, which is too old. Install Python 3.11 or newer")


def test_up_without_root_says_what_needs_it_before_anything_is_built(checkout: Path, tmp_path: Path) -> None:
    fake(tmp_path / "user", "id", "echo 1000")
    fake(tmp_path / "user", "apt-get", 'echo apt-get >>"$CALLS"')
    said = run(checkout, "tools/need.sh", path=f"{tmp_path / 'user'}:{os.environ['PATH']}")
    assert said.returncode == 1
    for word in ("needs root", "mmdebstrap", "systemd-nspawn", "bridge", "Nothing was built or changed"):
        assert word in said.stderr
    assert calls(checkout) == []


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with a shell's tools and python3, and none of the system tools that a machine needs."""
    folder = tmp_path / "bare"
    fake(folder, "id", "echo 0")
    for name in ("bash", "cat", "dirname", "readlink", "mktemp", "rm", "tail", "python3", "ip", "iptables", "mount"):
        found = sys.executable if name == "python3" else shutil.which(name)
        fake(folder, name, f'exec {found or "/bin/true"} "$@"')
    return folder


def test_missing_tools_are_installed_by_apt_get(checkout: Path, bare: Path) -> None:
    fake(bare, "apt-get", 'echo "$@" >>"$CALLS"')
    said = run(checkout, "tools/need.sh", path=str(bare))
    update, install = calls(checkout)
    assert update == "update"
    assert install.startswith("install --yes --no-install-recommends mmdebstrap systemd-container")
    assert "installing mmdebstrap systemd-container" in said.stderr


def test_an_apt_get_that_fails_is_quoted_with_the_command_to_run(checkout: Path, bare: Path) -> None:
    fake(bare, "apt-get", "echo 'E: Could not get lock' >&2; exit 100")
    said = run(checkout, "tools/need.sh", path=str(bare))
    assert said.returncode == 1
    assert "Could not get lock" in said.stderr
    assert "run `apt-get install mmdebstrap systemd-container" in said.stderr


def test_where_there_is_no_apt_get_the_packages_are_named(checkout: Path, bare: Path) -> None:
    said = run(checkout, "tools/need.sh", path=str(bare))
    assert said.returncode == 1
    assert "missing: mmdebstrap systemd-container" in said.stderr
