"""The Gate resource over fake hosts."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from google.protobuf import empty_pb2

from bootstrap.plugin.resources.gate import Gate, GateEdge
from bootstrap.session import Result
from bootstrap.testing import FakeSession
from slipway.errors import UnreachableError
from tests.bootstrap.plugin.provider import CallError, provider

ENGINE = "http://127.0.0.1:9000/metrics"


@dataclass(frozen=True)
class Look:
    """What a host shows at one look: `tokens` took `per_token` seconds each."""

    requests: int = 0
    errors: int = 0
    latency: float = 0.1
    tokens: int = 0
    per_token: float = 0.01
    restarts: int = 0
    started: int = 2_000_000_000
    xids: tuple[str, ...] = ()
    proxy: str | None = None
    engine: bool = True

    def answer(self, script: str) -> Result:
        token = re.search(r"^echo '(--\w+) proxy'", script, re.MULTILINE)
        assert token, script
        parts = [self._part(token[1], "proxy", self._proxy())]
        if "engine-0" in script:
            assert ENGINE in script
            parts.append(self._part(token[1], "engine-0", self._engine(), 0 if self.engine else 7))
        units = f"""Id=slipway-engine-0.service
LoadState=loaded
ActiveState=active
NRestarts={self.restarts}
ExecMainStartTimestamp=@{self.started}

Id=slipway-gone.service
LoadState=not-found
ActiveState=failed
NRestarts=9
"""
        parts += [self._part(token[1], "units", units), self._part(token[1], "xids", "\n".join(self.xids))]
        return Result(0, "".join(parts))

    @staticmethod
    def _part(token: str, name: str, text: str, status: int = 0) -> str:
        return f"{token} {name}\n{text}\n{token} = {status}\n"

    def _proxy(self) -> str:
        """As HAProxy prints it, shortened."""
        if self.proxy is not None:
            return self.proxy
        return f"""# TYPE haproxy_backend_http_responses_total counter
haproxy_frontend_http_responses_total{{proxy="api",code="5xx"}} 999
haproxy_backend_http_responses_total{{proxy="engines",code="2xx"}} {self.requests - self.errors}
haproxy_backend_http_responses_total{{proxy="engines",code="5xx"}} {self.errors}
haproxy_backend_total_time_average_seconds{{proxy="engines"}} {self.latency}
haproxy_process_nbthread 2"""

    def _engine(self) -> str:
        return f"""vllm:inter_token_latency_seconds_sum{{model_name="m"}} {self.tokens * self.per_token}
vllm:inter_token_latency_seconds_count{{model_name="m"}} {self.tokens}"""


@dataclass
class Hosts:
    """Hosts that show one look after the other, the last one staying; one without looks cannot be reached."""

    looks: dict[str, list[Look]]
    sessions: dict[str, FakeSession] = field(default_factory=dict)

    def connect(self, connection, log, cancel, *, deadline=120.0):
        looks = self.looks[connection.name]
        if not looks:
            raise UnreachableError("no answer", where=connection.name, fix="Start it.")
        return self.sessions.setdefault(
            connection.name, FakeSession(connection.name, [("", [self._shows(look) for look in looks])])
        )

    @staticmethod
    def _shows(look: Look):
        return lambda command: look.answer(command.script)

    def asked(self, name: str) -> int:
        return len(self.sessions[name].commands) if name in self.sessions else 0


def connections(*names):
    return [{"name": name, "address": name, "private_key": "a private key"} for name in names]


def gate_inputs(*names, **changes):
    if "peers" in changes:
        changes["peers"] = connections(*changes["peers"])
    return {
        "connections": connections(*names),
        "bake_seconds": 0.01,
        "triggers": {"h1": "a"},
        "engines": [ENGINE],
        **changes,
    }


def gate_over(look_every=10.0, **looks):
    hosts = Hosts(looks)
    return hosts, Gate(GateEdge(hosts.connect, look_every))


FIRST = Look()
CHANGED = {"triggers": {"h1": "b"}}


@pytest.mark.net
def test_on_a_first_install_it_looks_once_and_does_not_bake():
    """A restart of long ago is nobody's fault."""
    hosts, resource = gate_over(h1=[FIRST], h2=[Look(restarts=2)])
    with provider(resource) as gate:
        checked, failures = gate.check(gate_inputs("h1", "h2", bake_seconds=600))
        assert failures == {}
        _, made = gate.create(checked)
    assert (made.values["figures"], made.values["requests"]) == ({}, {})
    assert (hosts.asked("h1"), hosts.asked("h2")) == (1, 1)


@pytest.mark.net
@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (
            Look(
                xids=("2026-11-24T10:00:00+0000 h1 kernel: NVRM: Xid (PCI:0000:01:00): 79, pid=1, GPU has fallen off",)
            ),
            r"the kernel log has Xid 79 of GPU 0000:01:00: pid=1, GPU has fallen off",
        ),
        (Look(proxy="<html>"), r"no haproxy_.* See what answers at http://127\.0\.0\.1:8404/metrics there"),
    ],
)
def test_a_first_install_that_is_unwell_stays_shut_and_is_not_kept(look, reason):
    _, resource = gate_over(h1=[look])
    with provider(resource) as gate, pytest.raises(CallError, match=f"h1: the gate stays shut: {reason}") as caught:
        gate.create(gate_inputs("h1"))
    assert caught.value.init_failed is None


@pytest.mark.net
def test_an_xid_of_an_application_is_no_reason():
    xid = "2026-11-24T10:00:00+0000 h1 kernel: NVRM: Xid (PCI:0000:01:00): 31, pid=7, name=python"
    _, resource = gate_over(h1=[Look(xids=(xid,))])
    with provider(resource) as gate:
        gate.create(gate_inputs("h1"))


@pytest.mark.net
def test_it_bakes_only_when_something_changed():
    hosts, resource = gate_over(h1=[FIRST, FIRST, Look(100, tokens=1000)], h2=[FIRST])
    with provider(resource) as gate:
        _, made = gate.create(gate_inputs("h1", "h2"))
        kept = gate.update(made, gate_inputs("h1", "h2", limits={"min_requests": 5}))
        assert kept.values["limits"] == {"min_requests": 5}
        assert hosts.asked("h1") == 1
        baked = gate.update(made, gate_inputs("h1", "h2", **CHANGED))
        assert hosts.asked("h1") == 3
        assert baked.values["requests"] == {"h1": 100, "h2": 0}
        assert baked.values["figures"] == {"h1": {"per_token": pytest.approx(0.01)}, "h2": {}}
        said = gate.sink.texts("info")
    assert "h2: fewer than 20 requests, too few to judge by" in said
    assert "h1: 100 requests, 0 errors, a token 0.01 s" in said


@pytest.mark.net
def test_too_many_errors_keep_it_shut():
    _, resource = gate_over(h1=[FIRST, Look(100, errors=20)])
    with (
        provider(resource) as gate,
        pytest.raises(CallError, match=r"h1: the gate stays shut after 0 s of 0 s: 20 of 100 responses were 5xx"),
    ):
        gate.create(gate_inputs("h1", bake_first=True))


@pytest.mark.net
def test_its_limits_are_inputs():
    _, resource = gate_over(h1=[FIRST, Look(100, errors=2)])
    with provider(resource) as gate:
        gate.create(gate_inputs("h1", bake_first=True, limits={"errors": 0.02}))
    _, resource = gate_over(h1=[FIRST, Look(100, errors=2)])
    with provider(resource) as gate, pytest.raises(CallError, match=r"2\.00% > 1\.90% \(limits\.errors\)"):
        gate.create(gate_inputs("h1", bake_first=True, limits={"errors": 0.019}))


@pytest.mark.net
def test_every_bad_host_of_a_wave_is_named():
    looks = {"h1": [FIRST, Look(100, errors=20)], "h2": [FIRST], "h3": [FIRST, Look(restarts=1)]}
    _, resource = gate_over(**looks)
    with provider(resource) as gate, pytest.raises(CallError) as caught:
        gate.create(gate_inputs("h1", "h2", "h3", bake_first=True))
    assert str(caught.value).startswith(
        "h1, h3: the gate stays shut after 0 s of 0 s: h1: 20 of 100 responses were 5xx or broke off, 20.00% > 1.00% "
        "(limits.errors); h3: slipway-engine-0.service was restarted 1 time by systemd, 1 > 0. Look at the logs there"
    )


@pytest.mark.net
def test_every_host_that_cannot_be_read_is_named():
    _, resource = gate_over(h1=[], h2=[FIRST], h3=[])
    with provider(resource) as gate, pytest.raises(CallError) as caught:
        gate.create(gate_inputs("h1", "h2", "h3"))
    assert str(caught.value) == "h1, h3: the gate cannot look at its hosts: h1: no answer; h3: no answer. Start it."
    with provider(resource) as gate, pytest.raises(CallError) as caught:
        gate.create(gate_inputs("h1", "h2"))
    assert str(caught.value) == "h1: no answer. Start it."


@pytest.mark.net
def test_what_it_asks_is_no_change_but_whom_and_why_is():
    """A wave that is nobody's business any more must not be asked again because the fleet behind it has grown."""
    _, resource = gate_over()
    before = gate_inputs("h1")
    quiet = {"peers": ["h2"], "engines": [], "limits": {"latency": 2}, "bake_seconds": 9, "metrics_url": "http://a/"}
    with provider(resource) as gate:
        assert not gate.diff(before, gate_inputs("h1", **quiet)).detailedDiff
        assert set(gate.diff(before, gate_inputs("h1", "h2", **CHANGED)).diffs) == {"connections", "triggers"}


@pytest.mark.net
@pytest.mark.parametrize(
    ("state", "worse", "reason"),
    [
        ({"latency": {"h1": 0.1}}, Look(2000, latency=0.2), r"mean latency is 0\.2000 s > 0\.1000 s \(when this gate"),
        (
            {"figures": {"h1": {"per_token": 0.01}}},
            Look(100, tokens=1000, per_token=0.02),
            r"output token \(engine\) is 0\.0200 s > 0\.0100 s \(when this gate passed last\) times 1\.25",
        ),
    ],
)
def test_times_are_held_against_the_last_time_it_passed(state, worse, reason):
    _, resource = gate_over(h1=[FIRST, worse])
    with provider(resource) as gate, pytest.raises(CallError, match=reason):
        gate.update({**gate_inputs("h1"), **state}, gate_inputs("h1", **CHANGED))


@pytest.mark.net
@pytest.mark.parametrize(("seconds", "asked", "kept"), [(0.01, (2, 2), {"h1": {"per_token": 0.01}}), (0, (1, 0), {})])
def test_a_quiet_passage_keeps_the_baseline_and_an_unwatched_one_drops_it(seconds, asked, kept):
    """And asks each host once, as there is nothing to compare."""
    hosts, resource = gate_over(h1=[FIRST], h2=[FIRST])
    with provider(resource) as gate:
        state = {**gate_inputs("h1"), "figures": {"h1": {"per_token": 0.01}}}
        passed = gate.update(state, gate_inputs("h1", bake_seconds=seconds, peers=["h2"], **CHANGED))
    assert passed.values["figures"] == kept
    assert (hosts.asked("h1"), hosts.asked("h2")) == asked


@pytest.mark.net
def test_without_an_earlier_passage_hosts_of_later_waves_say_what_is_usual():
    looks = {"h2": [FIRST, Look(100, tokens=1000)], "h3": []}
    hosts, resource = gate_over(h1=[FIRST, Look(100, tokens=1000, per_token=0.02)], **looks)
    with provider(resource) as gate:
        with pytest.raises(CallError, match=r"0\.0200 s > 0\.0100 s \(h2, not yet changed, over the same time\)"):
            gate.update(gate_inputs("h1"), gate_inputs("h1", peers=["h2", "h3"], **CHANGED))
        assert "h3: not compared with: h3: no answer" in gate.sink.texts("info")
    known = dict.fromkeys(("latency", "first_byte", "first_token", "per_token"), 0.02)
    hosts, resource = gate_over(h1=[FIRST], h2=[])
    with provider(resource) as gate:
        gate.update({**gate_inputs("h1"), "figures": {"h1": known}}, gate_inputs("h1", peers=["h2"], **CHANGED))
    assert hosts.asked("h2") == 0, "what is known from before needs no peer"


@pytest.mark.net
def test_an_engine_without_metrics_is_judged_by_the_proxy_alone():
    _, resource = gate_over(h1=[FIRST, Look(100, engine=False)])
    with provider(resource) as gate:
        gate.update(gate_inputs("h1"), gate_inputs("h1", **CHANGED))
        assert f"h1: no metrics at {ENGINE}; judged by the proxy's alone" in gate.sink.texts("info")


@pytest.mark.net
@pytest.mark.parametrize(
    ("looks", "asked", "reason"),
    [
        # what waiting does not mend stops it at once
        ([FIRST, Look(restarts=1)], 2, "was restarted 1 time by systemd"),
        # a ratio has to be seen twice before the end
        ([FIRST, Look(100, errors=5), Look(200, errors=9)], 3, r"9 of 200 responses.* 4\.50% > 1\.00%"),
        ([FIRST, Look(100, errors=5), Look(1000, errors=5), Look(1100, errors=40)], 5, "40 of 1100"),
    ],
)
def test_a_regression_stops_the_bake_early(looks, asked, reason):
    hosts, resource = gate_over(look_every=0.01, h1=looks)
    with provider(resource) as gate, pytest.raises(CallError, match=rf"s of 600 s: .*{reason}"):
        gate.update(gate_inputs("h1"), gate_inputs("h1", bake_seconds=600, **CHANGED))
    assert hosts.asked("h1") == asked


@pytest.mark.net
def test_an_errant_first_look_is_forgiven():
    hosts, resource = gate_over(look_every=0.01, h1=[FIRST, Look(20, errors=1), Look(1000, errors=1)])
    with provider(resource) as gate:
        gate.update(gate_inputs("h1"), gate_inputs("h1", bake_seconds=0.05, **CHANGED))
    assert hosts.asked("h1") >= 6


@pytest.mark.net
def test_a_gate_that_waits_is_cancelled_at_once():
    _, resource = gate_over(h1=[FIRST])
    with provider(resource) as gate, ThreadPoolExecutor(1) as pool:
        asking = pool.submit(gate.create, gate_inputs("h1", bake_seconds=600, bake_first=True))
        while "watching the hosts for another" not in gate.sink.texts("info"):
            time.sleep(0.01)
        gate.call("Cancel", empty_pb2.Empty())
        with pytest.raises(CallError, match="stopped while watching the hosts"):
            asking.result(timeout=30)


@pytest.mark.net
def test_a_host_that_does_not_answer_as_it_should_is_named():
    hosts, resource = gate_over(h1=[FIRST])
    hosts.sessions["h1"] = FakeSession("h1", [("", Result(127, "", "sh: not found"))])
    with (
        provider(resource) as gate,
        pytest.raises(CallError, match=r"h1: the gate could not read its units \(exit status -1\): sh: not found"),
    ):
        gate.create(gate_inputs("h1"))


@pytest.mark.net
def test_useless_inputs_are_refused():
    _, resource = gate_over()
    bad = [{"name": "h1"}]
    with provider(resource) as gate:
        _, failures = gate.check(
            gate_inputs("h1", bake_seconds=-1, connections=bad, engines=["9000"], limits={"latency": -2, "tpot": 2})
            | {"peers": bad}
        )
    assert set(failures) == {
        "bake_seconds", "limits.latency", "limits.tpot", "engines[0]",
        "connections[0].address", "connections[0].private_key", "peers[0].address", "peers[0].private_key",
    }  # fmt: skip
