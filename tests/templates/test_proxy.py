"""What the proxy does, seen from a client, with a real HAProxy."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.templates.plans import API_KEY, API_KEY_SHA256, CASES, SECOND_KEY
from tests.templates.proxy_bench import ProxyBench, running_proxy, wait_for
from tests.templates.stub_engine import StubEngine

pytestmark = pytest.mark.net

CHAT = "/v1/chat/completions"


@pytest.fixture
def engine() -> Iterator[StubEngine]:
    with StubEngine().serving() as stub:
        yield stub


@pytest.fixture
def proxy(tmp_path: Path, haproxy: Path, engine: StubEngine) -> Iterator[ProxyBench]:
    """Two places, two may wait, five seconds at most."""
    with running_proxy(
        tmp_path, haproxy, [engine], concurrency=2, queue=2, queue_seconds=5, retry_after_seconds=7
    ) as bench:
        wait_for(lambda: bench.ready() == 200)
        yield bench


def ask(proxy: ProxyBench, **wish: object) -> httpx.Response:
    with proxy.client() as client:
        return client.post(CHAT, json=wish)


def error_code(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return str(error["code"])


def log_lines(proxy: ProxyBench) -> list[dict[str, object]]:
    return [json.loads(line) for line in proxy.log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.parametrize("key", [None, "sk-wrong", "", API_KEY_SHA256, API_KEY + "x"])
def test_without_the_right_key_is_401(proxy: ProxyBench, engine: StubEngine, key: str | None) -> None:
    with proxy.client(None if key == "" else key) as client:
        response = client.post(CHAT, json={}, headers={"Authorization": "Bearer"} if key == "" else {})
    assert response.status_code == 401
    assert error_code(response) == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"
    assert engine.seen == []


def test_with_the_key_reaches_the_engine_without_it(proxy: ProxyBench, engine: StubEngine) -> None:
    response = ask(proxy)
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"] == "hello"
    assert "server" not in response.headers
    (path, headers) = engine.seen[0]
    assert path == CHAT
    assert "authorization" not in headers
    assert headers["x-request-id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(("sent", "kept"), [("client-7.a_b", True), ('bad"id', False), ("x" * 129, False)])
def test_request_id_of_the_client_is_kept_when_harmless(proxy: ProxyBench, sent: str, kept: bool) -> None:
    with proxy.client() as client:
        got = client.post(CHAT, json={}, headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert (got == sent) is kept
    assert got


def test_log_is_json_and_holds_no_secret(proxy: ProxyBench) -> None:
    with proxy.client() as client:
        client.post(CHAT + '?api_key=query-secret&q="', json={"prompt": "prompt-secret"})
        client.get('/v1/odd"path\\x')
    wait_for(lambda: len(log_lines(proxy)) == 2)
    text = proxy.log.read_text()
    assert "Connect from" not in text, "probes are not logged"
    for secret in (API_KEY, API_KEY_SHA256, "query-secret", "prompt-secret"):
        assert secret not in text
    first = log_lines(proxy)[0]
    assert first["path"] == CHAT
    assert first["status"] == 200
    assert first["engine"] == "engine-0"
    assert first["key"] == API_KEY_SHA256[:8]


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/slots", "/props", "/v1", "/v1/../metrics", "/v1/%2e%2e/metrics", "/health/x"]
)
def test_other_paths_are_404(proxy: ProxyBench, engine: StubEngine, path: str) -> None:
    # http.client and httpx tidy paths up; a raw socket sends what it is told
    context = ssl.create_default_context(cafile=str(proxy.certificate))
    with (
        socket.create_connection(("127.0.0.1", proxy.plan.proxy.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
    assert engine.seen == []


def test_body_must_have_a_length_within_the_limit(proxy: ProxyBench) -> None:
    with proxy.client() as client:
        chunked = client.post(CHAT, content=iter([b"{", b"}"]))
        large = client.build_request("POST", CHAT, content=b"{}", headers={"Content-Length": str(40 * 1024**2)})
        assert error_code(chunked) == "length_required"
        assert chunked.status_code == 411
    context = ssl.create_default_context(cafile=str(proxy.certificate))
    with (
        socket.create_connection(("127.0.0.1", proxy.plan.proxy.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        head = "".join(f"{name}: {value}\r\n" for name, value in large.headers.items())
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\n{head}\r\n".encode() + b"x" * 20000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_concurrency_limit_holds_and_the_queue_is_bounded(proxy: ProxyBench, engine: StubEngine) -> None:
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, proxy, delay=2.0) for _ in range(4)]
        wait_for(lambda: proxy.script("streams") == "4")
        refused = ask(proxy)
        assert not any(future.done() for future in waiting), "it waited for a place"
        answers = [future.result() for future in waiting]
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "7"
    assert error_code(refused) == "queue_full"
    assert [answer.status_code for answer in answers] == [200] * 4
    assert engine.most == 2
    wait_for(lambda: proxy.script("streams") == "0")


def test_burst_is_served_or_refused_and_never_over_the_limit(proxy: ProxyBench, engine: StubEngine) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(proxy, delay=1.5).status_code, range(16)))
    assert set(answers) == {200, 429}
    assert engine.most == 2


def test_wait_in_the_queue_ends_with_503(tmp_path: Path, haproxy: Path, engine: StubEngine) -> None:
    settings = {"concurrency": 1, "queue": 5, "queue_seconds": 1, "retry_after_seconds": 9}
    with running_proxy(tmp_path, haproxy, [engine], **settings) as proxy, ThreadPoolExecutor(1) as pool:
        wait_for(lambda: proxy.ready() == 200)
        slow = pool.submit(ask, proxy, delay=5)
        wait_for(lambda: engine.running == 1)
        started = time.monotonic()
        late = ask(proxy)
        assert time.monotonic() - started > 0.9
        assert not slow.done(), "it waited for the place, not for its time"
        assert late.status_code == 503
        assert late.headers["retry-after"] == "9"
        assert error_code(late) == "overloaded"
        assert slow.result().status_code == 200


def test_queue_of_none_refuses_only_when_all_places_are_taken(
    tmp_path: Path, haproxy: Path, engine: StubEngine
) -> None:
    with running_proxy(tmp_path, haproxy, [engine], concurrency=1, queue=0) as proxy, ThreadPoolExecutor(1) as pool:
        wait_for(lambda: proxy.ready() == 200)
        slow = pool.submit(ask, proxy, delay=0.6)
        wait_for(lambda: engine.running == 1)
        assert ask(proxy).status_code == 429
        assert slow.result().status_code == 200
        assert ask(proxy).status_code == 200


def test_replicas_share_the_load(tmp_path: Path, haproxy: Path) -> None:
    with StubEngine().serving() as one, StubEngine().serving() as two:
        with (
            running_proxy(tmp_path, haproxy, [one, two], concurrency=2, queue=8) as proxy,
            ThreadPoolExecutor(4) as pool,
        ):
            wait_for(lambda: proxy.ready() == 200)
            assert set(pool.map(lambda _: ask(proxy, delay=0.5).status_code, range(4))) == {200}
        assert (one.most, two.most) == (2, 2)


def test_stream_passes_chunk_by_chunk(proxy: ProxyBench) -> None:
    with proxy.client() as client, client.stream("POST", CHAT, json={"chunks": 4, "gap": 0.3}) as response:
        arrivals = [(time.monotonic(), line) for line in response.iter_lines() if line]
    assert [line for _, line in arrivals] == [f"data: {index}" for index in range(4)]
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(arrivals)]
    assert all(0.15 < gap < 0.6 for gap in gaps), gaps


def test_stream_outlives_the_timeouts_of_an_idle_client(tmp_path: Path, haproxy: Path, engine: StubEngine) -> None:
    with running_proxy(tmp_path, haproxy, [engine], client_seconds=1, stream_seconds=4) as proxy:
        wait_for(lambda: proxy.ready() == 200)
        assert ask(proxy, delay=2.5).status_code == 200
        assert ask(proxy, chunks=3, gap=1.8).text.count("data:") == 3


def test_silent_engine_is_504(tmp_path: Path, haproxy: Path, engine: StubEngine) -> None:
    with running_proxy(tmp_path, haproxy, [engine], stream_seconds=1) as proxy:
        wait_for(lambda: proxy.ready() == 200)
        response = ask(proxy, delay=4)
    assert response.status_code == 504
    assert error_code(response) == "engine_silent"


@pytest.mark.parametrize("wish", [{"delay": 20.0}, {"chunks": 200, "gap": 0.1}])
def test_client_that_leaves_gives_its_place_back(
    proxy: ProxyBench, engine: StubEngine, wish: dict[str, object]
) -> None:
    with proxy.client() as client, pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json=wish, timeout=httpx.Timeout(20, read=1)) if "delay" in wish else read_some(client, wish)
    wait_for(lambda: engine.aborted == 1)
    wait_for(lambda: proxy.script("streams") == "0")
    assert ask(proxy).status_code == 200


def read_some(client: httpx.Client, wish: dict[str, object]) -> None:
    with client.stream("POST", CHAT, json=wish) as response:
        next(response.iter_lines())
        raise httpx.ReadTimeout("left after the first token")


def test_client_that_leaves_the_queue_is_never_asked_of_the_engine(proxy: ProxyBench, engine: StubEngine) -> None:
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(ask, proxy, delay=4.0) for _ in range(2)]
        wait_for(lambda: engine.running == 2)
        with proxy.client() as client, pytest.raises(httpx.ReadTimeout):
            client.post(CHAT, json={}, timeout=httpx.Timeout(20, read=0.5))
        wait_for(lambda: proxy.script("streams") == "2")
        assert [future.result().status_code for future in slow] == [200, 200]
    assert len(engine.seen) == 2


def test_drain_turns_ready_and_nothing_else(proxy: ProxyBench) -> None:
    with proxy.client(None) as client:
        assert client.get("/ready").status_code == 200
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(ask, proxy, delay=0.5)
            proxy.script("drain", "on")
            drained = client.get("/ready")
            assert drained.status_code == 503
            assert drained.headers["retry-after"] == "7"
            assert proxy.ready() == 503
            assert client.get("/health").status_code == 200
            assert ask(proxy).status_code == 200
            assert running.result().status_code == 200
        proxy.script("drain", "on")
        proxy.stop()
        assert proxy.script("streams") == "0"
        proxy.start()
        assert proxy.ready() == 503, "the flag must outlive the proxy"
        proxy.script("drain", "off")
        assert client.get("/ready").status_code == 200
        proxy.stop()
        proxy.script("drain", "on")
        proxy.start()
        assert proxy.ready() == 503, "the flag must be there for a proxy that starts later"


def test_drain_refuses_other_words(proxy: ProxyBench) -> None:
    with pytest.raises(AssertionError, match="usage: drain on"):
        proxy.script("drain", "maybe")


def test_engine_that_is_down_is_503_and_comes_back(proxy: ProxyBench, engine: StubEngine) -> None:
    engine.healthy = False
    wait_for(lambda: proxy.ready() == 503, 15)
    response = ask(proxy)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert error_code(response) == "no_engine"
    engine.healthy = True
    wait_for(lambda: proxy.ready() == 200, 5)
    assert ask(proxy).status_code == 200


def test_engine_that_refuses_connections_is_503(proxy: ProxyBench, engine: StubEngine) -> None:
    engine.stop()
    response = ask(proxy)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"


def test_graceful_stop_lets_a_stream_end(proxy: ProxyBench, engine: StubEngine) -> None:
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(ask, proxy, chunks=4, gap=0.3)
        wait_for(lambda: engine.running == 1)
        assert proxy.process is not None
        subprocess.run(["kill", "-USR1", str(proxy.process.pid)], check=True)
        assert stream.result().text.count("data:") == 4
        assert proxy.process.wait(10) in {0, 143}
        proxy.process = None


def test_tls_is_modern_and_offers_http2(proxy: ProxyBench) -> None:
    for version, protocol in ((None, "h2"), (ssl.TLSVersion.TLSv1_2, "http/1.1")):
        context = ssl.create_default_context(cafile=str(proxy.certificate))
        context.set_alpn_protocols([protocol])
        if version:
            context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", proxy.plan.proxy.port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            assert connection.selected_alpn_protocol() == protocol
            assert connection.version() == ("TLSv1.2" if version else "TLSv1.3")


def test_metrics_are_for_this_host_only(proxy: ProxyBench) -> None:
    ask(proxy)
    text = httpx.get(f"{proxy.operations}/metrics").text
    assert 'haproxy_backend_http_responses_total{proxy="engines",code="2xx"} 1' in text
    assert "haproxy_backend_current_queue" in text
    assert httpx.get(f"{proxy.operations}/v1/models").status_code == 404
    assert f"127.0.0.1:{proxy.plan.proxy.metrics_port}" in proxy.configuration.read_text()


def test_socket_is_for_root_only(proxy: ProxyBench) -> None:
    assert (proxy.folder / "run/slipway/proxy.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("case", CASES)
def test_configuration_has_no_warning(tmp_path: Path, haproxies: dict[str, Path], case: str) -> None:
    bench = ProxyBench(tmp_path, next(iter(haproxies.values())), CASES[case])
    for name, haproxy in haproxies.items():
        result = subprocess.run(
            [haproxy, "-c", "-dW", "-f", str(bench.configuration)], capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{name}: {result.stderr}"
        assert "WARNING" not in result.stderr, name


def test_a_key_has_so_many_requests_a_minute_and_takes_none_of_another(
    tmp_path: Path, haproxy: Path, engine: StubEngine
) -> None:
    with running_proxy(tmp_path, haproxy, [engine], key_requests=3, retry_after_seconds=7) as bench:
        wait_for(lambda: bench.ready() == 200)
        with bench.client() as first, bench.client(SECOND_KEY) as second, bench.client("sk-wrong") as wrong:
            assert [first.post(CHAT, json={}).status_code for _ in range(3)] == [200] * 3
            refused = first.post(CHAT, json={})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
            assert error_code(refused) == "rate_limit_exceeded"
            assert second.post(CHAT, json={}).status_code == 200
            assert wrong.post(CHAT, json={}).status_code == 401
            assert first.post(CHAT, json={}).status_code == 429
    assert engine.served == 4
