"""What `slipway lock` decides: the text of a lock, or what is stale about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slipway.errors import StaleLockError
from slipway.releases import Release, check_lock, compute_lock, dump_lock, load_lock, lock_path


def write_lock(release: Release, resolved: Mapping[str, str], digests: Mapping[str, str]) -> tuple[str, str, int]:
    """Path and text of the release's new lock, and how many packages are in it."""
    built = {name: digest for name, digest in digests.items() if name in release.images}
    lock = compute_lock(release, resolved, built)
    return str(lock_path(release.name)), dump_lock(lock), len(lock.packages)


def check_locks(releases: Iterable[Release]) -> list[str]:
    """A line for each lock that is current. Raises `StaleLockError` with all that are not."""
    current, stale = [], []
    for release in releases:
        problems = check_lock(release, load_lock(release.name))
        stale += [f"release {release.name}: {problem.key}: {problem.what}" for problem in problems]
        if not problems:
            current.append(f"{release.name}: the lock is current")
    if stale:
        fix = "Run `slipway lock` and commit what it writes"
        raise StaleLockError("; ".join(stale), where="locks", fix=fix)
    return current
