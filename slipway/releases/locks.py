"""Locks: made from what a resolver answers, written in one way only, and checked against their release."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping

from pydantic import ValidationError

from slipway.errors import Problem, ReleaseError
from slipway.releases.records import Lock, Release

HEADER = "# Written by `slipway lock`; do not edit. Exact versions of everything that the release installs.\n"


def fingerprint(release: Release) -> str:
    """SHA-256 over every pin of the release; its summary is for people and is left out."""
    pins = release.model_dump(mode="json", exclude={"summary"}, exclude_none=True)
    return "sha256:" + hashlib.sha256(json.dumps(pins, sort_keys=True).encode()).hexdigest()


def top_packages(release: Release) -> tuple[str, ...]:
    """Every package that the release names itself, in order."""
    if release.gpu is None:
        return release.packages
    return (*release.packages, *release.gpu.packages, *release.gpu.toolkit.packages)


def compute_lock(release: Release, resolved: Mapping[str, str], images: Mapping[str, str] | None = None) -> Lock:
    """The lock of what a resolver answered: `resolved` is {package: version}, `images` {image: digest} to pin as well.

    Raises `ReleaseError` when the resolver left out a package that the release asks for, or answered another version
    of the toolkit than the one pinned.
    """
    where = f"release {release.name}"
    missing = sorted(set(top_packages(release)) - set(resolved))
    if missing:
        fix = "Check the names and the apt sources, then run `slipway lock` again"
        raise ReleaseError(f"apt has no {' and no '.join(missing)} for {release.os[0]}", where=where, fix=fix)
    if release.gpu is not None:
        toolkit = release.gpu.toolkit
        wrong = sorted(name for name in toolkit.packages if resolved[name] != toolkit.version)
        if wrong:
            what = f"{wrong[0]} resolved to {resolved[wrong[0]]}, and the release pins {toolkit.version}"
            raise ReleaseError(what, where=where, fix="Pin a toolkit version that the archive has")
    data = {"release": release.name, "fingerprint": fingerprint(release), "packages": dict(sorted(resolved.items()))}
    if images:
        data["images"] = dict(sorted(images.items()))
    return _validated(data, where)


def check_lock(release: Release, lock: Lock) -> tuple[Problem, ...]:
    """Why the lock no longer says what the release asks for; empty when it does. Needs no network."""
    fix = f"Run `slipway lock --release {release.name}`"
    problems = []
    if lock.release != release.name:
        problems.append(Problem("release", f"this is the lock of {lock.release}, not of {release.name}", fix))
    problems += [
        Problem(f"packages.{name}", "the release asks for this package and the lock has no version of it", fix)
        for name in sorted(set(top_packages(release)) - set(lock.packages))
    ]
    built = {name for name, pin in release.images.items() if pin.build is not None}
    problems += [
        Problem(f"images.{name}", "the lock pins an image that the release does not build", fix)
        for name in sorted(set(lock.images) - built)
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
    lines = [HEADER, f"release = {_quote(lock.release)}", f"fingerprint = {_quote(lock.fingerprint)}", "", "[packages]"]
    lines += [f"{_key(name)} = {_quote(version)}" for name, version in sorted(lock.packages.items())]
    if lock.images:
        lines += ["", "[images]", *(f"{_key(name)} = {_quote(value)}" for name, value in sorted(lock.images.items()))]
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
