"""The stack file as frozen models: what a user may say, and every problem with what they said."""

from slipway.settings.reading import decode_config, parse_stack_file, settings_from_config
from slipway.settings.schema import schema, schema_text
from slipway.settings.sections import Settings

__all__ = ["Settings", "decode_config", "parse_stack_file", "schema", "schema_text", "settings_from_config"]
