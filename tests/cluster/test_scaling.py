"""What a ScaledObject asks for, carried out by Kubernetes' own autoscaler with a metrics API that the tests serve.

KEDA itself does not run here: the HorizontalPodAutoscaler that it makes of a ScaledObject, and the metric that it reads
from Prometheus, are the tests' (https://keda.sh/docs/latest/reference/scaledobject-spec/).
"""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.cluster_stack import GPUS, cluster_stack
from tests.support.control_plane import ControlPlane

pytestmark = [pytest.mark.net, pytest.mark.pulumi, pytest.mark.slow]

GROUP, VERSION, METRIC = "external.metrics.k8s.io", "v1beta1", "s0-prometheus"
NAMESPACE, NAME = "slipway-test", "test"
WORKLOAD = ("deployment", NAME, "-n", NAMESPACE)
LABELS = {"pool": "scaling"}
LEAST, MOST = 2, 4


@dataclass
class Metrics:
    """A metrics API, and how many requests wait in all."""

    waiting: int = 0

    def answer(self, path: str) -> dict[str, Any]:
        version = f"{GROUP}/{VERSION}"
        if path == f"/apis/{version}":
            names = {"name": METRIC, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList"}
            resources = [{**names, "verbs": ["get"]}]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        value = {"metricName": METRIC, "metricLabels": {}, "timestamp": now, "value": str(self.waiting)}
        return {"kind": "ExternalMetricValueList", "apiVersion": version, "metadata": {}, "items": [value]}


@contextmanager
def served(plane: ControlPlane) -> Iterator[Metrics]:
    """The API server asks it for the metrics, by way of a Service that stands for this machine."""
    made = Metrics()
    plane.authority.issue("metrics", "metrics", addresses=("metrics.default.svc",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(plane.folder / "metrics.crt", plane.folder / "metrics.key")

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(made.answer(self.path.partition("?")[0])).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    found = objects(plane, server.server_address[1])
    plane.apply(found)
    try:
        available = f"apiservice/{VERSION}.{GROUP}"
        plane.kubectl("wait", "--for=condition=Available", "--timeout=60s", available)
        yield made
    finally:
        for item in found:
            place = ["-n", item["metadata"]["namespace"]] if "namespace" in item["metadata"] else []
            plane.kubectl("delete", item["kind"].lower(), item["metadata"]["name"], *place)
        server.shutdown()
        server.server_close()
        thread.join()


def objects(plane: ControlPlane, port: int) -> list[dict[str, Any]]:
    service = {"name": "metrics", "namespace": "default"}
    bundle = base64.b64encode(plane.authority.certificate.read_bytes()).decode()
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": service,
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": {
                "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
                "caBundle": bundle, "service": {**service, "port": port},
            },
        },
    ]  # fmt: skip


def autoscaler(scaled: dict[str, Any]) -> dict[str, Any]:
    """What KEDA makes of a ScaledObject with one trigger."""
    spec = scaled["spec"]
    (trigger,) = [one for one in spec["triggers"] if one["type"] == "prometheus"]
    target = {"type": "AverageValue", "averageValue": trigger["metadata"]["threshold"]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"keda-hpa-{NAME}", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **spec["scaleTargetRef"]},
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
            "metrics": [{"type": "External", "external": {"metric": {"name": METRIC}, "target": target}}],
        },
    }


def test_pods_are_added_while_requests_wait_and_up_leaves_their_number_alone(
    plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plane.make_nodes(2, GPUS, LABELS, prefix="scaling")
    stack = cluster_stack(plane, tmp_path_factory.mktemp("scaling"), LEAST, 2)
    scaling = {"min": LEAST, "max": MOST, "prometheus": "http://prometheus.monitoring:9090"}
    stack.write(pool={"nodes": 2, "labels": LABELS}, cluster={**stack.settings["slipway:cluster"], "scaling": scaling})
    stack.up()

    def ready() -> int:
        return int(plane.get(*WORKLOAD)["status"].get("readyReplicas", 0))

    with served(plane) as metrics:
        plane.apply([autoscaler(plane.get("scaledobject", NAME, "-n", NAMESPACE))])
        plane.wait("the fewest pods are ready", lambda: ready() == LEAST)
        metrics.waiting = 100
        plane.wait("the most pods are ready", lambda: ready() == MOST, 300)
        assert set(stack.up("--expect-no-changes").resource_steps().values()) == {"same"}
        assert plane.get(*WORKLOAD)["spec"]["replicas"] == MOST
        stack.project.destroy()
