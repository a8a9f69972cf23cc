"""What `slipway lock` decides: the text of a lock, or what is stale about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from slipway.errors import ReleaseError, StaleLockError
from slipway.releases import (
    Lock,
    Release,
    Resolved,
    check_lock,
    compute_lock,
    dump_lock,
    is_locked,
    load_lock,
    lock_path,
)


def write_lock(release: Release, resolved: Resolved, digests: Mapping[str, str]) -> tuple[str, str, int]:
    """Path and text of the release's new lock, and how many packages are in it.

    Digests that an earlier lock has of images, and `digests` does not, are kept.
    """
    pulled = {name for name, pin in release.images.items() if pin.repository is not None}
    before = load_lock(release.name).images if is_locked(release.name) else {}
    every = {name: before[name] for name in pulled & set(before)} | dict(digests)
    pinned = {name: digest for name, digest in every.items() if name in release.images}
    lock = compute_lock(release, resolved, pinned)
    count = sum(map(len, (lock.packages, lock.gpu, lock.nvswitch, lock.nvlink5)))
    return str(lock_path(release.name)), dump_lock(lock), count


def image_digests(release: Release, given: Iterable[str]) -> dict[str, str]:
    """{image: digest} of options `NAME=sha256:…`. Raises `ReleaseError` for what is none, or no image to be pulled."""
    digests = {}
    for text in given:
        name, _, digest = text.partition("=")
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            fix = "Write --image NAME=sha256:… with the 64 digits that the registry shows"
            raise ReleaseError(f"{text[:100]!r} is no digest", where="--image", fix=fix)
        pin = release.images.get(name)
        if pin is None or pin.repository is None:
            have = ", ".join(sorted(name for name, pin in release.images.items() if pin.repository)) or "none"
            what = f"release {release.name} pulls no image {name!r}"
            raise ReleaseError(what, where="--image", fix=f"Its images without a digest: {have}")
        digests[name] = digest
    return digests


def check_locks(releases: Iterable[Release]) -> list[str]:
    """A line for each release. Raises `StaleLockError` with all locks that are not current."""
    lines, stale = [], []
    for release in releases:
        if not is_locked(release.name):
            lines.append(f"{release.name}: not locked, see `slipway lock --release {release.name}`")
            continue
        problems = check_lock(release, load_lock(release.name))
        stale += [f"release {release.name}: {problem.key}: {problem.what}" for problem in problems]
        if not problems:
            lines.append(f"{release.name}: the lock is current")
    if stale:
        fix = "Run `slipway lock` and commit what it writes"
        raise StaleLockError("; ".join(stale), where="locks", fix=fix)
    return lines


def current_lock(release: Release) -> Lock:
    """The release's lock. Raises `ReleaseError` when it has none, and `StaleLockError` when it is not current."""
    lock = load_lock(release.name)
    check_locks([release])
    return lock


def describe(release: Release) -> str:
    """One line about a release."""
    from slipway.releases.compatibility import support  # noqa: PLC0415

    parts = [", ".join(release.os), release.architecture]
    if release.gpu is not None:
        parts += [f"driver {release.gpu.driver}", f"CUDA {release.gpu.cuda}", support(release.gpu.driver)]
    parts.append("" if is_locked(release.name) else "not locked")
    return f"{release.name}  {release.summary} ({', '.join(filter(None, parts))})"
