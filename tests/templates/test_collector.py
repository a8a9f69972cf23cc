"""What the logging sidecar does with logs and metrics, with a real OpenTelemetry Collector."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from slipway.plan_types import Plan, ReplicaPlan
from tests.templates.plans import API_KEY, API_KEY_SHA256, CASES, cpu_plan, otlp_plan
from tests.templates.proxy_bench import free_port, wait_for
from tests.templates.rendering import render_host

SECRETS = {
    "bearer": ("sent Authorization: Bearer abcdef0123456789 to", "abcdef0123456789"),
    "our key": (f"key is {API_KEY} here", API_KEY),
    "key in JSON": ('{"api_key": "0123456789abcdef"}', "0123456789abcdef"),
    "query": ("GET /x?token=ABCDEFGH12345678&y=1", "ABCDEFGH12345678"),
    "hugging face": ("using hf_AbCdEfGhIjKlMnOp", "hf_AbCdEfGhIjKlMnOp"),
    "cloud key": ("AWS AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
    "JWT": ("eyJhbGciOi.eyJzdWIiOi.c2lnbmF0", "c2lnbmF0"),
    "email": ("from jane.doe@example.org today", "jane.doe@example.org"),
}
HARMLESS = [
    "llama_model_loader: - kv   5: tokenizer.ggml.bos_token_id u32 = 1",
    "print_info: EOS token        = 2 '<|im_end|>'",
    "srv  update_slots: n_tokens = 2048, prompt eval time = 123.45 ms / 17 tokens",
]


def configuration(plan: Plan) -> str:
    return next(f.content for f in render_host(plan, [API_KEY_SHA256]) if f.path == "/etc/slipway/collector.yaml")


@pytest.mark.parametrize("case", CASES)
def test_configuration_is_yaml_of_the_plan(case: str) -> None:
    plan = CASES[case]
    parsed = yaml.safe_load(configuration(plan))
    targets = parsed["receivers"]["prometheus"]["config"]["scrape_configs"][0]["static_configs"]
    assert [target["targets"] for target in targets] == [[f"127.0.0.1:{r.port}"] for r in plan.replicas]
    exporters = parsed["service"]["pipelines"]["logs"]["exporters"]
    assert exporters == (["otlp_grpc"] if plan.collector.otlp_endpoint else ["file"])
    assert parsed["processors"]["memory_limiter"]["limit_mib"] < plan.collector.memory_mib


def test_port_of_otlp_over_http_is_spoken_to_in_http() -> None:
    plan = otlp_plan()
    over_http = replace(plan, collector=replace(plan.collector, otlp_endpoint="http://10.0.0.9:4318"))
    assert yaml.safe_load(configuration(over_http))["exporters"]["otlp_http"]["endpoint"] == "http://10.0.0.9:4318"


@pytest.mark.parametrize("case", CASES)
def test_collector_takes_the_configuration(otelcol: Path, tmp_path: Path, case: str) -> None:
    path = tmp_path / "collector.yaml"
    path.write_text(configuration(CASES[case]), encoding="utf-8")
    result = subprocess.run(
        [otelcol, "validate", f"--config={path}"],
        env={"HOST_NAME": "host-1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    assert "deprecated" not in result.stderr


class CollectorBench:
    """A host's container logs under one folder, and the collector reading them."""

    def __init__(self, folder: Path, program: Path) -> None:
        base = cpu_plan()
        self.engine_port = free_port()
        collector = replace(base.collector, prometheus_port=free_port(), health_port=free_port())
        self.plan = replace(
            base,
            replicas=(ReplicaPlan(index=0, port=self.engine_port),),
            proxy=replace(base.proxy, metrics_port=free_port()),
            collector=collector,
        )
        self.program = program
        self.containers = folder / "containers"
        self.state = folder / "state"
        self.state.mkdir()
        self.config = folder / "collector.yaml"
        self.config.write_text(
            configuration(self.plan)
            .replace("/var/lib/docker/containers", str(self.containers))
            .replace("/var/lib/slipway/collector", str(self.state))
            .replace("scrape_interval: 15s", "scrape_interval: 1s"),
            encoding="utf-8",
        )
        self.log = folder / "collector.log"

    def write(self, container: str, *lines: str, tagged: bool = True) -> None:
        """Append lines as Docker's json-file driver does; a line without its newline is a part of one."""
        path = self.containers / container / f"{container}-json.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            for line in lines:
                record: dict[str, Any] = {"log": line, "stream": "stderr"}
                if tagged:
                    record["attrs"] = {"tag": container}
                record["time"] = "2026-10-01T12:00:00.123456789Z"
                log.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Every log record exported: body, attributes and resource as plain values."""
        path = self.state / "logs.jsonl"
        found = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            for resource in json.loads(line)["resourceLogs"]:
                for scope in resource["scopeLogs"]:
                    found += [
                        {
                            "body": record["body"]["stringValue"],
                            "time": record.get("timeUnixNano"),
                            "attributes": plain(record.get("attributes", [])),
                            "resource": plain(resource["resource"]["attributes"]),
                        }
                        for record in scope["logRecords"]
                    ]
        return found

    def bodies(self) -> list[str]:
        return [record["body"] for record in self.records()]

    @contextmanager
    def running(self) -> Iterator[None]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [self.program, f"--config={self.config}"],
                env={"HOST_NAME": "host-1"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(lambda: self.is_healthy(process), 30)
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0, self.log.read_text()

    def is_healthy(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.plan.collector.health_port}").status_code == 200
        except httpx.TransportError:
            return False


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values()), None) for item in attributes}


@pytest.fixture
def collector(otelcol: Path, tmp_path: Path) -> CollectorBench:
    return CollectorBench(tmp_path, otelcol)


@pytest.mark.net
@pytest.mark.slow
def test_logs_are_redacted_and_told_where_they_come_from(collector: CollectorBench) -> None:
    collector.write("slipway-engine-0", *[f"{line}\n" for line, _ in SECRETS.values()], *[f"{h}\n" for h in HARMLESS])
    collector.write("slipway-engine-0", "a long line with sk-slip", "way-cut-in-two and its end\n")
    collector.write("slipway-proxy", '{"status":200,"path":"/v1/models","key":"9fc1c266"}\n', f"odd Bearer {API_KEY}\n")
    collector.write("slipway-collector", "my own log\n")
    collector.write("somebody-else", "tagged, and none of our business\n")
    collector.write("untagged", "none of our business\n", tagged=False)
    with collector.running():
        wait_for(lambda: len(collector.records()) >= len(SECRETS) + len(HARMLESS) + 3, 20)
    written = (collector.state / "logs.jsonl").read_text(encoding="utf-8")
    for name, (_, secret) in SECRETS.items():
        assert secret not in written, name
    assert "way-cut-in-two" not in written
    assert "business" not in written
    assert "my own log" not in written
    bodies = collector.bodies()
    assert len(bodies) == len(SECRETS) + len(HARMLESS) + 3
    assert set(HARMLESS) <= set(bodies)
    assert "sent Authorization: Bearer [redacted] to" in bodies
    assert "a long line with [redacted] and its end" in bodies
    record = next(record for record in collector.records() if record["attributes"].get("path"))
    assert record["attributes"]["path"] == "/v1/models"
    assert record["attributes"]["log.iostream"] == "stderr"
    assert record["time"] == "1790856000123456789"
    assert record["resource"] == {
        "container.name": "slipway-proxy",
        "slipway.stack": "local",
        "slipway.model": "smollm2-135m-instruct",
        "slipway.release": "2026.10-cpu",
        "host.name": "host-1",
    }


@pytest.mark.net
@pytest.mark.slow
def test_nothing_is_lost_or_doubled_over_a_restart(collector: CollectorBench) -> None:
    collector.write("slipway-engine-0", "one\n", "two\n")
    with collector.running():
        wait_for(lambda: len(collector.bodies()) == 2, 20)
    collector.write("slipway-engine-0", "three\n")
    collector.write("slipway-engine-1", "four\n")
    with collector.running():
        wait_for(lambda: len(collector.bodies()) >= 4, 20)
    assert sorted(collector.bodies()) == ["four", "one", "three", "two"]


class Metrics(BaseHTTPRequestHandler):
    """An engine with one metric."""

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        body = b"# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 3\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.net
@pytest.mark.slow
def test_engine_metrics_come_out_with_stack_model_and_release(collector: CollectorBench) -> None:
    with ThreadingHTTPServer(("127.0.0.1", collector.engine_port), Metrics) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{collector.plan.collector.prometheus_port}/metrics"
        with collector.running():
            wait_for(lambda: "requests_processing" in httpx.get(url).text, 20)
            line = next(line for line in httpx.get(url).text.splitlines() if "requests_processing{" in line)
        server.shutdown()
    assert line.endswith(" 3")
    for label in ('slipway_stack="local"', 'slipway_release="2026.10-cpu"', 'host_name="host-1"', 'engine="0"'):
        assert label in line
