"""The repository's own program in a throwaway project, on the real CLI."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.locks import lock_everything
from tests.support.mocks import Graph, run_program
from tests.support.pulumi import ROOT, Project, pulumi_bin

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMgCPi3uTQRfSpr0b3cT54xwFGP6cE9T2DkxLkuHQF+F"

KUBECONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "contexts": [{"name": "staging", "context": {}}, {"name": "prod", "context": {}}],
    "users": [{"name": "u", "user": {"token": "SECRET-of-the-kubeconfig"}}],
}

Configure = Callable[..., Project]
Run = Callable[..., Graph]


def inventory(count: int) -> dict[str, Any]:
    """`count` hosts at documentation addresses (RFC 5737); nothing answers there."""
    return {
        "inventory": [
            {"name": f"h{number}", "address": f"192.0.2.{number}", "host_key": HOST_KEY}
            for number in range(1, count + 1)
        ]
    }


def built(state: Path, *bases: str) -> None:
    """An `artifacts.json` as `make images` writes it, of images that nothing will load and bases that nothing boots."""
    image = {"image_id": f"sha256:{'1' * 64}", "digest": f"sha256:{'2' * 64}", "archive": "/none.tar"}
    names = ("engine-llama-cpp", "proxy", "collector")
    state.mkdir(parents=True, exist_ok=True)
    (state / "artifacts.json").write_text(
        json.dumps(
            {
                "bases": {name: {"tree": f"/bases/{name}"} for name in bases},
                "images": {name: {**image, "archive_sha256": "3" * 64} for name in names},
            }
        )
    )


GRAPHS: dict[tuple[str, bool, str | None], Graph] = {}
"""what was asked for already: nobody changes a graph, and each costs a second"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the root program under mocks, with a lock of every release: the text of a stack file, whether it is a
    preview, and a graph that is to be filled."""
    built(tmp_path / "state", "bookworm")
    lock_everything(monkeypatch)

    def once(text: str, *, preview: bool = False, graph: Graph | None = None) -> Graph:
        if graph is not None:
            return run_program(text, tmp_path / "state", monkeypatch, preview=preview, graph=graph)
        key = (text, preview, os.environ.get("KUBECONFIG"))
        if key not in GRAPHS:
            GRAPHS[key] = run_program(text, tmp_path / "state", monkeypatch, preview=preview)
        return GRAPHS[key]

    return once


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(KUBECONFIG))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Make a project of the program, with these `slipway:` settings over those of a small stack."""
    cli = pulumi_bin()
    assert cli is not None, "no Pulumi CLI; run `make images`"

    def make(images: bool = True, **settings: Any) -> Project:
        state = tmp_path / "state"
        if images:
            built(state)
        project = Project(tmp_path / "project", cli, environment={"SLIPWAY_STATE": str(state)})
        project.program((ROOT / "__main__.py").read_text())
        file = project.folder / f"Pulumi.{project.stack}.yaml"
        small = {
            "provider": "ssh",
            "release": "local-2026.11",
            "model": {"name": "smollm2-135m-instruct", "context": 1024},
            "engine": {"name": "llama.cpp"},
            "ssh": inventory(1),
        }
        config = {f"slipway:{key}": value for key, value in (small | settings).items() if value is not None}
        file.write_text(yaml.safe_dump({**(yaml.safe_load(file.read_text()) or {}), "config": config}))
        return project

    return make
