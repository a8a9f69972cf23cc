"""Every object that is rendered, put to a real API server as a dry run: unknown and wrong fields are refused.

LeaderWorkerSet's definition is in no Go module that is served, so of those objects only the pods are put to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.control_plane import ControlPlane
from tests.support.golden import GOLDEN

pytestmark = [pytest.mark.net, pytest.mark.slow]

CASES = sorted(path.name for path in (GOLDEN / "cluster").iterdir())
NEEDED = ("Namespace", "ServiceAccount", "PriorityClass")
"""what others need to be there before they are looked at"""
NOT_DEFINED = ("leaderworkerset.x-k8s.io/v1",)
DRY_RUN = ("apply", "--dry-run=server", "--server-side", "--validate=strict", "--field-manager=tests", "-f", "-")

Object = dict[str, Any]


def objects_of(name: str) -> list[Object]:
    """All but the values of Helm charts, which are no objects."""
    files = [path for path in sorted((GOLDEN / "cluster" / name).glob("*.yaml")) if ".values." not in path.name]
    found = [yaml.safe_load_all(path.read_text()) for path in files]
    return [item for documents in found for item in documents if item is not None]


def templates_of(item: Any) -> Iterator[Object]:
    """Every pod template in an object, however deep."""
    if isinstance(item, dict):
        if "containers" in item.get("spec", {}) and "metadata" in item:
            yield item
        for value in item.values():
            yield from templates_of(value)
    elif isinstance(item, list):
        for value in item:
            yield from templates_of(value)


def dry_run(plane: ControlPlane, objects: list[Object]) -> None:
    """Fails for what the API server refuses, and for what it warns of."""
    done = plane.kubectl_run(*DRY_RUN, given=yaml.safe_dump_all(objects))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def found(plane: ControlPlane, request: pytest.FixtureRequest) -> list[Object]:
    objects = objects_of(request.param)
    plane.apply([item for item in objects if item["kind"] in NEEDED])
    return objects


@pytest.mark.parametrize("found", CASES, indirect=True)
def test_the_api_server_takes_every_object_and_its_pods(plane: ControlPlane, found: list[Object]) -> None:
    dry_run(plane, [item for item in found if item["apiVersion"] not in NOT_DEFINED])
    pods = []
    for item in found:
        for number, template in enumerate(templates_of(item)):
            name = f"{item['kind'].lower()}-{number}"
            metadata = {**template["metadata"], "name": name, "namespace": item["metadata"]["namespace"]}
            pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    assert pods
    dry_run(plane, pods)


@pytest.mark.parametrize("found", ["one-gpu"], indirect=True)
def test_a_wrong_field_is_refused(plane: ControlPlane, found: list[Object]) -> None:
    for item in found:
        if "spec" not in item:
            continue
        done = plane.kubectl_run(*DRY_RUN, given=yaml.safe_dump({**item, "spec": {**item["spec"], "replica": 1}}))
        assert done.returncode != 0, item["kind"]
        assert 'unknown field "spec.replica"' in done.stderr or "field not declared in schema" in done.stderr


@pytest.mark.parametrize("found", ["one-gpu"], indirect=True)
def test_a_pod_that_may_do_more_is_refused(plane: ControlPlane, found: list[Object]) -> None:
    """The namespace's own label holds for every pod in it."""
    (template,) = [one for item in found if item["kind"] == "Deployment" for one in templates_of(item)]
    spec = {**template["spec"], "hostNetwork": True}
    metadata = {"name": "more", "namespace": next(item["metadata"]["name"] for item in found)}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    done = plane.kubectl_run(*DRY_RUN, given=yaml.safe_dump(pod))
    assert done.returncode != 0
    assert 'violates PodSecurity "restricted:latest"' in done.stderr
