"""Where Slipway keeps what it makes: the state of a checkout, and the cache of a user."""

from __future__ import annotations

import os
from pathlib import Path


def state_dir(root: Path) -> Path:
    """The state folder of the checkout at `root`: `.slipway/`, or what SLIPWAY_STATE says. It is not made here."""
    override = os.environ.get("SLIPWAY_STATE")
    return Path(override).expanduser().absolute() if override else root.absolute() / ".slipway"


def cache_dir() -> Path:
    """What can be built again, shared by a user's checkouts: SLIPWAY_CACHE, or `slipway` in the XDG cache folder."""
    override = os.environ.get("SLIPWAY_CACHE")
    if override:
        return Path(override).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "slipway"
