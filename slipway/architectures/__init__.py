"""Models as sizing sees them: read from a `config.json`, a GGUF header, or the shipped catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.architectures.types import Architecture, LayerGroup, Part, RecurrentState

if TYPE_CHECKING:
    from slipway.architectures.config import parse_config
    from slipway.architectures.gguf import parse_gguf

__all__ = ["Architecture", "LayerGroup", "Part", "RecurrentState", "parse_config", "parse_gguf"]


def __getattr__(name: str) -> object:
    """Readers are imported when they are asked for: the types alone are cheap."""
    # ruff: noqa: PLC0415
    if name == "parse_config":
        from slipway.architectures.config import parse_config

        return parse_config
    if name == "parse_gguf":
        from slipway.architectures.gguf import parse_gguf

        return parse_gguf
    raise AttributeError(name)
