"""The Gate resource over fakes, and what counts as a regression."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.protobuf import empty_pb2

from bootstrap.plugin.resources.gate import Gate, GateEdge
from bootstrap.plugin.resources.traffic import Limits, Traffic, parse_metrics, regression
from bootstrap.testing import FakeSession
from tests.bootstrap.plugin.provider import CallError, provider

LIMITS = Limits(max_error_ratio=0.01, max_latency_ratio=1.5, min_requests=20)


def exposition(requests, errors, latency):
    """As HAProxy 3.0 prints it, shortened."""
    return f"""# HELP haproxy_backend_http_responses_total Total number of HTTP responses by status code class
# TYPE haproxy_backend_http_responses_total counter
haproxy_frontend_http_responses_total{{proxy="api",code="5xx"}} 999
haproxy_backend_http_responses_total{{proxy="engines",code="2xx"}} {requests - errors}
haproxy_backend_http_responses_total{{proxy="engines",code="5xx"}} {errors}
haproxy_backend_total_time_average_seconds{{proxy="engines"}} {latency}
haproxy_process_nbthread 2
"""


def test_metrics_are_summed_over_backends():
    assert parse_metrics(exposition(100, 3, 0.25)) == Traffic(requests=100, errors=3, latency=0.25)


def test_metrics_of_something_else_are_refused():
    with pytest.raises(ValueError, match="haproxy_backend_total_time_average_seconds"):
        parse_metrics("up 1\n")


@pytest.mark.parametrize(
    ("before", "after", "baseline", "reason"),
    [
        ((0, 0, 0.1), (100, 0, 0.1), None, None),
        ((0, 0, 0.1), (100, 1, 0.1), None, None),
        ((0, 0, 0.1), (100, 2, 0.1), None, r"2 of 100 responses were 5xx, 2\.00% > 1\.00%"),
        ((100, 50, 0.1), (200, 50, 0.1), None, None),
        ((0, 0, 0.1), (19, 19, 9.0), 0.1, None),
        ((500, 400, 0.1), (100, 0, 0.1), None, None),
        ((500, 0, 0.1), (100, 2, 0.1), None, "2 of 100"),
        ((0, 0, 0.1), (100, 0, 0.14), 0.1, None),
        ((0, 0, 0.1), (100, 0, 0.16), 0.1, r"0\.160 s > 0\.100 s times 1\.5"),
        ((0, 0, 0.0), (0, 0, 0.0), 0.1, None),
    ],
)
def test_regression(before, after, baseline, reason):
    found = regression(Traffic(*before), Traffic(*after), baseline, LIMITS)
    assert found is None if reason is None else re.search(reason, found or "")


class Proxies:
    """Hosts whose proxies answer one exposition after the other."""

    def __init__(self, **answers):
        self.sessions = {name: FakeSession(name, [("/metrics", list(texts))]) for name, texts in answers.items()}

    def connect(self, connection, log, cancel, *, deadline=120.0):
        return self.sessions[connection.name]


def gate_inputs(*names, **changes):
    connections = [{"name": name, "address": name, "private_key": "a private key"} for name in names]
    return {"connections": connections, "bake_seconds": 0, "triggers": {"h1": "a"}, **changes}


@pytest.mark.net
def test_a_gate_opens_when_all_is_well_and_asks_only_when_something_changed():
    proxies = Proxies(h1=[exposition(0, 0, 0.1), exposition(100, 0, 0.1)], h2=[exposition(5, 0, 0.2)])
    with provider(Gate(GateEdge(proxies.connect))) as gate:
        checked, failures = gate.check(gate_inputs("h1", "h2"))
        assert failures == {}
        _, made = gate.create(checked)
        assert made.values["latency"] == {"h1": 0.1, "h2": 0.2}
        assert made.values["requests"] == {"h1": 100, "h2": 0}
        assert "h2: fewer than 20 requests" in gate.sink.texts("info")
        asked = len(proxies.sessions["h1"].commands)
        kept = gate.update(made, gate_inputs("h1", "h2", min_requests=5))
        assert kept.values["latency"] == made.values["latency"]
        assert kept.values["min_requests"] == 5
        assert len(proxies.sessions["h1"].commands) == asked
        gate.update(made, gate_inputs("h1", "h2", triggers={"h1": "b"}))
        assert len(proxies.sessions["h1"].commands) == asked + 2


@pytest.mark.net
def test_a_gate_stays_shut_and_is_not_kept():
    proxies = Proxies(h1=[exposition(0, 0, 0.1), exposition(100, 20, 0.1)])
    with (
        provider(Gate(GateEdge(proxies.connect))) as gate,
        pytest.raises(CallError, match="h1: the gate stays shut: 20 of 100 responses were 5xx") as caught,
    ):
        gate.create(gate_inputs("h1"))
    assert caught.value.init_failed is None


@pytest.mark.net
def test_latency_is_held_against_the_last_time_it_passed():
    passed = exposition(100, 0, 0.1)
    proxies = Proxies(h1=[exposition(0, 0, 0.1), passed, passed, exposition(200, 0, 0.2)])
    with provider(Gate(GateEdge(proxies.connect))) as gate:
        _, made = gate.create(gate_inputs("h1"))
        with pytest.raises(CallError, match=r"mean latency is 0\.200 s > 0\.100 s"):
            gate.update(made, gate_inputs("h1", triggers={"h1": "b"}))


@pytest.mark.net
def test_a_gate_that_waits_is_cancelled_at_once():
    proxies = Proxies(h1=[exposition(0, 0, 0.1)])
    with provider(Gate(GateEdge(proxies.connect))) as gate, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(gate.create, gate_inputs("h1", bake_seconds=600))
        while "watching the traffic for another" not in gate.sink.texts("info"):
            time.sleep(0.01)
        gate.call("Cancel", empty_pb2.Empty())
        with pytest.raises(CallError, match="stopped while watching the traffic"):
            asking.result(timeout=30)


@pytest.mark.net
def test_something_else_on_the_port_is_said():
    proxies = Proxies(h1=["<html>"])
    with (
        provider(Gate(GateEdge(proxies.connect))) as gate,
        pytest.raises(CallError, match=r"h1: no haproxy_.* See what answers at http://127\.0\.0\.1:8404/metrics there"),
    ):
        gate.create(gate_inputs("h1"))


@pytest.mark.net
def test_useless_inputs_are_refused():
    with provider(Gate(GateEdge(Proxies().connect))) as gate:
        _, failures = gate.check(gate_inputs("h1", bake_seconds=-1, connections=[{"name": "h1"}]))
    assert set(failures) == {"bake_seconds", "connections[0].address", "connections[0].private_key"}
