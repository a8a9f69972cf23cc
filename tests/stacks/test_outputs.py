"""Every stack has the same outputs, whatever provider and kind, and every stack file that ships makes a graph."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from stacks.providers import AVAILABLE
from tests.stacks import test_kubernetes
from tests.stacks.conftest import Run
from tests.stacks.test_providers import EXAMPLES, SECTIONS, SMALL
from tests.support.clouds import assert_no_secret_in_clear
from tests.support.mocks import Graph

OUTPUTS = {
    "endpoint": str, "endpoints": list, "model": str, "release": str, "hosts": list, "cluster": dict,
    "ca_certificate": str, "ssh_public_key": str, "api_key": str, "completion": str,
}  # fmt: skip
HOST = {"name": str, "address": str, "host_key": str, "gpu": str, "zone": str}
CLUSTER = {"name": str, "zone": str, "pool": str}
OF_A_CLUSTER = {"kubeconfig"}
OF_A_BUCKET = {"weights", "weights_access_key", "weights_secret_key"}


def module(provider: str) -> ModuleType:
    return import_module(f"stacks.providers.{provider}")


def hosts_of(provider: str) -> str:
    return yaml.safe_dump({"config": {"slipway:provider": provider, **SMALL, **SECTIONS[provider]}})


def pool_of(provider: str) -> str:
    """A stack of the module's own tests."""
    if provider == "kubernetes":
        return test_kubernetes.STACK
    text: str = import_module(f"tests.stacks.test_{provider}_pool").CPU
    return text


KINDS = [(provider, "host") for provider in AVAILABLE if hasattr(module(provider), "create_hosts")]
KINDS += [(provider, "node-pool") for provider in AVAILABLE if hasattr(module(provider), "create_cluster")]


def assert_outputs(graph: Graph, kind: str, weights: bool) -> None:
    """All that there is is there, of its type and never None, which Pulumi would leave out."""
    outputs = graph.outputs
    assert {name: type(outputs.get(name)) for name in OUTPUTS} == OUTPUTS
    assert_cost(outputs["monthly_cost"])
    more = (OF_A_CLUSTER if kind == "node-pool" else set()) | (OF_A_BUCKET if weights else set())
    assert outputs.keys() == OUTPUTS.keys() | {"monthly_cost"} | more
    assert graph.secret_outputs == ({"api_key", "kubeconfig", "weights_secret_key"} & outputs.keys())
    assert outputs["endpoint"] == outputs["endpoints"][0]
    assert bool(outputs["hosts"]) == bool(outputs["ssh_public_key"]) == bool(outputs["completion"]) == (kind == "host")
    for host in outputs["hosts"]:
        assert {name: type(host.get(name)) for name in HOST} == HOST
        assert_cost(host["price"])
        assert host.keys() == HOST.keys() | {"price"}
    assert {name: type(value) for name, value in outputs["cluster"].items()} == (CLUSTER if kind == "node-pool" else {})
    assert_no_secret_in_clear(graph)


def assert_cost(cost: Any) -> None:
    """Euro; None, which Pulumi leaves out, where no price list has it."""
    assert cost is None or (isinstance(cost, float) and cost >= 0)


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize(("provider", "kind"), KINDS)
def test_outputs_are_the_same_everywhere(run: Run, provider: str, kind: str) -> None:
    assert_outputs(run(hosts_of(provider) if kind == "host" else pool_of(provider)), kind, weights=False)


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_stack_file_that_ships_makes_a_graph(run: Run, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    config = yaml.safe_load(text)["config"]
    assert_outputs(run(text), config.get("slipway:kind", "host"), weights="slipway:weights" in config)
