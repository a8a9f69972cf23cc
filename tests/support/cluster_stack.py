"""A stack that serves in a cluster of the tests: the repository's own program, with Pulumi's real plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slipway import releases
from slipway.paths import RELEASES
from slipway.releases.locks import dump_lock
from slipway.releases.store import parse_release
from tests.support.cluster_pki import CONTEXT
from tests.support.control_plane import ControlPlane
from tests.support.locks import made_lock
from tests.support.pulumi import Project, pulumi_bin
from tests.support.stack import Stack
from tools import kubernetes

RELEASE = "tests-r580"
OF = "r580-2026.11-ubuntu-24.04"
LABELS = {"pool": "tests"}
GPUS = 8
"""of a node"""


def cluster_stack(plane: ControlPlane, folder: Path, replicas: int, nodes: int) -> Stack:
    """A stack of pods with two GPUs each, on nodes with LABELS; before its first `up`."""
    cli = pulumi_bin()
    assert cli is not None, "no Pulumi CLI; run `make images`"
    plugin = kubernetes.ensure("provider").parent
    project = Project(
        folder / "project", cli, providers={"kubernetes": plugin},
        environment={"SLIPWAY_STATE": str(folder / "state")},
    )  # fmt: skip
    _write_release(project.folder / RELEASES)
    return Stack(project, settings(plane.kubeconfig, replicas, nodes))


def settings(kubeconfig: Path, replicas: int, nodes: int) -> dict[str, Any]:
    pinned = {name: f"registry.example/{name}@sha256:{'b' * 64}" for name in ("proxy", "collector")}
    return {
        "slipway:provider": "kubernetes",
        "slipway:kind": "node-pool",
        "slipway:release": RELEASE,
        "slipway:model": {
            "name": "some-8b", "size": "16GB", "context": 8192, "sha256": "a" * 64,
            "source": f"hf://some/some-8b@{'0' * 40}/model.safetensors",
        },
        "slipway:engine": {"name": "vllm", "gpus": GPUS, "tensor_parallel": 2, "replicas": 4},
        "slipway:proxy": {"concurrency": 64, "queue": 128},
        "slipway:pool": {"nodes": nodes, "labels": LABELS},
        "slipway:cluster": {
            "context": CONTEXT, "kubeconfig": str(kubeconfig), "replicas": replicas, "images": pinned,
        },
    }  # fmt: skip


def _write_release(folder: Path) -> None:
    """One that ships without a lock, by a name of its own and with a lock: no archive of its vendor is asked."""
    shipped = Path(releases.__file__).with_name(f"{OF}.toml").read_text()
    text = shipped.replace(f'name = "{OF}"', f'name = "{RELEASE}"')
    folder.mkdir(parents=True)
    (folder / f"{RELEASE}.toml").write_text(text)
    (folder / f"{RELEASE}.lock.toml").write_text(dump_lock(made_lock(parse_release(text, RELEASE))))
