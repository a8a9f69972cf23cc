"""The programs that read what is rendered: from the images that `make images` built, else from the machine."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from bootstrap.paths import cache_dir

# The image's HAProxy runs in the image's tree, which sees the tests' folders and the machine's devices. The mounts live
# in a namespace of their own and end with the process.
IN_TREE = """#!/bin/sh
exec unshare --mount sh -c '
    mount --bind {shared} {tree}{shared} && mount --rbind /dev {tree}/dev && exec chroot {tree} /usr/sbin/haproxy "$@"
' sh "$@"
"""


def unpack_image(name: str, tree: Path) -> bool:
    """Unpack the newest cached image `name` into `tree`; False when there is none."""
    archives = sorted((cache_dir() / "images").glob(f"{name}-*/image.tar"), key=lambda path: path.stat().st_mtime)
    if not archives:
        return False
    with tarfile.open(archives[-1]) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        for layer in json.load(manifest)[0]["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as files:
                files.extractall(tree, filter="tar")
    return True


@pytest.fixture(scope="session")
def haproxies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """HAProxy of the proxy image first (needs root), then the machine's own."""
    found: dict[str, Path] = {}
    shared = tmp_path_factory.getbasetemp()
    tree = shared / "proxy-image"
    if os.geteuid() == 0 and unpack_image("proxy", tree):
        (tree / str(shared).lstrip("/")).mkdir(parents=True, exist_ok=True)
        found["image"] = shared / "haproxy-of-image"
        found["image"].write_text(IN_TREE.format(shared=shared, tree=tree), encoding="utf-8")
        found["image"].chmod(0o755)
    installed = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if installed:
        found["installed"] = Path(installed)
    if not found:
        pytest.fail(
            "no HAProxy: neither the proxy image nor the package `haproxy` is on this machine; run `make images`"
        )
    return found


@pytest.fixture(scope="session")
def haproxy(haproxies: dict[str, Path]) -> Path:
    return next(iter(haproxies.values()))


@pytest.fixture(scope="session")
def otelcol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collector of the collector image: one static program."""
    tree = tmp_path_factory.mktemp("collector-image")
    if unpack_image("collector", tree):
        programs = [path for path in tree.rglob("otelcol*") if path.is_file() and os.access(path, os.X_OK)]
        if programs:
            return programs[0]
    pytest.fail("the collector image is not built on this machine; run `make images`")
