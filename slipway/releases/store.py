"""The releases that ship with Slipway, read from the package's own files, and those of the user's own folders."""

from __future__ import annotations

import difflib
import tomllib
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from pydantic import ValidationError

from slipway.errors import ReleaseError
from slipway.releases.locks import parse_lock
from slipway.releases.records import Lock, Release
from slipway.releases.rules import check_release

LOCK_SUFFIX = ".lock.toml"

_folders: list[Traversable] = [resources.files("slipway").joinpath("releases")]


def add_releases(folder: Traversable) -> None:
    """Have the releases in `folder` besides those that ship: whoever starts the core says so, before it reads anything.

    A folder that is not there has none.
    """
    if folder not in _folders and folder.is_dir():
        _folders.append(folder)
        _found.cache_clear()


def parse_release(text: str, source: str) -> Release:
    """The release in `text`. Raises `ReleaseError` with every inconsistency."""
    try:
        release = Release.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ReleaseError(f"this is no TOML: {error}", where=source, fix="Correct the line") from error
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ReleaseError(found, where=source, fix="Correct these keys") from error
    problems = check_release(release)
    if problems:
        raise ReleaseError("\n".join(map(str, problems)), where=source, fix="")
    return release


@cache
def _found() -> dict[str, tuple[Release, Traversable]]:
    """Every release by name, and the folder that it is in."""
    found: dict[str, tuple[Release, Traversable]] = {}
    for folder in _folders:
        for entry in sorted(folder.iterdir(), key=lambda item: item.name):
            if entry.name.endswith(".toml") and not entry.name.endswith(LOCK_SUFFIX):
                release = parse_release(entry.read_text(encoding="utf-8"), entry.name)
                if entry.name != f"{release.name}.toml":
                    what = f"the file is named {entry.name} and the release {release.name}"
                    raise ReleaseError(what, where=entry.name, fix=f"Name the file {release.name}.toml")
                if release.name in found:
                    what = f"there is a release {release.name} already, in {found[release.name][1]}"
                    raise ReleaseError(what, where=str(entry), fix="Give this one a name of its own")
                found[release.name] = (release, folder)
    return found


def load_releases() -> dict[str, Release]:
    """Every release by name. Raises `ReleaseError` for a file that is none."""
    return {name: release for name, (release, _) in _found().items()}


def load_release(name: str) -> Release:
    """One release. Raises `ReleaseError` with the nearest name when there is none of that name."""
    releases = load_releases()
    if name in releases:
        return releases[name]
    near = difflib.get_close_matches(name, releases, n=1)
    fix = f"Did you mean {near[0]}?" if near else "Known releases: " + ", ".join(sorted(releases))
    raise ReleaseError(f"there is no release {name!r}", where="slipway:release", fix=fix)


def lock_path(name: str) -> Traversable:
    """Where the lock of a release is kept: beside it."""
    folder = _found()[name][1] if name in _found() else _folders[0]
    return folder.joinpath(name + LOCK_SUFFIX)


def is_locked(name: str) -> bool:
    """Whether the release has a lock. One for GPUs ships without where the archive that it needs was out of reach."""
    return lock_path(name).is_file()


def load_lock(name: str) -> Lock:
    """The lock of a release. Raises `ReleaseError` when it has none."""
    if not is_locked(name):
        raise ReleaseError(
            "this release has no lock", where=f"release {name}", fix=f"Run `slipway lock --release {name}`"
        )
    return parse_lock(lock_path(name).read_text(encoding="utf-8"), name + LOCK_SUFFIX)
