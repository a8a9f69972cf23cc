"""The container images of the local stack, built from packages into archives in the cache.

    python3 -m tools.images build [NAME…]    build what is missing; print a line of JSON an image
    python3 -m tools.images show [NAME…]     the same for what is there, without building

    <cache>/images/<name>-<16 hex>/image.tar     OCI layout and Docker archive in one
    <cache>/images/<name>-<16 hex>/image.json    its digests: see `describe`

A recipe is a file in tools/recipes with kind = "image". The hash covers the recipe, the sources of the program that it
names, and the revision of the code that follows it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from slipway.errors import SlipwayError
from tools import cache, gobuild, oci, progress, trees

NAMES = ("engine-llama-cpp", "proxy", "collector")
REVISION = 1
"""Raise it when the code here, in `oci` or in `trees` makes something else out of the same recipe."""
AT_ONCE = 2
"""Builds side by side: each is bound by a package mirror or by all cores."""


def recipe(name: str) -> dict[str, Any]:
    """The recipe of an image. Raises SlipwayError for a name that has none."""
    return trees.recipe(name, NAMES, "an image")


def path(name: str) -> Path:
    """The folder of the image in the cache, built or not."""
    said = recipe(name)
    program = gobuild.sources(cache.ROOT / said["go"]) if "go" in said else []
    key = cache.fingerprint(str(REVISION), (trees.RECIPES / f"{name}.toml").read_bytes(), *program)
    return cache.folder("images", f"{name}-{key}")


def describe(name: str) -> dict[str, Any] | None:
    """What image.json says: name, recipe, digest, image_id, archive, archive_sha256, size in bytes. None: not built."""
    try:
        found: dict[str, Any] = json.loads((path(name) / "image.json").read_text())
    except FileNotFoundError:
        return None
    return {**found, "archive": str(path(name) / "image.tar")}  # a cache that was moved still tells the truth


def ensure(name: str) -> dict[str, Any]:
    """Build the image if the cache does not have it, and describe it."""
    cache.ensure(path(name), partial(_build, name))
    return describe(name) or {}


def ensure_all(names: Sequence[str] = NAMES) -> list[dict[str, Any]]:
    """Build all that are missing, a few side by side. Raises the first failure, after the others ended."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [future.result() for future in [pool.submit(ensure, name) for name in names]]


def _build(name: str, folder: Path) -> None:
    said = recipe(name)
    what = f"image {name}"
    if os.geteuid() != 0:
        raise SlipwayError("building an image's root file system needs root", where=what, fix="Run it as root")
    started = time.monotonic()
    progress.say(f"{what}: building from {'Go modules' if 'go' in said else 'Debian packages'}, once")
    tree = folder / "tree"
    tree.mkdir()
    try:
        if "go" in said:
            gobuild.check_go(what)
            gobuild.build(cache.ROOT / said["go"], ".", tree / said["program"], what)
            (tree / "etc/ssl/certs").mkdir(parents=True)
            (tree / "etc/ssl/certs/ca-certificates.crt").write_bytes(_certificates(said, folder / "certificates", what))
            (tree / "tmp").mkdir()
            (tree / "tmp").chmod(0o1777)
        else:
            tree.rmdir()
            trees.debstrap(tree, said["suite"], said["packages"], what, variant=said["variant"])
            trees.strip(tree)
        _check(said["check"], tree, what)
        config = oci.Config(
            entrypoint=tuple(said["entrypoint"]),
            command=tuple(said.get("command", ())),
            labels={"org.opencontainers.image.title": f"slipway/{name}"},
        )
        key = folder.name.split(".")[1].rpartition("-")[2]
        image = oci.write_image(tree, folder / "image.tar", f"slipway/{name}:{key}", config)
        (folder / "image.json").write_text(
            json.dumps({"name": name, "recipe": key, **image.as_dict(), "archive": "image.tar"}, indent=2) + "\n"
        )
    finally:
        cache.remove_tree(tree)
    progress.say(f"{what}: built in {time.monotonic() - started:.0f} s, {image.size / 2**20:.0f} MiB, {image.image_id}")


def _certificates(said: dict[str, Any], tree: Path, what: str) -> bytes:
    """Mozilla's certificate authorities as one bundle, out of Debian's package."""
    trees.debstrap(tree, said["suite"], said["packages"], what, variant=said["variant"])
    try:
        return b"".join(path.read_bytes() for path in sorted(tree.glob("usr/share/ca-certificates/mozilla/*.crt")))
    finally:
        cache.remove_tree(tree)


def _check(argv: Sequence[str], tree: Path, what: str) -> None:
    """Run the image's program once: a missing library shows here and not on a host."""
    ran = subprocess.run(
        ["chroot", "--userspec=65532:65532", str(tree), *argv], capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise SlipwayError(
            f"{' '.join(argv)} fails in the finished tree: {(ran.stderr or ran.stdout).strip()[-500:]}",
            where=what,
            fix=f"Change tools/recipes/{what.removeprefix('image ')}.toml",
        )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tools.images", description="Container images of the local stack.")
    parser.add_argument("action", choices=["build", "show"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all when none is given")
    args = parser.parse_args(argv)
    names = args.names or NAMES
    try:
        found = ensure_all(names) if args.action == "build" else [describe(name) for name in names]
    except SlipwayError as error:
        progress.say(str(error))
        return error.exit_code
    for image in found:
        print(json.dumps(image))
    return 0 if all(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
