"""Locks: made from what a resolver answers, written in one way only, and checked against their release."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from slipway.errors import Problem, ReleaseError
from slipway.releases.records import Lock, Release

HEADER = "# Written by `slipway lock`; do not edit. Exact versions of everything that the release installs.\n"


def fingerprint(release: Release) -> str:
    """SHA-256 over every pin of the release; its summary is for people and is left out."""
    pins = release.model_dump(mode="json", exclude={"summary"}, exclude_none=True)
    return "sha256:" + hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Resolved:
    """What a resolver answered: {package: version}, each group only with what the ones before it do not have."""

    packages: Mapping[str, str]
    gpu: Mapping[str, str] = field(default_factory=dict)
    nvswitch: Mapping[str, str] = field(default_factory=dict)
    nvlink5: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    """set where the release's own were not asked"""
    key: str = ""
    """public key of the archives of `gpu`, ASCII-armoured"""
    key_fingerprint: str = ""


def named_packages(release: Release) -> dict[str, tuple[str, ...]]:
    """Every package that the release names itself, by group of the lock."""
    groups = {"packages": release.packages, "gpu": (), "nvswitch": (), "nvlink5": ()}
    gpu, names = release.gpu, release.gpu_names
    if gpu is None or names is None:
        return groups
    first = (names.pinning,) if names.pinning else ()
    groups["gpu"] = (*first, *names.driver, *names.beside, *names.monitoring, *gpu.toolkit.packages)
    if gpu.fabric_manager is not None:
        groups |= {"nvswitch": names.nvswitch, "nvlink5": names.nvlink5}
    return groups


def compute_lock(release: Release, resolved: Resolved, images: Mapping[str, str] | None = None) -> Lock:
    """The lock of what a resolver answered; `images` are {image: digest} to pin as well.

    Raises `ReleaseError` when the resolver left out a package that the release asks for, or answered another version
    of the driver or the toolkit than the one pinned.
    """
    where = f"release {release.name}"
    groups = {name: dict(sorted(getattr(resolved, name).items())) for name in named_packages(release)}
    missing = sorted(_missing(release, groups))
    if missing:
        fix = "Check the names and the apt sources, then run `slipway lock` again"
        raise ReleaseError(f"apt has no {' and no '.join(missing)} for {release.os[0]}", where=where, fix=fix)
    for name, version, pinned in _moved(release, groups):
        what = f"{name} resolved to {version}, and the release pins {pinned}"
        raise ReleaseError(what, where=where, fix="Pin a version that the archive has for all of them")
    data: dict[str, object] = {"release": release.name, "fingerprint": fingerprint(release)}
    data |= {name: group for name, group in groups.items() if group or name == "packages"}
    data |= {"sources": resolved.sources, "key": resolved.key, "key_fingerprint": resolved.key_fingerprint}
    if images:
        data["images"] = dict(sorted(images.items()))
    return _validated(data, where)


def upstream(version: str) -> str:
    """NVIDIA's version in Debian's.

    >>> upstream("1:580.159.03-0ubuntu0.24.04.1")
    '580.159.03'
    """
    return version.rpartition(":")[2].rpartition("-")[0] or version.rpartition(":")[2]


def _missing(release: Release, groups: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    have: set[str] = set()
    for group, names in named_packages(release).items():
        # A package that an earlier group brought is not resolved a second time.
        have |= set(groups[group])
        yield from set(names) - have


def _moved(release: Release, groups: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    gpu, names = release.gpu, release.gpu_names
    if gpu is None or names is None:
        return
    fabric = names.nvswitch if gpu.fabric_manager is not None else ()
    every = {name: version for group in groups.values() for name, version in group.items()}
    for name in (*names.driver, *fabric):
        if upstream(every[name]) != gpu.driver:
            yield name, every[name], gpu.driver
    for name in sorted(gpu.toolkit.packages):
        if every[name] != gpu.toolkit.version:
            yield name, every[name], gpu.toolkit.version


def check_lock(release: Release, lock: Lock) -> tuple[Problem, ...]:
    """Why the lock no longer says what the release asks for; empty when it does. Needs no network."""
    fix = f"Run `slipway lock --release {release.name}`"
    problems = []
    if lock.release != release.name:
        problems.append(Problem("release", f"this is the lock of {lock.release}, not of {release.name}", fix))
    groups = {name: getattr(lock, name) for name in named_packages(release)}
    problems += [
        Problem(f"packages.{name}", "the release asks for this package and the lock has no version of it", fix)
        for name in sorted(_missing(release, groups))
    ]
    open_images = {name for name, pin in release.images.items() if pin.reference is None}
    problems += [
        Problem(f"images.{name}", "the lock pins an image that the release does not leave open", fix)
        for name in sorted(set(lock.images) - open_images)
    ]
    if not problems and lock.fingerprint != fingerprint(release):
        problems.append(Problem("fingerprint", "the release's pins changed since the lock was made", fix))
    return tuple(problems)


def parse_lock(text: str, source: str) -> Lock:
    """The lock in `text`. Raises `ReleaseError` for anything else."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ReleaseError(f"this is no TOML: {error}", where=source, fix="Run `slipway lock`") from error
    return _validated(data, source)


def dump_lock(lock: Lock) -> str:
    """The one spelling of a lock: sorted, a line a package."""
    lines = [HEADER, f"release = {_quote(lock.release)}", f"fingerprint = {_quote(lock.fingerprint)}"]
    if lock.sources:
        lines.append(f"sources = [{', '.join(map(_quote, lock.sources))}]")
    if lock.key:
        lines += [f"key = {_quote(lock.key)}", f"key_fingerprint = {_quote(lock.key_fingerprint)}"]
    for name in ("packages", "gpu", "nvswitch", "nvlink5", "images"):
        table: Mapping[str, str] = getattr(lock, name)
        if table or name == "packages":
            lines += ["", f"[{name}]", *(f"{_key(item)} = {_quote(value)}" for item, value in sorted(table.items()))]
    return "\n".join(lines) + "\n"


def _validated(data: Mapping[str, object], source: str) -> Lock:
    try:
        return Lock.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ReleaseError(f"{key}: {first['msg']}", where=source, fix="Run `slipway lock`") from error


def _key(name: str) -> str:
    bare = all(char.isascii() and (char.isalnum() or char in "-_") for char in name)
    return name if bare and name else _quote(name)


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)
