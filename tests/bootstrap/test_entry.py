"""The `slipway` command with its real effects, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bootstrap.commands.resolve import parse_install
from tests.support.pulumi import ROOT

LOCAL = "stacks/Pulumi.local.yaml"
HEAVY = ("pydantic", "jinja2", "yaml", "rich", "paramiko", "pulumi", "httpx", "cryptography", "grpc")


def slipway(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("slipway")), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nsys.argv = ['slipway', '--help']\nfrom bootstrap.entry import main\n"
        f"try:\n    main()\nexcept SystemExit:\n    print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "Say every problem of a stack file" in shown
    assert shown.splitlines()[-1] == "[]"


def test_check_says_what_is_right_and_what_is_wrong(tmp_path: Path) -> None:
    assert slipway("check", LOCAL).returncode == 0
    broken = tmp_path / "Pulumi.broken.yaml"
    broken.write_text("config:\n  slipway:provider: locl\n  slipway:release: local-2026.12\n  slipway:model: {}\n")
    said = slipway("check", str(broken))
    assert said.returncode == 2
    assert len(said.stderr.splitlines()) == 3
    assert "Did you mean local?" in said.stderr
    assert "Traceback" not in said.stderr


def test_plan_shows_the_arithmetic() -> None:
    plan = json.loads(slipway("plan", LOCAL, "--json").stdout)
    assert [host["name"] for host in plan["hosts"]] == ["local-0"]
    assert "MiB at" in plan["deadlines"]["health"]["why"]


def test_render_writes_the_files_of_a_host_and_no_secret(tmp_path: Path) -> None:
    shown = slipway("render", LOCAL, "--out", str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {"etc/slipway/haproxy.cfg", "etc/systemd/system/slipway-engine-0.service"} <= written
    assert not any("keys.acl" in path for path in written)


def test_the_locks_in_the_repository_are_current() -> None:
    checked = slipway("lock", "--check")
    assert checked.returncode == 0, checked.stderr


def test_a_project_has_releases_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "releases").mkdir()
    for suffix in (".toml", ".lock.toml"):
        text = (ROOT / "slipway/releases" / f"local-2026.11{suffix}").read_text()
        (tmp_path / "releases" / f"mine-1{suffix}").write_text(text.replace("local-2026.11", "mine-1"))
    stack = tmp_path / "Pulumi.mine.yaml"
    stack.write_text((ROOT / LOCAL).read_text().replace("local-2026.11", "mine-1"))
    assert slipway("check", str(stack)).returncode == 2, "another folder's project does not know it"
    checked = slipway("check", str(stack), folder=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    listed = slipway("releases", folder=tmp_path).stdout
    assert {"mine-1", "local-2026.11"} <= {line.split()[0] for line in listed.splitlines()}
    stale = slipway("plan", str(stack), folder=tmp_path)
    assert "slipway lock --release mine-1" in stale.stderr, "a lock is of one release by its name"


def test_a_simulated_install_is_read() -> None:
    text = (
        "NOTE: This is only a simulation!\n"
        "Inst runc (1.1.5+ds1-1+deb12u1 Debian:12.11/oldstable [amd64])\n"
        "Inst curl [7.88.1-10+deb12u14] (7.88.1-10+deb12u15 Debian-Security:12/oldstable-security [amd64])\n"
        "Conf runc (1.1.5+ds1-1+deb12u1 Debian:12.11/oldstable [amd64])\n"
    )
    assert parse_install(text) == {"runc": "1.1.5+ds1-1+deb12u1", "curl": "7.88.1-10+deb12u15"}
