"""What the program reads from around it: the stack's configuration, and what was built on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime.config import get_config_env

from slipway.errors import PlanError
from slipway.plan import BuiltImage
from slipway.settings import Settings, settings_from_config

NAMESPACE = "slipway:"
ROOT = Path(__file__).resolve().parent.parent


def read_settings() -> Settings:
    """The stack's `slipway:` configuration as settings. Raises SettingsError with every problem."""
    values = {
        key.removeprefix(NAMESPACE): _decode(value)
        for key, value in get_config_env().items()
        if key.startswith(NAMESPACE)
    }
    return settings_from_config(values, source=f"stack {pulumi.get_stack()}")


def _decode(value: object) -> object:
    """Pulumi hands structured values over as JSON text, and scalars as the text that the file has."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def secret(key: str) -> pulumi.Output[str] | None:
    """A secret of the stack's configuration, or None when it is not set."""
    return pulumi.Config("slipway").get_secret(key)


def state_dir() -> Path:
    """The state folder of this checkout."""
    return Path(os.environ.get("SLIPWAY_STATE", ROOT / ".slipway")).resolve()


def built_images() -> dict[str, BuiltImage]:
    """Images that were built on this machine, by name; empty where every image comes from a registry."""
    return {
        name: BuiltImage(
            reference=image["image_id"],
            archive=image["archive"],
            archive_sha256=image["archive_sha256"],
            digest=image["digest"],
        )
        for name, image in _artifacts().get("images", {}).items()
    }


def base_tree(name: str = "bookworm") -> Path:
    """The root file system that local machines boot from. Raises PlanError before it was built."""
    base = _artifacts().get("bases", {}).get(name)
    if base is None:
        raise PlanError(f"the base {name} was not built on this machine yet", where="local", fix="Run: make images")
    return Path(base["tree"])


def _artifacts() -> dict[str, Any]:
    """What `make images` wrote down about what it built."""
    index = state_dir() / "artifacts.json"
    found: dict[str, Any] = json.loads(index.read_text()) if index.exists() else {}
    return found
