"""Render templates/host as a host gets it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from slipway.desired import HostFile
from slipway.plan_types import Plan

TEMPLATES = Path(__file__).parents[2] / "templates" / "host"


def render_host(plan: Plan, api_key_sha256: Sequence[str]) -> tuple[HostFile, ...]:
    environment = SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    files = []
    for entry in tomllib.loads((TEMPLATES / "manifest.toml").read_text(encoding="utf-8"))["file"]:
        for replica in plan.replicas if entry.get("each") == "replica" else (None,):
            context = {"plan": plan, "api_key_sha256": list(api_key_sha256)}
            if replica is not None:
                context["replica"] = replica
            files.append(
                HostFile(
                    path=environment.from_string(entry["path"]).render(context),
                    content=environment.get_template(entry["template"]).render(context),
                    mode=int(entry["mode"], 8),
                    owner=entry["owner"],
                    secret=entry["secret"],
                )
            )
    return tuple(files)
