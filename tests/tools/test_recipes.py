"""Recipes, and the keys under which what they make lies in the cache."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from slipway.errors import SlipwayError
from tools import apt, artifacts, bases, cache, gobuild, images, pulumi_cli, trees

RECIPES = sorted((cache.ROOT / "tools/recipes").glob("*.toml"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SLIPWAY_DEBIAN_MIRROR", "http://mirror.example/debian")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_known_and_names_debian_packages(path: Path) -> None:
    recipe = tomllib.loads(path.read_text())
    assert path.stem in {"image": images.NAMES, "base": bases.NAMES}[recipe["kind"]]
    assert recipe["suite"] in apt.SUITES
    assert recipe["packages"] == sorted(recipe["packages"]) or recipe["kind"] == "image"


def test_every_name_has_a_recipe() -> None:
    assert {path.stem for path in RECIPES} == {*images.NAMES, *bases.NAMES}


@pytest.mark.parametrize("module", [images, bases])
def test_an_unknown_name_is_refused_with_the_known_ones(module: object) -> None:
    with pytest.raises(SlipwayError, match="Name one of: "):
        module.recipe("no-such")  # type: ignore[attr-defined]


def test_a_changed_recipe_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = images.path("proxy")
    assert images.path("proxy") == before
    for path in RECIPES:
        (tmp_path / path.name).write_text(path.read_text() + "# changed\n")
    monkeypatch.setattr(trees, "RECIPES", tmp_path)
    assert images.path("proxy") != before


def test_another_mirror_is_another_base(monkeypatch: pytest.MonkeyPatch) -> None:
    before = bases.path("bookworm")
    monkeypatch.setenv("SLIPWAY_DEBIAN_MIRROR", "http://other.example/debian")
    assert bases.path("bookworm") != before


def test_the_collectors_sources_are_part_of_its_key(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module x\n")
    first = gobuild.sources(tmp_path)
    (tmp_path / "main.go").write_text("package main\n")
    (tmp_path / "notes.txt").write_text("not a source\n")
    assert gobuild.sources(tmp_path) == [*first, b"main.go", b"package main\n"]


def test_what_is_not_built_is_described_as_such() -> None:
    assert images.describe("proxy") is None
    assert bases.describe("bookworm") is None


def test_the_description_follows_a_cache_that_was_moved() -> None:
    folder = images.path("proxy")
    folder.mkdir(parents=True)
    (folder / "image.json").write_text('{"name": "proxy", "archive": "image.tar"}')
    assert images.describe("proxy") == {"name": "proxy", "archive": str(folder / "image.tar")}


def test_building_without_root_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    for ensure, name in ((images.ensure, "proxy"), (bases.ensure, "bookworm")):
        with pytest.raises(SlipwayError, match="needs root"):
            ensure(name)


def test_the_cli_has_the_version_of_the_locked_sdk() -> None:
    assert pulumi_cli.version("require (\n\tgithub.com/pulumi/pulumi/sdk/v3 v3.1.2\n)\n") == "3.1.2"
    with pytest.raises(SlipwayError, match="is not required"):
        pulumi_cli.version("module x\n")
    assert pulumi_cli.version((pulumi_cli.SOURCE / "go.mod").read_text()).startswith("3.")


def test_a_users_own_cli_is_found_behind_the_shim(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for folder in (own, pulumi_cli.built()):
        folder.mkdir(parents=True)
        (folder / "pulumi").touch(mode=0o755)
    path = f"{pulumi_cli.SHIM}:{pulumi_cli.built()}:{own}"
    assert pulumi_cli.installed(path) == own
    assert pulumi_cli.installed(f"{pulumi_cli.SHIM}:{pulumi_cli.built()}") is None


def test_missing_go_is_said_only_when_something_must_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name, **_: None)
    with pytest.raises(SlipwayError, match=r"Pulumi CLI, image collector: Go is not installed.*Install Go 1\.26"):
        artifacts.check()
    for folder in (pulumi_cli.built(), images.path("collector")):
        folder.mkdir(parents=True)
    (images.path("collector") / "image.json").write_text('{"archive": "image.tar"}')
    artifacts.check()


def test_where_everything_is_is_written_once(tmp_path: Path) -> None:
    artifacts.write({"pulumi": "/x"}, tmp_path)
    first = (tmp_path / "artifacts.json").stat().st_mtime_ns
    artifacts.write({"pulumi": "/x"}, tmp_path)
    assert (tmp_path / "artifacts.json").stat().st_mtime_ns == first
    artifacts.write({"pulumi": "/y"}, tmp_path)
    assert '"/y"' in (tmp_path / "artifacts.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["artifacts.json"]
