"""One throwaway Pulumi project a test."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.support.pulumi import Project, pulumi_bin

FAKES = "tests.bootstrap.plugin.fake_resources"

KIT = """
class Kit(pulumi.CustomResource):
    def __init__(self, name, opts=None, **props):
        outputs = dict.fromkeys(("size", "derived", "where", "pid"))
        super().__init__("slipway:index:Kit", name, {**props, **outputs}, opts)
"""


@pytest.fixture
def cli() -> Path:
    found = pulumi_bin()
    if found is None:
        pytest.fail("the Pulumi CLI is not here; `make install` builds it, or set SLIPWAY_PULUMI_BIN")
    return found


@pytest.fixture
def kits(cli: Path, tmp_path: Path) -> KitProject:
    """A project whose provider serves the resources for tests."""
    return KitProject(tmp_path / "project", cli, resources=FAKES)


@pytest.fixture
def project(cli: Path, tmp_path: Path) -> Project:
    """A project with the real resources."""
    return Project(tmp_path / "project", cli)


class KitProject(Project):
    """`program` knows `Kit`, and `FILES`, a folder for the files."""

    def program(self, source: str) -> None:
        self.files.mkdir(parents=True, exist_ok=True)
        (self.folder / "kit.py").write_text(f"import pulumi\nFILES = {str(self.files)!r}\n{KIT}")
        super().program("from kit import FILES, Kit\n" + textwrap.dedent(source) if source else "")

    @property
    def files(self) -> Path:
        return self.folder / "files"
