"""What the `local` stack needs besides the tracked files: a backend in a folder, a passphrase, and a salt.

    python3 -m tools.local_stack prepare    make what is missing, and take away the lock of a Pulumi that was killed
    python3 -m tools.local_stack env        the same, and print `export` lines for a shell
    python3 -m tools.local_stack exists     exit 0 when there is a stack to take down, 1 when not
    python3 -m tools.local_stack remove     forget the stack; its machines must be gone

All of it lies in the state folder:

    .slipway/pulumi/                 the backend: stack states and their history
    .slipway/home/                   PULUMI_HOME: workspaces, credentials, plug-ins
    .slipway/local/passphrase        random, mode 0600
    .slipway/local/encryptionsalt    the line that Pulumi would write into the tracked settings (see tools/bin/pulumi)

Passphrase and salt stay when the stack goes: secrets that somebody put into its settings stay readable.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bootstrap.paths import state_dir
from slipway.errors import SlipwayError
from tools import cache, pulumi_cli
from tools.progress import say

PROJECT = "slipway"
STACK = "local"


def environment(state: Path) -> dict[str, str]:
    """The variables that make Pulumi work on the local backend, without PATH."""
    return {
        "PULUMI_BACKEND_URL": f"file://{state / 'pulumi'}",
        "PULUMI_HOME": str(state / "home"),
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(state / "local/passphrase"),
        # both would ask servers that are not there on a machine that reaches package registries only
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
    }


def exports(root: Path, state: Path, path: str) -> str:
    """`export` lines for a shell: `environment`, and a PATH with the CLI and the `slipway` command first."""
    first = [str(root / "tools/bin"), str(root / ".venv/bin")]
    rest = [entry for entry in path.split(os.pathsep) if entry not in first]
    said = {"PATH": os.pathsep.join([*first, *rest]), **environment(state)}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in said.items())


def exists(state: Path) -> bool:
    """Is there a stack in the backend?"""
    return _stack_file(state).exists()


def prepare(state: Path, pulumi: Path | None) -> None:
    """Make folders and passphrase, and the stack itself when there is a CLI to do it. Safe to repeat."""
    for folder in (state, state / "pulumi", state / "home", state / "local"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = state / "local/passphrase"
    if not passphrase.exists():
        descriptor = os.open(passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_urlsafe(32))
    _unlock(state)
    if pulumi is not None and not (exists(state) and (state / "local/encryptionsalt").exists()):
        _init(state, pulumi)


def remove(state: Path, pulumi: Path) -> None:
    """Forget the stack. Raises SlipwayError while it still has resources."""
    if exists(state):
        with tempfile.TemporaryDirectory(dir=state / "local") as project:
            _project(Path(project), state)
            _pulumi(pulumi, ["stack", "rm", STACK, "--yes", "--preserve-config"], Path(project), state)
    (state / "local/Pulumi.local.yaml").unlink(missing_ok=True)


def _unlock(state: Path) -> None:
    """Takes away the locks of Pulumi processes of this computer that are gone: SIGKILL, or a computer that went down.

    A lock is pid, user, host name and time in a file (pkg/backend/diy/lock.go of Pulumi); one that is not so, or of
    another computer, stays for `pulumi cancel`.
    """
    for path in (state / "pulumi/.pulumi/locks").glob("**/*.json"):
        try:
            lock = json.loads(path.read_text())
            pid, host = int(lock["pid"]), lock["hostname"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            name = ""
        # A number is given again: what runs under it now may be anything.
        if host == platform.node() and name != "pulumi":
            say(f"process {pid}, which had locked the stack, is gone; its lock is taken away")
            path.unlink(missing_ok=True)


def _init(state: Path, pulumi: Path) -> None:
    """Create the stack from a throw-away project of the same name, so that the tracked file is not written to."""
    salt = _salt_of_stack(state)  # a stack whose file was lost, with resources in it, still knows its salt
    if salt is None:
        with tempfile.TemporaryDirectory(dir=state / "local") as folder:
            settings = _project(Path(folder), state)
            if exists(state):
                _pulumi(pulumi, ["stack", "rm", STACK, "--yes", "--preserve-config"], Path(folder), state)
            init = ["stack", "init", STACK, "--no-select", "--secrets-provider", "passphrase"]
            _pulumi(pulumi, init, Path(folder), state)
            salt = yaml_value(settings.read_text(), "encryptionsalt")
    if salt is None:
        raise SlipwayError(
            "Pulumi made the stack without a salt", where=f"stack {STACK}", fix=f"Remove {state} and run it again"
        )
    (state / "local/encryptionsalt").write_text(f"encryptionsalt: {salt}\n")


def yaml_value(text: str, key: str) -> str | None:
    """The value of a top-level key with a plain scalar, in a file that Pulumi wrote."""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(f"{key}:")), None)


def _salt_of_stack(state: Path) -> str | None:
    if not exists(state):
        return None
    written = json.loads(_stack_file(state).read_text())
    provider = ((written.get("checkpoint") or {}).get("latest") or {}).get("secrets_providers") or {}
    salt = (provider.get("state") or {}).get("salt")
    return str(salt) if salt else None


def _stack_file(state: Path) -> Path:
    return state / f"pulumi/.pulumi/stacks/{PROJECT}/{STACK}.json"


def _project(folder: Path, state: Path) -> Path:
    """A project that is nothing but its name, with the salt that we have; returns its settings file of the stack."""
    (folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    settings = folder / f"Pulumi.{STACK}.yaml"
    salt = state / "local/encryptionsalt"
    settings.write_text(salt.read_text() if salt.exists() else "")
    return settings


def _pulumi(pulumi: Path, argv: Sequence[str], cwd: Path, state: Path) -> None:
    ran = subprocess.run(
        [str(pulumi), *argv, "--non-interactive"],
        cwd=cwd,
        env={**os.environ, **environment(state)},
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise SlipwayError(
            f"pulumi {' '.join(argv)} fails: {(ran.stderr or ran.stdout).strip()}",
            where=f"stack {STACK}",
            fix=f"Put that right, or start afresh without {state}",
        )


def main(argv: Sequence[str]) -> int:
    action = argv[0] if len(argv) == 1 else ""
    state = state_dir(cache.ROOT)
    cli = (pulumi_cli.installed(os.environ.get("PATH", "")) or pulumi_cli.built()) / "pulumi"
    try:
        if action == "exists":
            return 0 if exists(state) else 1
        if action in {"prepare", "env"}:
            prepare(state, cli if cli.exists() else None)
        elif action == "remove":
            remove(state, cli)
        else:
            say("usage: python3 -m tools.local_stack prepare|env|exists|remove")
            return 2
    except SlipwayError as error:
        say(str(error))
        return error.exit_code
    if action == "env":
        sys.stdout.write(exports(cache.ROOT, state, os.environ.get("PATH", "")))
        if not cli.exists():
            say("The Pulumi CLI is not built yet, and the local stack not made: run `make images`, then this again.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
