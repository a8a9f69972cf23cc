"""The state of the local stack: its folders, its passphrase, its salt, the exports of a shell."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from tools import local_stack

STUB = """\
#!/bin/sh
echo "$@" >>"$0.calls"
printf 'encryptionsalt: v1:made\\n' >Pulumi.local.yaml
"""


@pytest.fixture
def cli(tmp_path: Path) -> Path:
    path = tmp_path / "pulumi"
    path.write_text(STUB)
    path.chmod(0o755)
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def stack_file(state: Path) -> Path:
    return state / "pulumi/.pulumi/stacks/slipway/local.json"


def test_the_passphrase_is_random_private_and_kept(state: Path, tmp_path: Path) -> None:
    local_stack.prepare(state, None)
    first = (state / "local/passphrase").read_text()
    assert (state / "local/passphrase").stat().st_mode & 0o777 == 0o600
    assert len(first) >= 32
    local_stack.prepare(state, None)
    assert (state / "local/passphrase").read_text() == first
    local_stack.prepare(tmp_path / "other", None)
    assert (tmp_path / "other/local/passphrase").read_text() != first


def test_the_stack_is_made_from_a_throw_away_project(state: Path, cli: Path) -> None:
    local_stack.prepare(state, cli)
    assert (state / "local/encryptionsalt").read_text() == "encryptionsalt: v1:made\n"
    assert sorted(path.name for path in (state / "local").iterdir()) == ["encryptionsalt", "passphrase"]
    (call,) = Path(f"{cli}.calls").read_text().splitlines()
    assert call.startswith("stack init local --no-select --secrets-provider passphrase")


def test_a_stack_that_is_there_is_not_made_again(state: Path, cli: Path) -> None:
    local_stack.prepare(state, cli)
    stack_file(state).parent.mkdir(parents=True)
    stack_file(state).write_text("{}")
    local_stack.prepare(state, cli)
    assert len(Path(f"{cli}.calls").read_text().splitlines()) == 1


def test_a_lost_salt_is_found_in_the_stacks_state(state: Path, cli: Path) -> None:
    provider = {"type": "passphrase", "state": {"salt": "v1:kept"}}
    stack_file(state).parent.mkdir(parents=True)
    stack_file(state).write_text(json.dumps({"checkpoint": {"latest": {"secrets_providers": provider}}}))
    local_stack.prepare(state, cli)
    assert (state / "local/encryptionsalt").read_text() == "encryptionsalt: v1:kept\n"
    assert not Path(f"{cli}.calls").exists()


def test_the_lock_of_a_pulumi_that_is_gone_is_taken_away(state: Path, tmp_path: Path) -> None:
    folder = state / "pulumi/.pulumi/locks/organization/slipway/local"
    folder.mkdir(parents=True)
    named = Path(shutil.copy("/bin/sleep", tmp_path / "pulumi"))

    def lock(name: str, pid: int, host: str) -> Path:
        path = folder / f"{name}.json"
        path.write_text(json.dumps({"pid": pid, "username": "root", "hostname": host, "timestamp": "2026-11-25"}))
        return path

    gone = subprocess.Popen(["true"])
    gone.wait()
    with subprocess.Popen([named, "60"]) as alive:
        here = platform.node()
        stays = [lock("alive", alive.pid, here), lock("elsewhere", gone.pid, f"not-{here}"), folder / "odd.json"]
        stays[2].write_text("{")
        goes = [lock("gone", gone.pid, here), lock("given-again", os.getpid(), here)]
        local_stack.prepare(state, None)
        assert [path.exists() for path in (*stays, *goes)] == [True, True, True, False, False]
        alive.kill()


def test_a_cli_that_fails_is_quoted(state: Path, cli: Path) -> None:
    cli.write_text("#!/bin/sh\necho 'error: no space left' >&2\nexit 1\n")
    with pytest.raises(SlipwayError, match="no space left"):
        local_stack.prepare(state, cli)


def test_removing_forgets_the_stack_and_keeps_what_opens_its_secrets(state: Path, cli: Path) -> None:
    local_stack.prepare(state, cli)
    stack_file(state).parent.mkdir(parents=True)
    stack_file(state).write_text("{}")
    (state / "local/Pulumi.local.yaml").write_text("x")
    local_stack.remove(state, cli)
    assert "stack rm local --yes --preserve-config" in Path(f"{cli}.calls").read_text()
    assert sorted(path.name for path in (state / "local").iterdir()) == ["encryptionsalt", "passphrase"]


def test_the_exports_can_be_evaluated_by_a_shell(tmp_path: Path) -> None:
    root, state = tmp_path / "a checkout", tmp_path / "a checkout/.slipway"
    text = local_stack.exports(root, state, "/usr/bin:/bin")
    assert all(line.startswith("export ") for line in text.splitlines())
    ran = subprocess.run(
        ["/bin/sh", "-c", 'eval "$EXPORTS"; echo "$PATH|$PULUMI_BACKEND_URL"'],
        env={"EXPORTS": text},
        capture_output=True,
        text=True,
        check=True,
    )
    path, backend = ran.stdout.strip().split("|")
    assert path.split(os.pathsep) == [f"{root}/tools/bin", f"{root}/.venv/bin", "/usr/bin", "/bin"]
    assert backend == f"file://{state}/pulumi"


def test_evaluating_the_exports_twice_changes_nothing(tmp_path: Path) -> None:
    once = f"{tmp_path}/tools/bin:{tmp_path}/.venv/bin:/bin"
    assert f"export PATH={once}\n" in local_stack.exports(tmp_path, tmp_path / "s", once)
