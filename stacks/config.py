"""What the program reads from around it: the stack's configuration, and what was built on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
from pulumi.runtime.config import get_config_env, get_config_secret_keys_env

from slipway import paths
from slipway.artifacts import FILE, Artifacts, parse_artifacts
from slipway.settings import Settings, decode_config, settings_from_config

NAMESPACE = "slipway:"
ROOT = Path(__file__).resolve().parent.parent


def read_settings() -> Settings:
    """The stack's `slipway:` configuration as settings. Raises SettingsError with every problem."""
    encrypted = {key.removeprefix(NAMESPACE) for key in get_config_secret_keys_env()}
    return settings_from_config(decode_config(get_config_env()), f"stack {pulumi.get_stack()}", encrypted)


def secret(key: str) -> pulumi.Output[str] | None:
    """A secret of the stack's configuration, or None when it is not set."""
    return pulumi.Config("slipway").get_secret(key)


def state_dir() -> Path:
    """The state folder of this checkout."""
    return paths.state_dir(ROOT, os.environ)


def artifacts() -> Artifacts:
    """What was built on this machine; nothing where every image comes from a registry."""
    index = state_dir() / FILE
    return parse_artifacts(index.read_text()) if index.exists() else Artifacts()
