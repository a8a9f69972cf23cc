"""The effects behind the commands: what `slipway.cli` and the Makefile need done outside the core."""
