"""The image archive: what Docker and an OCI reader find in it, and that equal trees give equal bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tools import oci

CONFIG = oci.Config(entrypoint=("/bin/tool",), command=("--serve",), labels={"b": "2", "a": "1"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "bin/tool").write_bytes(b"\x7fELF" * 1000)
    (root / "bin/tool").chmod(0o4755)
    os.link(root / "bin/tool", root / "bin/zool")
    (root / "etc/link").symlink_to("../bin/tool")
    (root / "etc/folder").symlink_to("../bin")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    os.mkfifo(root / "tmp/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "tmp/socket"))
    return root


def read(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


def layer(archive: Path) -> tarfile.TarFile:
    files = read(archive)
    (name,) = json.loads(files["manifest.json"])[0]["Layers"]
    return tarfile.open(fileobj=io.BytesIO(gzip.decompress(files[name])))


def test_docker_and_oci_readers_find_the_same_configuration_and_layer(tree: Path, tmp_path: Path) -> None:
    image = oci.write_image(tree, tmp_path / "image.tar", "slipway/tool:1", CONFIG)
    files = read(tmp_path / "image.tar")
    (docker,) = json.loads(files["manifest.json"])
    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest: dict[str, Any] = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert docker["RepoTags"] == ["slipway/tool:1"]
    assert docker["Config"] == "blobs/" + manifest["config"]["digest"].replace(":", "/")
    assert docker["Layers"] == ["blobs/" + manifest["layers"][0]["digest"].replace(":", "/")]
    assert entry["digest"] == image.digest
    for descriptor in (entry, manifest["config"], *manifest["layers"]):
        blob = files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert descriptor["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"
        assert descriptor["size"] == len(blob)


def test_the_image_id_is_the_digest_of_the_configuration(tree: Path, tmp_path: Path) -> None:
    image = oci.write_image(tree, tmp_path / "image.tar", "slipway/tool:1", CONFIG)
    files = read(tmp_path / "image.tar")
    config = files[json.loads(files["manifest.json"])[0]["Config"]]
    assert image.image_id == f"sha256:{hashlib.sha256(config).hexdigest()}"
    said = json.loads(config)
    assert said["config"]["User"] == "65532:65532"
    assert said["config"]["Entrypoint"] == ["/bin/tool"]
    assert said["config"]["Cmd"] == ["--serve"]
    (name,) = json.loads(files["manifest.json"])[0]["Layers"]
    assert said["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(gzip.decompress(files[name])).hexdigest()}"]


def test_the_archives_own_digest_and_size_are_of_the_file(tree: Path, tmp_path: Path) -> None:
    image = oci.write_image(tree, tmp_path / "image.tar", "slipway/tool:1", CONFIG)
    data = (tmp_path / "image.tar").read_bytes()
    assert (image.archive_sha256, image.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "tree"]


def test_links_modes_and_folders_are_kept_and_devices_left_out(tree: Path, tmp_path: Path) -> None:
    oci.write_image(tree, tmp_path / "image.tar", "slipway/tool:1", CONFIG)
    with layer(tmp_path / "image.tar") as tar:
        found = {member.name: member for member in tar}
    assert list(found) == ["bin", "bin/tool", "bin/zool", "etc", "etc/folder", "etc/link", "tmp"]
    assert found["bin/tool"].mode == 0o4755
    assert found["bin/zool"].islnk()
    assert found["bin/zool"].linkname == "bin/tool"
    assert (found["etc/link"].linkname, found["etc/folder"].linkname) == ("../bin/tool", "../bin")
    assert found["tmp"].mode == 0o1777
    assert {member.mtime for member in found.values()} == {0}


def test_two_builds_of_equal_trees_are_equal_bytes(tree: Path, tmp_path: Path) -> None:
    first = oci.write_image(tree, tmp_path / "first.tar", "slipway/tool:1", CONFIG)
    os.utime(tree / "bin/tool", (1, 2))
    second = oci.write_image(tree, tmp_path / "second.tar", "slipway/tool:1", CONFIG)
    assert (first.digest, first.image_id, first.archive_sha256) == (
        second.digest,
        second.image_id,
        second.archive_sha256,
    )


def test_another_content_is_another_image(tree: Path, tmp_path: Path) -> None:
    first = oci.write_image(tree, tmp_path / "first.tar", "slipway/tool:1", CONFIG)
    (tree / "bin/tool").chmod(0o755)
    second = oci.write_image(tree, tmp_path / "second.tar", "slipway/tool:1", CONFIG)
    assert first.image_id != second.image_id
