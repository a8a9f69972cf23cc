"""Locks for releases whose archive no test reaches."""

from __future__ import annotations

import pytest

from slipway.releases import Lock, Release, compute_lock, is_locked, load_lock, load_release
from tests.slipway.test_releases import resolved


def lock_of(name: str) -> Lock:
    """The lock that ships; for a release without one, as `slipway lock` would write it, with images at any digest."""
    return load_lock(name) if is_locked(name) else made_lock(load_release(name))


def made_lock(release: Release) -> Lock:
    pulled = {image: "sha256:" + "5" * 64 for image, pin in release.images.items() if pin.repository is not None}
    return compute_lock(release, resolved(release), pulled)


def lock_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the program and the command line find a lock of every release."""
    monkeypatch.setattr("slipway.releases.load_lock", lock_of)
