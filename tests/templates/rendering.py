"""Render templates/host as a host gets it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from slipway import render
from slipway.desired import HostFile
from slipway.plan_types import Plan

TEMPLATES = Path(__file__).parents[2] / "templates" / "host"


def render_host(plan: Plan, api_key_sha256: Sequence[str]) -> tuple[HostFile, ...]:
    return render.render_host(render.load_templates(TEMPLATES), plan, api_key_sha256)
