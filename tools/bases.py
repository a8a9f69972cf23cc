"""The base file systems that local machines boot from, built from Debian packages into the cache.

    python3 -m tools.bases build [NAME…]    build what is missing (default: bookworm); print a line of JSON a base
    python3 -m tools.bases show [NAME…]     the same for what is there, without building

    <cache>/bases/<name>-<16 hex>/tree      the root file system; an overlay's lower layer, never written to
    <cache>/bases/<name>-<16 hex>/{vmlinuz,initrd.img,disk.img}    instead of it for a virtual machine

No base carries a key, a host key or a machine id: each machine gets its own. apt's package lists are in it, so that a
machine's first install does not fetch them again. It carries the mirrors of the machine that built it, which are part
of the hash.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from tools import apt, cache, progress, trees

NAMES = ("bookworm", "bookworm-python", "bookworm-vm", "trixie")
REVISION = 1
"""Raise it when the code here or in `trees` makes something else out of the same recipe."""

SSHD = """\
# The one who converges this host opens several sessions at once over one connection.
MaxSessions 50
# Looking up the name of the one who connects takes seconds where no name server answers.
UseDNS no
"""


def recipe(name: str) -> dict[str, Any]:
    """The recipe of a base. Raises SlipwayError for a name that has none."""
    return trees.recipe(name, NAMES, "a base")


def path(name: str) -> Path:
    """The folder of the base in the cache, built or not."""
    mirrors = apt.find_mirrors(apt.read_sources())
    key = cache.fingerprint(str(REVISION), (trees.RECIPES / f"{name}.toml").read_bytes(), repr(mirrors))
    return cache.folder("bases", f"{name}-{key}")


def describe(name: str) -> dict[str, Any] | None:
    """Where the parts of a base are: name, and tree, or kernel, initrd and disk. None when it is not built."""
    recipe(name)
    folder = path(name)
    if not folder.is_dir():
        return None
    parts = {"tree": "tree", "kernel": "vmlinuz", "initrd": "initrd.img", "disk": "disk.img"}
    return {"name": name, **{key: str(folder / part) for key, part in parts.items() if (folder / part).exists()}}


def ensure(name: str) -> dict[str, Any]:
    """Build the base if the cache does not have it, and describe it."""
    recipe(name)
    cache.ensure(path(name), partial(_build, name))
    return describe(name) or {}


def _build(name: str, folder: Path) -> None:
    said = recipe(name)
    what = f"base {name}"
    if os.geteuid() != 0:
        raise SlipwayError("building a base needs root", where=what, fix="Run it as root")
    started = time.monotonic()
    progress.say(f"{what}: building from Debian packages, once")
    tree = folder / "tree"
    trees.debstrap(tree, said["suite"], said["packages"], what, options=["--skip=cleanup/apt/lists"])
    _prepare(tree, said, what)
    if "disk_gib" in said:
        _make_disk(tree, folder, said["disk_gib"], what)
    progress.say(f"{what}: built in {time.monotonic() - started:.0f} s")


def _prepare(tree: Path, said: dict[str, Any], what: str) -> None:
    """Make a plain tree the base of machines: services on and off, nothing in it that must be a machine's own."""
    for key in tree.glob("etc/ssh/ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").unlink(missing_ok=True)
    (tree / "etc/machine-id").touch()  # empty: systemd makes one at first boot
    (tree / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (tree / "etc/ssh/sshd_config.d/50-slipway.conf").write_text(SSHD)
    for unit in said["mask"]:
        link = tree / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for file, content in said.get("files", {}).items():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text(content.removeprefix("\n"))
    progress.run(["chroot", str(tree), "systemctl", "--quiet", "enable", *said["enable"]], what)


def _make_disk(tree: Path, folder: Path, gib: int, what: str) -> None:
    """Turn the tree into what QEMU boots: kernel, initial RAM disk, and one sparse ext4 file system."""
    for pattern, name in (("boot/vmlinuz-*", "vmlinuz"), ("boot/initrd.img-*", "initrd.img")):
        found = sorted(tree.glob(pattern))
        if not found:
            raise SlipwayError(f"no {pattern} in the finished tree", where=what, fix="Add a kernel to the recipe")
        shutil.copyfile(found[-1], folder / name)
    disk = folder / "disk.img"
    with disk.open("wb") as handle:
        os.truncate(handle.fileno(), gib * 2**30)
    # no journal: the disks are throw-away overlays, and QEMU's emulation makes each write dear
    progress.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(tree), str(disk)], what)
    cache.remove_tree(tree)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tools.bases", description="Bases of the local machines.")
    parser.add_argument("action", choices=["build", "show"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; bookworm when none is given")
    args = parser.parse_args(argv)
    names = args.names or ["bookworm"]
    try:
        found = [ensure(name) if args.action == "build" else describe(name) for name in names]
    except SlipwayError as error:
        progress.say(str(error))
        return error.exit_code
    for base in found:
        print(json.dumps(base))
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
