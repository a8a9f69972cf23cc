"""What holds for the graph of every cloud."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.support.mocks import Asked, Graph, in_clear


def assert_no_secret_in_clear(graph: Graph) -> None:
    """No resource is given a secret, and no output is one, that is not wrapped as such."""
    for asked in graph.resources:
        assert not [text for text in in_clear(asked.inputs) if "SECRET" in text], asked.key
    clear = {key: value for key, value in graph.outputs.items() if key not in graph.secret_outputs}
    assert not [text for text in in_clear(clear) if "SECRET" in text]


def cloud_config(text: str) -> dict[str, Any]:
    """User data as cloud-init reads it."""
    assert text.startswith("#cloud-config\n")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def assert_born_with_its_key(graph: Graph, name: str, user_data: str, user: str) -> None:
    """The host of that name gets, at its first boot, the key that the connection to it expects."""
    keys = cloud_config(user_data)["ssh_keys"]
    assert keys["ed25519_private"] == f"SECRET-{name}-key-private_key"
    (host,) = [one for one in graph.of("slipway:index:Host") if one.name == name]
    connection = host.inputs["connection"]
    assert connection["host_key"] == keys["ed25519_public"] == f"ssh-ed25519 {name}-key"
    assert (connection["host_key_policy"], connection["user"]) == ("pinned", user)


def refused(run: Any, text: str) -> str:
    """The sentence by which the program refuses a stack."""
    graph = Graph()
    with pytest.raises(SystemExit) as left:
        run(text, graph=graph)
    assert left.value.code == 32
    return graph.log[-1]


def only(graph: Graph, package: str) -> Graph:
    """What of the graph is of one package."""
    return Graph([asked for asked in graph.resources if asked.type.startswith(f"{package}:")])


def one_of(graph: Graph, kind: str) -> Asked:
    """The only resource of that type."""
    (found,) = graph.of(kind)
    return found
