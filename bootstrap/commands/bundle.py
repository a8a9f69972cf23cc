"""An offline bundle of a locked release: its packages as an apt repository, and the images that were built here."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from bootstrap.commands.artifacts import artifacts
from bootstrap.commands.resolve import apt, bare_tree, scratch
from slipway.errors import ReleaseError
from slipway.releases import Lock, Release

README = """\
Packages of release {release}, as an apt repository, and the images that it builds.
Unpack it as {place}, on the hosts and where `pulumi up` runs. In the stack file:

  slipway:container:
    apt_sources: ["deb [trusted=yes] file:{place} ./"]
{archives}{gpu}
Images that are pulled by digest are not here; docker save makes an archive of each.
"""

GPU = """\

NVIDIA's packages are in it too. So that hosts look for them here:

  slipway:driver:
    sources: ["deb [trusted=yes] file:{place} ./"]
"""


def write_bundle(release: Release, lock: Lock, root: Path, target: Path) -> int:
    """Fetch every package of the lock, and write them with their index to the tar `target`; returns how many.

    apt checks each against the signed lists of its archive. What the bare OS has of the release already is fetched as
    well. The same lock gives the same bytes. Raises ReleaseError when an archive has a package no more, and OSError.
    """
    wanted = lock.packages | lock.gpu | lock.nvswitch | lock.nvlink5
    tree = bare_tree(release, root)
    with tempfile.TemporaryDirectory(prefix="slipway-bundle-") as name:
        folder = Path(name)
        (folder / "packages").mkdir()
        options = ["-o", "APT::Sandbox::User=root"]
        if release.gpu_source is not None:
            (folder / "apt").mkdir()
            paragraphs = lock.sources or (release.gpu_source.paragraph,)
            options = scratch(folder / "apt", tree, paragraphs, lock.key, release)
        named = [f"{package}={version}" for package, version in sorted(wanted.items())]
        apt(tree, ["apt-get", "download", *named], release, options, folder=folder / "packages")
        index = "\n".join(_entries(folder / "packages", wanted, release))
        with target.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "Packages", index.encode())
            images = _images(release, root)
            _add(tar, "README", _readme(release, images).encode())
            for image, (archive, _) in images.items():
                _add_file(tar, f"images/{image}.tar", archive)
            for path in sorted((folder / "packages").iterdir()):
                _add_file(tar, f"packages/{path.name}", path)
    return len(wanted)


def _entries(folder: Path, wanted: Mapping[str, str], release: Release) -> Iterator[str]:
    """Paragraphs of the index: https://wiki.debian.org/DebianRepository/Format#A.22Packages.22_Indices"""
    found: dict[str, tuple[str, Path]] = {}
    for path in folder.iterdir():
        shown = subprocess.run(["dpkg-deb", "-f", path], capture_output=True, text=True, check=True).stdout
        fields = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line and line[0] != " ")
        # The epoch's colon is %3a in the names of apt, which would look for a colon again.
        name = f"{fields['Package']}_{fields['Version'].rpartition(':')[2]}_{fields['Architecture']}.deb"
        found[fields["Package"]] = (shown, path.rename(folder / name))
        if wanted.get(fields["Package"]) != fields["Version"]:
            raise ReleaseError(
                f"apt fetched {fields['Package']} {fields['Version']}, which the lock does not name",
                where=f"release {release.name}",
                fix=f"Run `slipway lock --release {release.name}`",
            )
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise ReleaseError(
            f"apt fetched no {missing[0]}",
            where=f"release {release.name}",
            fix=f"Run `slipway lock --release {release.name}`",
        )
    for _, (shown, path) in sorted(found.items()):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        place = f"Filename: ./packages/{path.name}\nSize: {path.stat().st_size}\nSHA256: {digest}\n"
        yield shown.rstrip("\n") + "\n" + place


def _images(release: Release, root: Path) -> dict[str, tuple[Path, str]]:
    """Archive and lines of the stack file of each image that the release builds and that was built here."""
    built = artifacts(root).images
    found = {}
    for name, pin in sorted(release.images.items()):
        image = built.get(pin.build) if pin.build is not None else None
        if image is not None and image.archive is not None:
            lines = f"sha256: {image.archive_sha256}, image_id: '{image.reference}'"
            found[name] = (Path(image.archive), lines)
    return found


def _readme(release: Release, images: Mapping[str, tuple[Path, str]]) -> str:
    place = f"/srv/{release.name}"
    lines = [f"      {name}: {{path: {place}/images/{name}.tar, {rest}}}" for name, (_, rest) in images.items()]
    archives = "\n".join(["    archives:", *lines, ""]) if lines else ""
    gpu = GPU.format(release=release.name, place=place) if release.gpu is not None else ""
    return README.format(release=release.name, place=place, archives=archives, gpu=gpu)


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info  # owner root, time 0: nothing of this computer


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_info(name, len(data)), io.BytesIO(data))


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    with path.open("rb") as file:
        tar.addfile(_info(name, path.stat().st_size), file)
