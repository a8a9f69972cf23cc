"""Writing a container image from a folder, with nothing but the standard library.

The file is an OCI image layout and a `docker save` archive at once: `manifest.json` points at the same blobs, so
`docker load`, `podman load` and `skopeo copy oci-archive:` take it. Equal folders give equal bytes: entries are sorted,
times are zero, and owners are numbers only.

Formats: https://github.com/opencontainers/image-spec (image-layout.md, config.md, layer.md) and
https://github.com/moby/docker-image-spec/blob/main/v1.2.md (manifest.json).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Config:
    """How a container of the image starts."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    user: str = "65532:65532"
    env: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    working_dir: str = "/"
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Image:
    """A written archive. Digests are `sha256:<hex>`, `archive_sha256` is bare hex, `size` counts bytes."""

    digest: str
    """of the manifest: what a registry would call it"""
    image_id: str
    """of the configuration: what Docker calls it once it is loaded"""
    archive: str
    archive_sha256: str
    size: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def write_image(tree: Path, archive: Path, name: str, config: Config, architecture: str = "amd64") -> Image:
    """Write the image of one layer that `tree` makes to `archive`, tagged `name` where the loader wants a tag."""
    layer_path = archive.with_suffix(".layer")
    try:
        diff_id, layer_digest = _write_layer(tree, layer_path)
        config_blob = _json(_config(config, diff_id, architecture))
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": _descriptor(CONFIG_TYPE, config_blob),
                "layers": [{"mediaType": LAYER_TYPE, "digest": layer_digest, "size": layer_path.stat().st_size}],
            }
        )
        index = _json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [
                    {
                        **_descriptor(MANIFEST_TYPE, manifest),
                        "annotations": {"org.opencontainers.image.ref.name": name},
                        "platform": {"architecture": architecture, "os": "linux"},
                    }
                ],
            }
        )
        docker = _json(
            [{"Config": _blob_path(_digest(config_blob)), "RepoTags": [name], "Layers": [_blob_path(layer_digest)]}]
        )
        with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
            for path in ("blobs", "blobs/sha256"):
                tar.addfile(_folder(path))
            for blob in (config_blob, manifest):
                _add(tar, _blob_path(_digest(blob)), io.BytesIO(blob), len(blob))
            with layer_path.open("rb") as layer:
                _add(tar, _blob_path(layer_digest), layer, layer_path.stat().st_size)
            for path, data in (
                ("index.json", index),
                ("manifest.json", docker),
                ("oci-layout", _json({"imageLayoutVersion": "1.0.0"})),
            ):
                _add(tar, path, io.BytesIO(data), len(data))
    finally:
        layer_path.unlink(missing_ok=True)
    return Image(
        digest=_digest(manifest),
        image_id=_digest(config_blob),
        archive=str(archive),
        archive_sha256=sha256_file(archive),
        size=archive.stat().st_size,
    )


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, bare hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class _Hashing:
    """As much of a file as tarfile and gzip write to; hashes what passes."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self._written = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._written += len(data)
        return self._target.write(data)

    def flush(self) -> None:
        self._target.flush()

    def tell(self) -> int:
        return self._written

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _write_layer(tree: Path, path: Path) -> tuple[str, str]:
    """Write the layer; return the digest of the tar (the diff id) and of its compressed bytes."""
    with path.open("wb") as file:
        compressed = _Hashing(file)
        # mtime and name stay out of the gzip header: they would make equal trees differ
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=compressed, mtime=0) as zipped:
            plain = _Hashing(zipped)  # type: ignore[arg-type]
            with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
                _add_tree(tar, tree)
    return plain.digest, compressed.digest


def _add_tree(tar: tarfile.TarFile, tree: Path) -> None:
    inodes: dict[tuple[int, int], str] = {}
    for name in sorted(_walk(tree)):
        path = tree / name
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            continue  # the runtime makes devices; sockets and pipes belong to processes
        info = tarfile.TarInfo(name)
        info.mode = stat.S_IMODE(status.st_mode)  # setuid, setgid and sticky bits included
        info.uid, info.gid = status.st_uid, status.st_gid
        if kind == stat.S_IFDIR:
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        elif kind == stat.S_IFLNK:
            info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
            tar.addfile(info)
        elif (first := inodes.setdefault((status.st_dev, status.st_ino), name)) != name:
            info.type, info.linkname = tarfile.LNKTYPE, first
            tar.addfile(info)
        else:
            info.size = status.st_size
            with path.open("rb") as content:
                tar.addfile(info, content)


def _walk(tree: Path) -> list[str]:
    names = []
    for folder, folders, files in os.walk(tree):
        names += [os.path.relpath(os.path.join(folder, name), tree) for name in (*folders, *files)]  # noqa: PTH118
    return names


def _config(config: Config, diff_id: str, architecture: str) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": config.user,
            "Env": list(config.env),
            "Entrypoint": list(config.entrypoint),
            **({"Cmd": list(config.command)} if config.command else {}),
            "WorkingDir": config.working_dir,
            **({"Labels": dict(sorted(config.labels.items()))} if config.labels else {}),
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created_by": "slipway"}],
    }


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    tar.addfile(info, content)


def _folder(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
