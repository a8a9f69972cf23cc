"""Building Go programs from the locked sources under tools/, for this machine and without C."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from slipway.errors import SlipwayError
from tools import progress

MINIMUM = (1, 26)
"""What the go.mod files ask for. An older Go would try to download a newer one."""
FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
"""Paths and the state of the checkout stay out of the binary; the locked modules are never changed."""


def sources(folder: Path) -> list[bytes]:
    """Names and contents of everything that goes into a build, for the cache's key."""
    parts: list[bytes] = [" ".join(FLAGS).encode()]
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (path.suffix == ".go" or path.name in {"go.mod", "go.sum"}):
            parts += [str(path.relative_to(folder)).encode(), path.read_bytes()]
    return parts


def check_go(what: str) -> None:
    """Raise SlipwayError when this machine has no Go, or one that is too old to build `what`."""
    fix = f"Install Go {MINIMUM[0]}.{MINIMUM[1]} or newer: https://go.dev/doc/install"
    if shutil.which("go") is None:
        raise SlipwayError("Go is not installed, and is needed to build it once", where=what, fix=fix)
    text = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < MINIMUM:
        raise SlipwayError(f"Go is {text.strip()}, which is too old to build it", where=what, fix=fix)


def build(folder: Path, package: str, output: Path, what: str, *, ldflags: Sequence[str] = ()) -> None:
    """Build one package of the module in `folder`."""
    progress.run(
        ["go", "build", *FLAGS, "-ldflags", " ".join(["-s", "-w", *ldflags]), "-o", str(output), package],
        what,
        cwd=folder,
        env={"CGO_ENABLED": "0"},
        fix="Check that Go's module proxy can be reached (go env GOPROXY), then run it again",
    )


def module_dir(folder: Path, module: str) -> Path:
    """Where Go keeps the source of a module that the one in `folder` needs."""
    found = subprocess.run(
        ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0 or not found.stdout.strip():
        raise SlipwayError(found.stderr.strip() or "the module is not there", where=module, fix="Run it again")
    return Path(found.stdout.strip())
