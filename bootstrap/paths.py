"""Where Slipway keeps what it makes: the state of a checkout, and the cache of a user."""

from __future__ import annotations

import os
from pathlib import Path

from slipway import paths


def state_dir(root: Path) -> Path:
    """The state folder of the checkout at `root`, in this process's environment."""
    return paths.state_dir(root, os.environ)


def cache_dir() -> Path:
    """What can be built again, shared by a user's checkouts: SLIPWAY_CACHE, or `slipway` in the XDG cache folder."""
    override = os.environ.get("SLIPWAY_CACHE")
    if override:
        return Path(override).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "slipway"
