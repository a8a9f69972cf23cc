"""A pod as it is rendered, on a real kubelet: the real engine with the real small model, and clients that ask it.

The tests go in order, on one node. The manifests are applied by kubectl, as whoever renders them to a repository would.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bootstrap import pki
from bootstrap.log import NullLog
from bootstrap.service.model_cache import local_model
from bootstrap.waits import Waits
from slipway.manifests import objects
from slipway.model_sources import parse_source
from tests.bootstrap.service.stub_store import Store, serve_store
from tests.support.control_plane import ControlPlane
from tests.support.kubelet import GATEWAY, RealNode, real_node
from tests.templates.clusters import plan_of, rendered
from tests.templates.plans import API_KEY, cpu_plan
from tools import images

pytestmark = [pytest.mark.net, pytest.mark.hosts, pytest.mark.slow]

NAMESPACE, NAME = "slipway-real", "real"
WORKLOAD = ("deployment", NAME, "-n", NAMESPACE)
LABELS = {"pool": "real"}
PATIENCE = 240.0
"""seconds for a pod to serve"""
BREAKS_OFF = 40_000_000
"""bytes after which the first transfer of the model ends"""
STACK = """\
config:
  slipway:provider: kubernetes
  slipway:kind: node-pool
  slipway:release: local-2026.11
  slipway:model: {{name: smollm2-135m-instruct, source: "https://models.example/{file}", endpoint: "{endpoint}",
    sha256: "{sha256}", size: {size}, context: 1024}}
  slipway:engine: {{name: llama.cpp, threads: 1}}
  slipway:proxy: {{concurrency: 2, queue: 16}}
  slipway:drain: {{settle: 2s, deadline: 20s}}
  slipway:pool: {{nodes: 1, labels: {{pool: real}}}}
  slipway:cluster: {{context: tests, images: {images}}}
"""


@dataclass
class Service:
    """What serves, and how it is asked."""

    plane: ControlPlane
    node: RealNode
    store: Store
    authority: pki.Authority

    def client(self, url: str) -> httpx.Client:
        trust = ssl.create_default_context(cadata=self.authority.certificate)
        headers = {"Authorization": f"Bearer {API_KEY}"}
        return httpx.Client(base_url=url, headers=headers, verify=trust, timeout=60, trust_env=False)

    def pods(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.plane.get("pods", "-n", NAMESPACE)["items"]
        return items

    def wait_until_it_serves(self) -> None:
        done = self.plane.kubectl_run("rollout", "status", *WORKLOAD, f"--timeout={PATIENCE:.0f}s")
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.node.dump()}"

    def completion(self) -> httpx.Response:
        """One answer through the Service, by the way of the API server and the kubelet."""
        with forwarded(self.plane) as port, self.client(f"https://localhost:{port}") as client:
            return client.post("/v1/chat/completions", json=QUESTION)


ASKED = "In one short sentence: what is the capital of France?"
QUESTION = {"messages": [{"role": "user", "content": ASKED}], "max_tokens": 16, "temperature": 0}


@contextmanager
def forwarded(plane: ControlPlane) -> Iterator[int]:
    command = [*plane.kubectl_command, "port-forward", "-n", NAMESPACE, f"service/{NAME}", ":443"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            match = re.search(r"127\.0\.0\.1:(\d+)", said)
            assert match, said
            yield int(match[1])
        finally:
            process.terminate()


def secrets(authority: pki.Authority) -> list[dict[str, Any]]:
    """What whoever applies the manifests brings."""
    leaf = pki.make_certificate(authority, [NAME, "localhost"], time.time(), where="tests")
    acl = hashlib.sha256(API_KEY.encode()).hexdigest() + "\n"
    kinds = {
        "keys": ("Opaque", {"keys.acl": acl}),
        "tls": ("kubernetes.io/tls", {"tls.crt": leaf.certificate, "tls.key": leaf.key}),
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{NAME}-{suffix}", "namespace": NAMESPACE},
            "type": kind,
            "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()},
        }
        for suffix, (kind, data) in kinds.items()
    ]


def small(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects, with pods that ask for less of a CPU: two of them are to fit a machine with two."""
    (deployment,) = [item for item in found if item["kind"] == "Deployment"]
    spec = deployment["spec"]["template"]["spec"]
    for container in (*spec["initContainers"], *spec["containers"]):
        container["resources"]["requests"]["cpu"] = "50m"
    return found


@pytest.fixture(scope="module")
def service(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    model = cpu_plan().model
    file = local_model(model, parse_source(model), NullLog(), Waits())
    built = {name: images.ensure(name) for name in images.NAMES}
    pinned = {name: f"registry.example/{name}@{image['digest']}" for name, image in built.items()}
    archives = {pinned[name]: Path(image["archive"]) for name, image in built.items()}
    folder = tmp_path_factory.mktemp("node") / "run"
    with real_node(plane, folder, archives, LABELS) as node, serve_store(file.read_bytes(), GATEWAY) as store:
        store.cuts = [BREAKS_OFF]
        text = STACK.format(
            file=file.name, endpoint=store.url, sha256=model.sha256, size=model.size, images=json.dumps(pinned)
        )
        found = small(objects(rendered(plan_of(text, NAME))))
        authority = pki.make_authority("tests", time.time())
        first = [item for item in found if item["kind"] == "Namespace"]
        plane.apply([*first, *secrets(authority), *(item for item in found if item not in first)])
        yield Service(plane, node, store, authority)
        plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_the_model_is_fetched_and_the_pod_serves(service: Service) -> None:
    service.wait_until_it_serves()
    assert [asked for _, asked in service.store.asked] == [None, f"bytes={BREAKS_OFF}-"]
    answer = service.completion()
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]


def test_who_has_no_key_gets_no_answer(service: Service) -> None:
    with forwarded(service.plane) as port, service.client(f"https://localhost:{port}") as client:
        assert client.post("/v1/chat/completions", json=QUESTION, headers={"Authorization": ""}).status_code == 401


def test_an_engine_that_is_killed_is_started_again(service: Service) -> None:
    (pod,) = service.pods()
    (status,) = pod["status"]["containerStatuses"]
    service.node.ctr("tasks", "kill", "--signal", "SIGKILL", status["containerID"].removeprefix("containerd://"))

    def again() -> bool:
        (now,) = service.pods()[0]["status"]["containerStatuses"]
        return bool(now["restartCount"] == 1 and now["ready"])

    service.plane.wait("the engine is back", again, PATIENCE)
    service.wait_until_it_serves()
    assert service.completion().status_code == 200
    assert len(service.store.asked) == 2, "the model was there"


@dataclass
class Load:
    """What clients met."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)
    """of the pods that they asked"""


@contextmanager
def load(service: Service, clients: int = 2) -> Iterator[Load]:
    """Clients that ask whichever pods are endpoints of the Service, as a proxy of the cluster would send them."""
    found, done, ready = Load(), threading.Event(), list[str]()
    path = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"

    def look() -> None:
        with service.plane.client() as api:
            while not done.is_set():
                items = api.get(path).raise_for_status().json()["items"]
                points = [point for item in items for point in item["endpoints"] or ()]
                ready[:] = [point["addresses"][0] for point in points if point["conditions"]["ready"]]
                done.wait(0.2)

    def ask(number: int) -> None:
        while not done.wait(0.05):
            address = ready[number % len(ready)] if ready else ""
            if not address:
                continue
            try:
                with service.client(f"https://{address}:8443") as client:
                    sni = {"sni_hostname": "localhost"}
                    client.post("/v1/chat/completions", json=QUESTION, extensions=sni).raise_for_status()
                found.answered += 1
                found.addresses.add(address)
            except httpx.HTTPError as error:
                found.failed.append(f"{address}: {error!r}")

    threads = [threading.Thread(target=look), *(threading.Thread(target=ask, args=(n,)) for n in range(clients))]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_rolling_update_under_load_loses_nothing(service: Service) -> None:
    (before,) = service.pods()
    with load(service) as seen:
        service.plane.wait("clients are answered", lambda: seen.answered)
        change = {"spec": {"template": {"metadata": {"annotations": {"tests": "another"}}}}}
        service.plane.kubectl("patch", *WORKLOAD, "--patch", json.dumps(change))
        service.wait_until_it_serves()
        name = before["metadata"]["name"]
        service.plane.wait(
            "the pod from before is gone", lambda: name not in {pod["metadata"]["name"] for pod in service.pods()}
        )
    assert seen.failed == []
    assert before["status"]["podIP"] in seen.addresses
    assert len(seen.addresses) == 2, "the new pod was asked as well"
