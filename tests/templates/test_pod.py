"""What runs in a pod, run here: the proxy with its preStop hook, and the script that fetches the model."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from slipway.desired import ModelFile
from slipway.manifests import objects
from slipway.model_sources import Credentials, curl_place, parse_source
from slipway.plan_types import Plan, ReplicaPlan
from tests.bootstrap.service.stub_store import Store, serve_store
from tests.templates.clusters import case, rendered
from tests.templates.proxy_bench import ProxyBench, free_port, wait_for
from tests.templates.stub_engine import StubEngine

pytestmark = pytest.mark.net

CHAT = "/v1/chat/completions"
MODEL = b"weights" * 50_000


def mounted(plan: Plan) -> dict[str, str]:
    found = [item for item in objects(rendered(plan)) if item["kind"] == "ConfigMap"]
    (config,) = [item for item in found if "haproxy.cfg" in item["data"]]
    files: dict[str, str] = config["data"]
    return files


@pytest.fixture
def engine() -> Iterator[StubEngine]:
    with StubEngine().serving() as stub:
        yield stub


@pytest.fixture
def pod(tmp_path: Path, haproxy: Path, engine: StubEngine) -> Iterator[ProxyBench]:
    plan = case("cpu")
    assert plan.cluster is not None
    plan = replace(
        plan,
        replicas=(ReplicaPlan(index=0, port=engine.port),),
        proxy=replace(plan.proxy, port=free_port(), metrics_port=free_port()),
        cluster=replace(plan.cluster, pod=replace(plan.cluster.pod, settle_seconds=1)),
    )
    bench = ProxyBench(tmp_path, haproxy, plan)
    try:
        bench.start()
        wait_for(lambda: bench.ready() == 200)
        yield bench
    finally:
        bench.stop()


def hook(pod: ProxyBench) -> subprocess.Popen[str]:
    return subprocess.Popen(["bash", "-c", mounted(pod.plan)["drain.sh"]], text=True)


def engine_probe(pod: ProxyBench) -> int:
    with pod.client(None) as client:
        return client.get("/engine").status_code


def test_a_pod_that_ends_serves_what_still_comes_and_waits_for_what_is_open(
    pod: ProxyBench, engine: StubEngine
) -> None:
    with pod.client() as client, ThreadPoolExecutor() as pool:
        first = pool.submit(client.post, CHAT, json={"chunks": 8, "gap": 0.5})
        wait_for(lambda: engine.running == 1)
        ending = hook(pod)
        wait_for(lambda: pod.ready() == 503)
        assert engine_probe(pod) == 200, "a pod that drains is no reason to restart its engine"
        assert client.post(CHAT, json={}).status_code == 200
        assert ending.poll() is None
        assert first.result().status_code == 200
        assert ending.wait(20) == 0
    assert (engine.served, engine.aborted) == (2, 0)


def test_the_hook_ends_where_no_proxy_answers(pod: ProxyBench) -> None:
    pod.stop()
    assert hook(pod).wait(20) == 0


def test_the_kubelet_sees_an_engine_that_is_gone(pod: ProxyBench, engine: StubEngine) -> None:
    engine.healthy = False
    wait_for(lambda: engine_probe(pod) == 503, 20)
    engine.healthy = True
    wait_for(lambda: engine_probe(pod) == 200, 20)
    assert '"/engine"' not in pod.log.read_text()


@pytest.fixture
def store() -> Iterator[Store]:
    with serve_store(MODEL) as made:
        yield made


def ranges(store: Store) -> list[str | None]:
    return [asked for _, asked in store.asked]


def wanted(plan: Plan, folder: Path, source: str) -> ModelFile:
    """The model of the stub store, with the pod's paths under `folder`."""
    digest, path = hashlib.sha256(MODEL).hexdigest(), f"{folder}/models/model.gguf"
    return plan.model.model_copy(update={"source": source, "size": len(MODEL), "sha256": digest, "path": path})


def fetch(folder: Path, store: Store, digest: str = "") -> subprocess.CompletedProcess[str]:
    """Run the init container's script on the model of that store."""
    plan = case("cpu")
    model = wanted(plan, folder, plan.model.source).model_copy(update={"endpoint": store.url})
    return run_in(folder, replace(plan, model=model.model_copy(update={"sha256": digest} if digest else {})))


def run_in(folder: Path, plan: Plan) -> subprocess.CompletedProcess[str]:
    """Run the init container's script, with the pod's paths under `folder`."""
    for name in ("etc", "run"):
        (folder / name).mkdir(exist_ok=True)
    files = mounted(plan)
    (folder / "etc" / "fetch.curl").write_text(files["fetch.curl"])
    script = files["fetch.sh"].replace("/etc/slipway", f"{folder}/etc").replace("/run/slipway", f"{folder}/run")
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)


def test_the_place_of_a_bucket_that_is_made_comes_with_its_keys(tmp_path: Path, store: Store) -> None:
    """Two files of options, of which one is a Secret's, are one transfer."""
    plan = case("cpu")
    assert plan.cluster is not None
    made = replace(plan, cluster=replace(plan.cluster, weights=True), model=wanted(plan, tmp_path, "s3://models/own"))
    (tmp_path / "etc").mkdir()
    keys = Credentials(access_key="AKIA", secret_key="own", region="europe-1")
    at = made.model.model_copy(update={"endpoint": store.url})
    (tmp_path / "etc" / "fetch-secret.curl").write_text(curl_place(parse_source(at, keys), keys))
    done = run_in(tmp_path, made)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models/model.gguf").read_bytes() == MODEL
    assert [path for path, _ in store.asked] == ["/models/own"]
    assert "Credential=AKIA/" in store.headers[0]["authorization"]
    assert "/europe-1/s3/" in store.headers[0]["authorization"]


def test_a_model_is_fetched_once(tmp_path: Path, store: Store) -> None:
    first, second = fetch(tmp_path, store), fetch(tmp_path, store)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert (tmp_path / "models/model.gguf").read_bytes() == MODEL
    assert (tmp_path / "run/drain").read_text() == ""
    assert len(store.asked) == 1


def test_a_transfer_that_breaks_off_is_gone_on_with(tmp_path: Path, store: Store) -> None:
    store.cuts = [100_000, 100_000]
    assert fetch(tmp_path, store).returncode == 0
    assert (tmp_path / "models/model.gguf").read_bytes() == MODEL
    assert ranges(store) == [None, "bytes=100000-", "bytes=200000-"]


def test_another_file_is_never_served(tmp_path: Path, store: Store) -> None:
    done = fetch(tmp_path, store, digest="0" * 64)
    assert done.returncode == 1
    assert f"its SHA-256 is {hashlib.sha256(MODEL).hexdigest()}" in done.stderr
    assert not (tmp_path / "models/model.gguf").exists()


def test_a_damaged_file_is_fetched_anew(tmp_path: Path, store: Store) -> None:
    assert fetch(tmp_path, store).returncode == 0
    (tmp_path / "models/model.gguf").write_bytes(b"damaged")
    assert fetch(tmp_path, store).returncode == 0
    assert (tmp_path / "models/model.gguf").read_bytes() == MODEL


def test_the_store_is_used_by_every_other_pod_of_a_claim(tmp_path: Path, store: Store) -> None:
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda _: fetch(tmp_path, store), range(3)))
    assert [one.returncode for one in done] == [0, 0, 0]
    assert len(store.asked) == 1


def test_a_store_that_is_away_is_one_line(tmp_path: Path, store: Store) -> None:
    store.statuses = [404] * 9
    done = fetch(tmp_path, store)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "the model could not be fetched"


def test_where_it_looks_for_metrics_the_proxy_has_them(pod: ProxyBench) -> None:
    text = httpx.get(f"{pod.operations}/metrics").text
    for name in ("haproxy_backend_current_queue", "haproxy_backend_active_servers"):
        assert f'{name}{{proxy="engines"' in text
    assert 'haproxy_frontend_http_responses_total{proxy="api",code="5xx"' in text


def test_another_node_of_a_replica_ends_when_the_first_one_is_gone() -> None:
    plan = case("multi-node")
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        text = mounted(replace(plan, proxy=replace(plan.proxy, port=port)))["follow.sh"]
        following = subprocess.Popen(["bash", "-c", text], env={**os.environ, "LWS_LEADER_ADDRESS": "127.0.0.1"})
        first.settimeout(20)
        for _ in range(2):
            first.accept()[0].close()
        assert following.poll() is None
    assert following.wait(20) == 0
