"""Reads what `make images` wrote down."""

from __future__ import annotations

from pathlib import Path

from bootstrap.paths import state_dir
from slipway.artifacts import FILE, Artifacts, parse_artifacts


def artifacts(root: Path) -> Artifacts:
    """What was built for the checkout at `root`; nothing before anything was."""
    index = state_dir(root) / FILE
    return parse_artifacts(index.read_text()) if index.exists() else Artifacts()
