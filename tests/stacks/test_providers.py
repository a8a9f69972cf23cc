"""Every provider module fulfils docs/add-a-provider.md, and every stack file that ships makes a plan."""

from __future__ import annotations

import inspect
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pulumi
import pytest
import yaml
from typer.testing import CliRunner

from bootstrap.entry import effects
from slipway.auto import settled
from slipway.cli import build_app
from slipway.desired import Connection
from slipway.plan import make_plan, with_placeholders
from slipway.releases import load_lock, load_release
from slipway.settings import parse_stack_file
from stacks.providers import AVAILABLE, EXTRAS, Cluster, Host, HostsArgs
from tests.stacks.conftest import HOST_KEY, Run
from tests.support.locks import lock_everything
from tests.support.pulumi import ROOT
from tests.support.sdk import in_the_clear

RUN_END_TO_END = {"local", "ssh"}
"""by tests/e2e"""

SMALL = {
    "slipway:release": "local-2026.11",
    "slipway:model": {"name": "smollm2-135m-instruct", "context": 1024},
}
SECTIONS: dict[str, dict[str, object]] = {
    "local": {"slipway:hosts": {"count": 2}},
    "ssh": {
        "slipway:ssh": {
            "inventory": [{"name": f"h{i}", "address": f"192.0.2.{i}", "host_key": HOST_KEY} for i in (1, 2)]
        }
    },
    "upcloud": {
        "slipway:hosts": {"count": 2},
        "slipway:upcloud": {"zone": "fi-hel2", "plan": "4xCPU-8GB", "ssh_from": ["192.0.2.7"]},
    },
    "aws": {
        "slipway:hosts": {"count": 2},
        "slipway:aws": {
            "zone": "eu-north-1a",
            "instance_type": "c7i.2xlarge",
            "image": "ami-0123456789abcdef0",
            "ssh_from": ["192.0.2.7"],
        },
    },
    "gcp": {
        "slipway:hosts": {"count": 2},
        "slipway:gcp": {
            "project": "my-project",
            "zone": "europe-west4-a",
            "machine_type": "t2d-standard-8",
            "image": "projects/my-project/global/images/own-1",
            "ssh_from": ["192.0.2.7"],
        },
    },
    "azure": {
        "slipway:hosts": {"count": 2},
        "slipway:azure": {
            "subscription": "00000000-0000-4000-8000-000000000000",
            "location": "swedencentral",
            "vm_size": "Standard_D8s_v5",
            "image": "Debian:debian-12:12-gen2:0.20251112.2294",
            "ssh_from": ["192.0.2.7"],
        },
    },
}
"""what two hosts of each provider need"""


@pytest.fixture(params=AVAILABLE)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def module(provider: str) -> ModuleType:
    return import_module(f"stacks.providers.{provider}")


def test_it_says_what_was_verified(module: ModuleType) -> None:
    assert module.VERIFIED.startswith(("run: ", "not run: ")), module.VERIFIED
    assert len(module.VERIFIED) > 20


def made_by(module: ModuleType) -> dict[str, object]:
    """What a module has of the two that make something, with what each returns. One has clusters only."""
    kinds = {"create_hosts": list[Host], "create_cluster": Cluster}
    found = {name: kind for name, kind in kinds.items() if hasattr(module, name)}
    assert found or module.__name__.endswith(".kubernetes")
    return found


def test_it_says_what_it_makes(module: ModuleType) -> None:
    assert module.__doc__
    for name in made_by(module):
        assert getattr(module, name).__doc__


def test_it_has_the_shape(module: ModuleType) -> None:
    for name, returned in made_by(module).items():
        function = getattr(module, name)
        assert list(inspect.signature(function).parameters) == ["args", "opts"]
        hints = get_type_hints(function)
        assert hints == {"args": HostsArgs, "opts": pulumi.ResourceOptions, "return": returned}


def test_it_is_named_where_names_are(provider: str) -> None:
    (line,) = [line for line in (ROOT / "docs/design.md").read_text().splitlines() if line.startswith("  providers/")]
    assert provider in line


def test_it_has_its_tests(provider: str) -> None:
    assert provider in RUN_END_TO_END or (ROOT / f"tests/stacks/test_{provider}.py").exists()


@pytest.mark.parametrize("provider", [name for name in AVAILABLE if name != "kubernetes"])  # which has clusters only
def test_it_returns_the_hosts_of_the_plan(run: Run, provider: str) -> None:
    text = yaml.safe_dump({"config": {"slipway:provider": provider, **SMALL, **SECTIONS[provider]}})
    graph = run(text)
    hosts = graph.of("slipway:index:Host")
    settings = parse_stack_file(text, "Pulumi.test.yaml")
    release = load_release(settings.release)
    plan = make_plan(settings, release, load_lock(release.name), with_placeholders(release, {}), stack="test")
    assert [host["name"] for host in graph.outputs["hosts"]] == [host.name for host in plan.hosts]
    for host in hosts:
        connection = Connection.model_validate(
            {key: in_the_clear(item) for key, item in host.inputs["connection"].items()}
        )
        assert connection.host_key
        assert connection.host_key_policy == "pinned"
        assert ("deleted_with" in host.options) == (provider != "ssh"), "what stays is not deleted with anything"
    verified = import_module(f"stacks.providers.{provider}").VERIFIED
    assert (f"provider {provider}: {verified}" in graph.log) == verified.startswith("not run")


def test_every_sdk_is_an_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras, dev = project["project"]["optional-dependencies"], project["dependency-groups"]["dev"]
    for package, extra in EXTRAS.items():
        (requirement,) = [item for item in extras[extra] if item.startswith("pulumi-")]
        assert requirement.split("==")[0] == package.replace("_", "-")
        assert requirement in dev, "tests check arguments against it"


EXAMPLES = sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_stack_file_is_right_and_makes_a_plan(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the release's lock, which a user writes with `slipway lock` where NVIDIA's archive is in reach."""
    lock_everything(monkeypatch)
    for command in ("check", "plan"):
        done = CliRunner().invoke(build_app(effects()), [command, str(path)])
        assert done.exit_code == 0, done.output


def test_there_is_an_example_of_every_kind() -> None:
    """Those that the README promises: hosts and node pools, without GPUs, with one and with several of them."""
    kinds = set()
    for path in EXAMPLES:
        found, _ = settled(parse_stack_file(path.read_text(), path.name))
        kinds.add((found.provider, found.kind, min(found.engine.gpus, 2)))
    assert kinds >= {
        ("local", "host", 0), ("upcloud", "host", 0), ("upcloud", "host", 1), ("upcloud", "host", 2),
        ("ssh", "host", 2), ("aws", "node-pool", 1), ("gcp", "node-pool", 1), ("azure", "node-pool", 1),
    }  # fmt: skip


def test_an_example_with_gpus_says_which_lock_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    name = parse_stack_file((ROOT / "stacks/Pulumi.prod.yaml").read_text(), "Pulumi.prod.yaml").release
    monkeypatch.setattr("slipway.releases.store.is_locked", lambda name: False)
    done = CliRunner().invoke(build_app(effects()), ["plan", str(ROOT / "stacks/Pulumi.prod.yaml")])
    assert done.exit_code == 2
    assert f"this release has no lock. Run `slipway lock --release {name}`" in " ".join(done.output.split())
