"""tools/bin/pulumi, with a script in place of the real CLI that records how it was called."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.terminal import foreground

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "# the local stack\nconfig:\n  slipway:model: smol\n"
SALT = "encryptionsalt: v1:abc=:v1:def\n"

STUB = """\
#!/bin/bash
here=$(dirname "$0")
if [ "$1 $2" = "stack --show-name" ]; then cat "$here/selected"; exit; fi
printf '%s\\n' "$*" >"$here/arguments"
echo "${PULUMI_OPTION_CONFIG_FILE-none}" >"$here/config-file"
echo "${PULUMI_OPTION_PRESERVE_CONFIG-none}" >"$here/preserve"
[ -z "$PULUMI_OPTION_CONFIG_FILE" ] || cp "$PULUMI_OPTION_CONFIG_FILE" "$here/seen"
. "$here/act"
"""


@dataclass
class Checkout:
    """A checkout with the shim, and a user's own CLI on PATH: the stub."""

    root: Path
    bin: Path

    @property
    def tracked(self) -> Path:
        return self.root / "stacks/Pulumi.local.yaml"

    @property
    def local(self) -> Path:
        return self.root / ".slipway/local"

    def act(self, script: str) -> None:
        (self.bin / "act").write_text(script)

    def said(self, name: str) -> str:
        return (self.bin / name).read_text().strip()

    def start(self, *argv: str, cwd: Path | None = None, stack: str | None = None) -> subprocess.Popen[str]:
        ours = {"PULUMI_STACK", "SLIPWAY_STATE", "PULUMI_OPTION_CONFIG_FILE"}
        env = {name: value for name, value in os.environ.items() if name not in ours}
        env["PATH"] = f"{self.root / 'tools/bin'}:{self.bin}:{env['PATH']}"
        if stack is not None:
            env["PULUMI_STACK"] = stack
        return subprocess.Popen(
            foreground(str(self.root / "tools/bin/pulumi"), *argv),
            cwd=cwd or self.root,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *argv: str, cwd: Path | None = None, stack: str | None = None) -> int:
        process = self.start(*argv, cwd=cwd, stack=stack)
        process.communicate(timeout=30)
        return process.returncode


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, user = tmp_path / "checkout", tmp_path / "user bin"
    for folder in ("tools/bin", "tools/pulumi", "bootstrap", "slipway", "stacks", ".slipway/local"):
        (root / folder).mkdir(parents=True)
    for file in (*ROOT.glob("tools/*.py"), ROOT / "tools/bin/pulumi", ROOT / "bootstrap/paths.py"):
        shutil.copy(file, root / file.relative_to(ROOT))
    for name in ("errors.py", "paths.py"):
        shutil.copy(ROOT / "slipway" / name, root / "slipway" / name)
    for package in ("bootstrap", "slipway"):
        (root / package / "__init__.py").touch()
    (root / "Pulumi.yaml").write_text("name: slipway\nruntime: python\nstackConfigDir: stacks\n")
    (root / "stacks/Pulumi.local.yaml").write_text(SETTINGS)
    (root / ".slipway/local/encryptionsalt").write_text(SALT)
    user.mkdir()
    (user / "pulumi").write_text(STUB)
    (user / "pulumi").chmod(0o755)
    (user / "selected").write_text("staging\n")
    made = Checkout(root, user)
    made.act("exit 0")
    return made


@pytest.mark.parametrize(
    "argv",
    [
        ["up", "--stack", "local", "--yes"],
        ["preview", "--stack=local"],
        ["-s", "local", "refresh"],
        ["destroy", "-slocal"],
        ["--color", "never", "up", "-s", "organization/slipway/local"],
    ],
)
def test_the_local_stack_is_given_a_copy_with_the_salt(checkout: Checkout, argv: list[str]) -> None:
    assert checkout.run(*argv) == 0
    assert checkout.said("arguments") == " ".join(argv)
    assert checkout.said("config-file") == str(checkout.local / "Pulumi.local.yaml")
    assert checkout.said("preserve") == "true"
    assert (checkout.bin / "seen").read_text() == SETTINGS + SALT
    assert checkout.tracked.read_text() == SETTINGS
    assert sorted(path.name for path in checkout.local.iterdir()) == ["Pulumi.local.yaml", "encryptionsalt"]


def test_the_stack_of_the_environment_and_the_selected_one_count_too(checkout: Checkout) -> None:
    checkout.run("up", stack="local")
    assert checkout.said("config-file").endswith("Pulumi.local.yaml")
    checkout.run("up")
    assert checkout.said("config-file") == "none"
    (checkout.bin / "selected").write_text("local\n")
    checkout.run("up")
    assert checkout.said("config-file").endswith("Pulumi.local.yaml")


def test_other_stacks_and_commands_are_left_alone(checkout: Checkout) -> None:
    for argv in (["up", "--stack", "prod"], ["up", "-s", "prod", "--message", "local"], ["version"], ["stack", "-sx"]):
        assert checkout.run(*argv) == 0
        assert checkout.said("config-file") == "none"


def test_a_project_elsewhere_is_left_alone(checkout: Checkout, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "Pulumi.yaml").write_text("name: other\nruntime: yaml\n")
    checkout.run("up", "--stack", "local", cwd=other)
    assert checkout.said("config-file") == "none"
    checkout.run("up", "--stack", "local", "--cwd", str(other))
    assert checkout.said("config-file") == "none"
    checkout.run("-C", str(checkout.root / "stacks"), "up", "--stack", "local", cwd=other)
    assert checkout.said("config-file") == str(checkout.local / "Pulumi.local.yaml")


def test_what_config_set_changes_goes_to_the_tracked_file_without_the_salt(checkout: Checkout) -> None:
    checkout.act('sed -i "s/smol/large/" "$PULUMI_OPTION_CONFIG_FILE"')
    assert checkout.run("config", "set", "model", "large", "--stack", "local") == 0
    assert checkout.tracked.read_text() == SETTINGS.replace("smol", "large")
    assert (checkout.local / "encryptionsalt").read_text() == SALT


def test_up_with_config_saves_settings_too(checkout: Checkout) -> None:
    checkout.act('sed -i "s/smol/large/" "$PULUMI_OPTION_CONFIG_FILE"; exit 7')
    assert checkout.run("up", "--stack", "local", "-c", "slipway:model=large") == 7
    assert checkout.tracked.read_text() == SETTINGS.replace("smol", "large")


def test_a_salt_that_pulumi_made_is_kept_in_the_state_folder(checkout: Checkout) -> None:
    (checkout.local / "encryptionsalt").unlink()
    checkout.act(f'printf "{SALT}" >>"$PULUMI_OPTION_CONFIG_FILE"'.replace("\n", "\\n"))
    checkout.run("config", "set", "--secret", "a", "b", "--stack", "local")
    assert checkout.tracked.read_text() == SETTINGS
    assert (checkout.local / "encryptionsalt").read_text() == SALT


def test_a_salt_that_stack_init_writes_into_the_tracked_file_is_moved(checkout: Checkout) -> None:
    (checkout.local / "encryptionsalt").unlink()
    checkout.act(f'printf "{SALT}" >>"{checkout.tracked}"'.replace("\n", "\\n"))
    checkout.run("stack", "init", "local")
    assert checkout.tracked.read_text() == SETTINGS
    assert (checkout.local / "encryptionsalt").read_text() == SALT


def test_a_command_that_changes_nothing_does_not_touch_the_tracked_file(checkout: Checkout) -> None:
    before = checkout.tracked.stat().st_mtime_ns
    checkout.run("config", "--stack", "local")
    checkout.run("stack", "output", "--stack", "local")
    assert checkout.tracked.stat().st_mtime_ns == before


@pytest.mark.parametrize("command", ["up", "config", "version"])
def test_the_exit_code_passes_through(checkout: Checkout, command: str) -> None:
    checkout.act("exit 42")
    assert checkout.run(command, "--stack", "local") == 42


@pytest.mark.parametrize("command", ["up", "config"])
def test_ctrl_c_reaches_the_cli_once_and_is_waited_for(checkout: Checkout, command: str) -> None:
    checkout.act(
        'count=0; trap "count=\\$((count + 1))" INT; touch "$here/ready"\n'
        'for _ in 1 2 3 4 5 6 7 8; do sleep 0.1 & wait $!; done; echo "$count" >"$here/interrupts"; exit 9'
    )
    process = checkout.start(command, "--stack", "local")
    deadline = time.monotonic() + 20
    while not (checkout.bin / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: everybody in the foreground gets it
    process.communicate(timeout=20)
    assert process.returncode == 9
    assert checkout.said("interrupts") == "1"


def test_without_any_cli_it_says_how_to_get_one(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.bin / "pulumi").unlink()
    process = subprocess.run(
        [str(checkout.root / "tools/bin/pulumi"), "up"],
        cwd=checkout.root,
        env={
            "PATH": f"{Path(shutil.which('python3') or '').parent}:/usr/bin:/bin",
            "SLIPWAY_CACHE": str(tmp_path / "c"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert "make images" in process.stderr
    assert "Traceback" not in process.stderr
