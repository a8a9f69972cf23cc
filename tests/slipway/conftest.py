"""Property tests try the same examples on every run, take the time a busy machine needs, and leave no files behind."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("slipway", deadline=None, derandomize=True, database=None)
settings.load_profile("slipway")
