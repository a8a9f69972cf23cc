"""The stub packages as files: the same each time, and read by Debian's own tool."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.nvidia import NvidiaArchive, catalogue
from tests.support.nvidia.debs import Deb, packages_index

ALL = [
    *(deb for driver in catalogue.DRIVERS for deb in catalogue.driver_packages(driver)),
    *(deb for version in catalogue.TOOLKITS for deb in catalogue.toolkit_packages(version)),
    *catalogue.other_packages(),
    *catalogue.machine_packages(),
    *catalogue.distribution_packages(),
]
SCRIPTS = [path for path in sorted(catalogue.STUBS.iterdir()) if path.read_text().startswith("#!/bin/sh")]


def test_the_same_packages_give_the_same_bytes() -> None:
    first, second = packages_index(ALL), packages_index(ALL)
    assert first == second
    assert len(first[1]) == len(ALL), "two packages have one file name"


def test_every_package_says_that_it_is_a_stub() -> None:
    assert [deb.name for deb in ALL if not deb.control()["Description"].startswith("STUB")] == []


@pytest.mark.parametrize("deb", catalogue.driver_packages("580.126.20"), ids=lambda deb: deb.name)
def test_debians_tool_reads_a_package(deb: Deb, tmp_path: Path) -> None:
    file = tmp_path / deb.filename
    file.write_bytes(deb.content())
    fields = subprocess.run(["dpkg-deb", "--field", str(file)], check=True, capture_output=True, text=True).stdout
    assert dict(line.split(": ", 1) for line in fields.splitlines()) == deb.control()
    listing = subprocess.run(["dpkg-deb", "--contents", str(file)], check=True, capture_output=True, text=True).stdout
    found = {line.split(" -> ")[0].split()[-1].removeprefix(".") for line in listing.splitlines()}
    assert set(deb.files) <= found


def test_exact_below_the_two_packages_and_open_above() -> None:
    fields = {deb.name: deb.fields.get("Depends", "") for deb in catalogue.driver_packages("620.70.06")}
    assert set(re.findall(r"\((\S+)", fields["nvidia-driver-cuda"])) == {"="}
    assert set(re.findall(r"\((\S+)", fields["nvidia-open"])) == {">="}
    assert fields["nvidia-fabricmanager"] == ""


@pytest.mark.parametrize(
    ("driver", "there", "absent"),
    [
        (
            "570.195.03",
            {"nvidia-fabricmanager-570", "libnvidia-nscq-570", "cuda-drivers-570"},
            {"nvidia-fabricmanager"},
        ),
        ("580.126.20", {"nvidia-fabricmanager", "libnvidia-nscq", "cuda-drivers-580"}, {"nvidia-fabricmanager-580"}),
        ("620.70.06", {"nvidia-fabricmanager", "cuda-drivers", "nvidia-open"}, {"cuda-drivers-620", "nvidia-open-620"}),
    ],
)
def test_names_follow_the_branch(driver: str, there: set[str], absent: set[str]) -> None:
    names = {deb.name for deb in catalogue.driver_packages(driver)}
    assert there <= names
    assert not absent & names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    # SC2217: `sleep` reads nothing; it must not hold the pipe of who started it.
    argv = ["shellcheck", "--severity=warning", "--exclude=SC2217,SC3043", str(script)]
    assert subprocess.run(argv, capture_output=True, text=True, check=False).stdout == ""


def test_an_archive_is_built_once(tmp_path: Path) -> None:
    first, second = NvidiaArchive(tmp_path), NvidiaArchive(tmp_path)
    assert first.root == second.root
    assert first.fingerprint == second.fingerprint
    assert re.fullmatch(r"[0-9A-F]{40}", first.fingerprint)
    release = (first.root / "compute/cuda/repos/debian12/x86_64/Release").read_text()
    packages = (first.root / "compute/cuda/repos/debian12/x86_64/Packages").read_bytes()
    assert hashlib.sha256(packages).hexdigest() in release
    with pytest.raises(ValueError, match="not being served"):
        first.sources()
