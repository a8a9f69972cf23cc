"""The `slipway` command. `build_app(effects)` makes it; what touches the world is handed in as `Effects`.

Nothing heavy is imported before a command runs, so that `slipway --help` answers at once.
"""

from slipway.cli.app import build_app
from slipway.cli.effects import Effects

__all__ = ["Effects", "build_app"]
