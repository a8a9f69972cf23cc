"""The shim and the local stack with the real Pulumi CLI, in a small project of the same name."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import pulumi_cli

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "# the local stack\nconfig:\n  slipway:model: smol\n"
PROJECT = (
    "name: slipway\nruntime: {name: python, options: {toolchain: pip, virtualenv: .venv}}\nstackConfigDir: stacks\n"
)
PROGRAM = """\
import pulumi

config = pulumi.Config()
pulumi.export("model", config.get("model"))
pulumi.export("key", config.get_secret("key"))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for folder in ("bootstrap", "slipway", "stacks"):
        (root / folder).mkdir(parents=True)
    shutil.copytree(ROOT / "tools", root / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "bootstrap/paths.py", root / "bootstrap/paths.py")
    for name in ("errors.py", "paths.py"):
        shutil.copy(ROOT / "slipway" / name, root / "slipway" / name)
    for package in ("bootstrap", "slipway"):
        (root / package / "__init__.py").touch()
    (root / ".venv").symlink_to(ROOT / ".venv")
    (root / "Pulumi.yaml").write_text(PROJECT)
    (root / "__main__.py").write_text(PROGRAM)
    (root / "stacks/Pulumi.local.yaml").write_text(SETTINGS)
    pulumi_cli.ensure()
    return root


def shell(root: Path, script: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "SLIPWAY_STATE"))}
    setup = 'set -e; exports=$(python3 -m tools.local_stack env); eval "$exports"; '
    ran = subprocess.run(["bash", "-c", setup + script], cwd=root, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.pulumi
@pytest.mark.slow
def test_the_life_of_a_local_stack_never_writes_a_salt_into_the_tracked_file(checkout: Path) -> None:
    tracked = checkout / "stacks/Pulumi.local.yaml"
    assert "+ 1 to create" in shell(checkout, "pulumi preview --stack local")
    assert "+ 1 created" in shell(checkout, "pulumi up --stack local --yes --skip-preview")
    assert "1 unchanged" in shell(checkout, "pulumi up --stack local --yes --skip-preview")
    assert tracked.read_text() == SETTINGS

    shell(checkout, "pulumi config set --stack local --secret key hunter2")
    assert "secure: v1:" in tracked.read_text()
    assert "encryptionsalt" not in tracked.read_text()
    shell(checkout, "pulumi up --stack local --yes --skip-preview")
    assert shell(checkout, "pulumi stack output key --show-secrets --stack local").strip() == "hunter2"
    assert shell(checkout, "pulumi config get key --stack local").strip() == "hunter2"

    before = tracked.read_text()
    shell(checkout, "pulumi destroy --stack local --yes --skip-preview; python3 -m tools.local_stack remove")
    assert shell(checkout, "pulumi config get key --stack local").strip() == "hunter2"  # the salt outlives the stack
    shell(checkout, "pulumi stack rm local --yes")
    assert tracked.read_text() == before
    outside = {path.name for path in checkout.iterdir()} - {"__pycache__"}
    assert outside == {
        ".slipway",
        ".venv",
        "Pulumi.yaml",
        "__main__.py",
        "bootstrap",
        "slipway",
        "stacks",
        "tools",
    }
