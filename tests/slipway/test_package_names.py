"""Names of NVIDIA's packages, sources and keys; each case of `package_names.toml` says where it was seen."""

from __future__ import annotations

import re
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import ReleaseError
from slipway.releases.names import NVIDIA_FOLDERS, Names, headers, package_names, source
from slipway.releases.sources import paragraph

CASES: list[dict[str, Any]] = tomllib.loads(Path(__file__).with_name("package_names.toml").read_text())["case"]


def every(names: Names) -> tuple[str, ...]:
    first = (names.pinning,) if names.pinning else ()
    return (*first, *names.driver, *names.beside, *names.nvswitch, *names.nvlink5, *names.monitoring)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['archive']}-{case['os']}-{case['driver']}")
def test_names(case: dict[str, Any]) -> None:
    names = every(package_names(case["archive"], case["os"], case["driver"], case["modules"], "13.0"))
    assert set(case["has"]) - set(names) == set()
    assert set(case["hasnt"]) & set(names) == set()
    assert case["source"]


@pytest.mark.parametrize(
    ("os", "driver", "modules"),
    list(product(NVIDIA_FOLDERS, ("570.1", "580.1", "595.1", "620.1"), ("open", "proprietary"))),
)
def test_a_set_names_each_package_once_and_one_flavour(os: str, driver: str, modules: Any) -> None:
    names = every(package_names("nvidia", os, driver, modules, "13.0"))
    assert len(names) == len(set(names))
    modules_packages = [name for name in names if "dkms" in name]
    assert len(modules_packages) == 1
    assert ("open" in modules_packages[0]) == (modules == "open")
    if driver >= "590":
        assert not [name for name in names if re.search(r"-\d{3}(-|$)", name)], "no branch from 590 on"


@pytest.mark.parametrize(
    ("archive", "os"), [("ubuntu", "debian:12"), ("debian", "ubuntu:24.04"), ("nvidia", "ubuntu:20.04")]
)
def test_archives_are_for_their_systems(archive: Any, os: str) -> None:
    with pytest.raises(ReleaseError, match=f"no packages of the archive {archive} are known for {os}"):
        package_names(archive, os, "580.1", "open", "13.0")


def test_where_the_packages_come_from() -> None:
    cuda = source("nvidia", "ubuntu:24.04")
    assert cuda.paragraph == (
        "Types: deb\nURIs: https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/\nSuites: /\n"
    )
    assert cuda.key_url.endswith("/ubuntu2404/x86_64/3bf863cc.pub")
    assert "/debian13/sbsa/" in source("nvidia", "debian:13", "arm64").paragraph
    toolkit = source("debian", "debian:12")
    assert "libnvidia-container/stable/deb/amd64/" in toolkit.paragraph
    assert toolkit.key_fingerprint != cuda.key_fingerprint
    assert headers("ubuntu:24.04", "amd64", "6.8.0-90-generic") == "linux-headers-6.8.0-90-generic"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("deb https://m.example/cuda /", "Types: deb\nURIs: https://m.example/cuda\nSuites: /\n"),
        (
            " deb [arch=amd64  trusted=yes] file:/srv/a stable main  contrib ",
            "Types: deb\nURIs: file:/srv/a\nSuites: stable\nComponents: main contrib\n"
            "Architectures: amd64\nTrusted: yes\n",
        ),
        ("Types: deb\nURIs: x\nSuites: /", "Types: deb\nURIs: x\nSuites: /\n"),
    ],
)
def test_sources_become_paragraphs(line: str, text: str) -> None:
    assert paragraph(line) == text
    assert paragraph(text) == text


@pytest.mark.parametrize("line", ["", "deb", "deb https://m.example", "rpm x /", "deb [signed-by=/k] x /"])
def test_what_is_no_source(line: str) -> None:
    with pytest.raises(ReleaseError, match=r"is no apt source|option 'signed-by'"):
        paragraph(line)
