"""What the program reads from around it: the stack's configuration, and what was built on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pulumi
from pulumi.runtime.config import get_config_env

from slipway.artifacts import FILE, Artifacts, parse_artifacts
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


def artifacts() -> Artifacts:
    """What was built on this machine; nothing where every image comes from a registry."""
    index = state_dir() / FILE
    return parse_artifacts(index.read_text()) if index.exists() else Artifacts()
