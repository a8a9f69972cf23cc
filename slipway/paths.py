"""Where a checkout keeps its state: the one rule that the Pulumi program, the commands and the tools share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RELEASES = "releases"
"""the folder beside `Pulumi.yaml` with a project's own releases and their locks"""


def state_dir(root: Path, environ: Mapping[str, str]) -> Path:
    """The state folder of the checkout at `root`: `.slipway/`, or what SLIPWAY_STATE says. It is not made here."""
    override = environ.get("SLIPWAY_STATE")
    return Path(override).expanduser().absolute() if override else root.absolute() / ".slipway"
