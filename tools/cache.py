"""The build cache: each artefact is made once, in a folder named after what it was made from.

    <cache>/<kind>/<name>-<16 hex>/

A folder is either complete or absent: it is built beside its place and renamed. Two builders of the same artefact wait
for each other, and the second finds it made.

    python3 -m tools.cache clean    remove all of it
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bootstrap.paths import cache_dir
from slipway.errors import SlipwayError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
MOUNTS = Path("/proc/self/mountinfo")


def fingerprint(*parts: bytes | str) -> str:
    """16 hex digits that change when any part does. Parts are length-prefixed, so ("a", "b") is not ("ab", "")."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:16]


def folder(kind: str, name: str) -> Path:
    """Where the artefact `name` of this kind lies, made or not."""
    return cache_dir() / kind / name


def ensure(target: Path, make: Callable[[Path], None]) -> Path:
    """Return `target`, after `make(folder)` filled it if it is not there yet.

    `make` gets an empty folder on the same file system; whatever it raises leaves nothing behind.
    """
    if target.is_dir():
        return target
    with _locked(target):
        if target.is_dir():
            return target
        for stale in target.parent.glob(f".{target.name}.*.building"):  # of a builder that was killed
            remove_tree(stale)
        building = target.parent / f".{target.name}.{os.getpid()}.building"
        building.mkdir()
        try:
            make(building)
            building.rename(target)
        except BaseException:
            remove_tree(building)
            raise
    return target


def remove_tree(path: Path) -> None:
    """Remove a folder, never crossing into something mounted below it (a root file system may have /proc mounted)."""
    mounts = [line.split()[4] for line in MOUNTS.read_text().splitlines()]
    below = [mount for mount in mounts if mount.startswith(f"{path}/")]
    if below:
        raise OSError(f"{path} is not removed: {below[0]} is mounted. Unmount it first")
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    locks = cache_dir() / "locks"
    locks.mkdir(exist_ok=True)
    with (locks / f"{target.parent.name}-{target.name}").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def clean() -> None:
    """Remove the whole cache. Raises SlipwayError while a machine runs on a base in it."""
    root = cache_dir()
    if f"{root}/" in MOUNTS.read_text():
        raise SlipwayError(
            "a machine that is up has its file system over a base in it", where=str(root), fix="Run `make down` first"
        )
    remove_tree(root)


def main(argv: Sequence[str]) -> int:
    if list(argv) != ["clean"]:
        print("usage: python3 -m tools.cache clean", file=sys.stderr)
        return 2
    try:
        clean()
    except SlipwayError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
