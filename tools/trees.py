"""Root file systems from Debian packages, by mmdebstrap."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from tools import apt, cache, progress

EPOCH = "1704067200"
"""Timestamp for everything that would else carry the time of the build, so that equal packages give equal bytes."""

BULK = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/log",
)
"""What nothing on a server reads; half of a minimal tree."""


RECIPES = cache.ROOT / "tools/recipes"


def recipe(name: str, names: Sequence[str], what: str) -> dict[str, Any]:
    """The recipe `name`, one of `names`, for `what` ("an image"). Raises SlipwayError for a name that has none."""
    path = RECIPES / f"{name}.toml"
    if name not in names:
        raise SlipwayError(
            f"there is no recipe for {what} of this name", where=str(path), fix=f"Name one of: {', '.join(names)}"
        )
    return tomllib.loads(path.read_text())


def debstrap(
    tree: Path,
    suite: str,
    packages: Sequence[str],
    what: str,
    *,
    variant: str = "minbase",
    components: str = "main",
    options: Sequence[str] = (),
) -> None:
    """Make `tree` the root file system of a Debian `suite` with these packages. Needs root.

    Raises SlipwayError when packages cannot be had, with apt's own last lines.
    """
    mirrors = apt.find_mirrors(apt.read_sources())
    tree.parent.mkdir(parents=True, exist_ok=True)
    aptopts = [f"--aptopt={line}" for line in apt.proxy_options()]
    progress.run(
        [
            "mmdebstrap",
            "--mode=root",
            f"--variant={variant}",
            f"--include={','.join(packages)}",
            '--aptopt=Acquire::Languages "none";',
            '--aptopt=APT::Install-Recommends "false";',
            "--aptopt=Acquire::Retries 3;",
            *aptopts,
            *options,
            suite,
            str(tree),
            *apt.suite_lines(suite, mirrors, components),
        ],
        what,
        env={"SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        fix="Check that the mirror in /etc/apt has this release, then run it again",
    )
    (tree / "etc/hostname").write_text("localhost\n")
    (tree / "etc/resolv.conf").unlink(missing_ok=True)
    (tree / "etc/resolv.conf").write_text("")


def strip(tree: Path) -> None:
    """Take out what a container image does not need: documentation, caches, logs, apt's lists, device nodes."""
    for name in (*BULK, "var/lib/apt/lists", "var/lib/dpkg/info", "dev", "proc", "sys", "run", "tmp"):
        path = tree / name
        if path.is_dir():
            cache.remove_tree(path)
            path.mkdir(mode=0o1777 if name == "tmp" else 0o755)
            path.chmod(0o1777 if name == "tmp" else 0o755)
    for name in (
        "etc/machine-id",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/apt/sources.list",
        "var/lib/dbus/machine-id",
    ):
        (tree / name).unlink(missing_ok=True)
    for backup in (*tree.glob("etc/*-"), *tree.glob("var/lib/dpkg/*-old")):
        backup.unlink()
    for cached in tree.glob("usr/**/__pycache__"):
        shutil.rmtree(cached)
