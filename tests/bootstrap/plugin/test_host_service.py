"""The Host and Service resources over fakes: sessions, failures that are kept, drift."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from bootstrap.host import HostReport
from bootstrap.plugin.codec import UNKNOWN, decode
from bootstrap.plugin.resources.host import Host, HostEdge
from bootstrap.plugin.resources.service import Service, ServiceEdge
from bootstrap.service import Credentials, ServiceReport
from bootstrap.testing import FakeSession
from bootstrap.verify import Drift
from slipway.errors import CommandError, UnreachableError
from tests.bootstrap.plugin.provider import CallError, provider, secret

pytestmark = pytest.mark.net

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
API_KEY = "sw-a-key-for-tests-0001"
CONNECTION = {"name": "h1", "address": "10.0.0.1", "private_key": KEY, "host_key_policy": "accept-new"}
HOST = {"release": "2026.11-cpu", "os": "debian:12", "packages": [{"name": "docker.io", "version": "20.10.24"}]}
GATE = {"engines": ["http://127.0.0.1:9000"], "proxy": "https://127.0.0.1:8443", "model": "m"}
SERVICE = {
    "name": "chat",
    "release": "2026.11-cpu",
    "files": [{"path": "/etc/slipway/keys.acl", "content": "digest", "secret": True}],
    "units": [],
    "gate": GATE,
}
UNREACHABLE = UnreachableError("nothing answers", where="h1", fix="Start it.")


@dataclasses.dataclass
class Edge:
    """Stands in for bootstrap.ssh, bootstrap.host and bootstrap.service."""

    connections: list = dataclasses.field(default_factory=list)
    deadlines: list = dataclasses.field(default_factory=list)
    done: list = dataclasses.field(default_factory=list)
    drifts: tuple = ()
    fault: Exception | None = None
    unreachable: bool = False
    others: object = None
    closed: str | None = None

    def connect(self, connection, log, cancel, *, deadline=120.0):
        self.connections.append(connection)
        self.deadlines.append(deadline)
        if self.unreachable:
            raise UNREACHABLE
        return FakeSession(pinned_host_key="ssh-ed25519 SEEN")

    def converge_host(self, session, desired, log, cancel, *, others=None):
        self.others = others
        log.progress(f"working with {KEY.splitlines()[1]}")
        self.done.append(("host", desired.release))
        if self.fault:
            raise self.fault
        return HostReport(
            facts={}, changed=("packages",), release=desired.release, boot_id="boot-1", seconds={"packages": 9.5}
        )

    def converge_service(self, session, desired, api_key, log, cancel, *, credentials=None, others=None, closed=None):
        self.others, self.closed = others, closed
        self.done.append(("service", desired.name, api_key, credentials))
        log.info(f"asking with {api_key}")
        if self.fault:
            raise self.fault
        return ServiceReport(changed=("files",), completion="Hello!", seconds={"gate": 1.5})

    def read(self, session, desired):
        return self.drifts

    def remove(self, session, desired, log, cancel):
        self.done.append(("remove", desired.release))


@pytest.fixture
def edge():
    return Edge()


@pytest.fixture
def host(edge):
    with provider(Host(HostEdge(edge.connect, edge.converge_host, edge.read, edge.remove))) as served:
        yield served


@pytest.fixture
def service(edge):
    with provider(Service(ServiceEdge(edge.connect, edge.converge_service, edge.read, edge.remove))) as served:
        yield served


def host_inputs(**changes):
    return secret({"connection": CONNECTION, "desired": HOST, **changes}, ("connection", "private_key"))


def service_inputs(**changes):
    return secret(
        {"connection": CONNECTION, "desired": SERVICE, "api_key": API_KEY, **changes},
        ("connection", "private_key"), ("desired", "files", 0, "content"), ("api_key",), ("credentials",),
    )  # fmt: skip


def test_a_host_is_converged_and_its_key_pinned(host, edge):
    resource_id, made = host.create(host_inputs())
    assert resource_id == "h1"
    assert made.values["host_key"] == "ssh-ed25519 SEEN"
    assert made.values["release"] == "2026.11-cpu"
    assert (made.values["changed"], made.values["seconds"]) == (["packages"], {"packages": 9.5})
    assert made.values["drift"] == {}
    assert made.secrets == {("connection", "private_key")}
    host.update(made, host_inputs(), resource_id="h1")
    assert edge.connections[0].host_key is None
    assert (edge.connections[1].host_key, edge.connections[1].host_key_policy) == ("ssh-ed25519 SEEN", "pinned")


def test_no_line_of_the_private_key_reaches_the_log(host):
    host.create(host_inputs())
    assert ("info", "working with [secret]", True) in host.sink.lines


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        ({"desired": {**HOST, "packages": [{"name": "a"}]}}, "desired.packages[0].version", "required"),
        ({"desired": {**HOST, "colour": "red"}}, "desired.colour", "not permitted"),
        ({"connection": {**CONNECTION, "port": "x"}}, "connection.port", "valid integer"),
        ({"connection": {**CONNECTION, "host_key_policy": "never"}}, "connection.host_key_policy", "'pinned'"),
    ],
)
def test_a_host_is_checked_by_its_models(host, change, key, reason):
    _, failures = host.check(host_inputs(**change))
    assert list(failures) == [key]
    assert reason in failures[key]


@pytest.mark.parametrize(
    "change",
    [
        {"connection": {**CONNECTION, "port": UNKNOWN, "address": UNKNOWN}},
        {"connection": UNKNOWN},
        {"desired": {**HOST, "packages": UNKNOWN}},
        {"desired": {**HOST, "packages": [{"name": "a", "version": UNKNOWN}]}},
    ],
)
def test_what_is_not_known_yet_is_not_refused(host, change):
    assert host.check(host_inputs(**change))[1] == {}


def test_a_host_that_fails_half_way_is_kept_with_its_pinned_key(host, edge):
    edge.fault = CommandError("exit status 100 from: install docker.io", where="h1", fix="Run `up` again.")
    with pytest.raises(CallError, match="h1: exit status 100") as caught:
        host.create(host_inputs())
    kept = caught.value.init_failed
    assert kept.id == "h1"
    assert decode(kept.properties).values["host_key"] == "ssh-ed25519 SEEN"
    assert decode(kept.properties).secrets == {("connection", "private_key")}


def test_a_host_that_was_never_reached_is_not_kept(host, edge):
    edge.unreachable = True
    with pytest.raises(CallError, match=r"h1: nothing answers\. Start it\.") as caught:
        host.create(host_inputs())
    assert caught.value.init_failed is None


def test_drift_is_read_shown_and_put_right(host, edge):
    _, made = host.create(host_inputs())
    edge.drifts = (Drift("docker.io", "20.10.24", "20.10.23", "2026-11-01T10:00:00Z"), Drift("hold", "yes", "no"))
    read = decode(host.read("h1", host_inputs(), made).properties)
    assert read.values["drift"] == {
        "docker.io": "expected 20.10.24, found 20.10.23 since 2026-11-01T10:00:00Z",
        "hold": "expected yes, found no",
    }
    assert edge.deadlines[-1] < 60
    differs = host.diff(host_inputs(), host_inputs(), state=read).detailedDiff
    assert set(differs) == {'drift["docker.io"]', "drift.hold"}
    assert host.update(read, host_inputs()).values["drift"] == {}


def test_a_host_that_is_down_is_drift(host, edge):
    _, made = host.create(host_inputs())
    edge.unreachable = True
    read = decode(host.read("h1", host_inputs(), made).properties)
    assert read.values["drift"] == {"connection": "expected an answer, found: nothing answers"}


def test_deleting_takes_it_off_the_host(host, edge):
    _, made = host.create(host_inputs())
    host.delete("h1", made, host_inputs())
    assert edge.done[-1] == ("remove", "2026.11-cpu")


def test_a_preview_knows_the_release(host):
    _, previewed = host.create(host_inputs(), preview=True)
    assert previewed.values["release"] == "2026.11-cpu"
    assert previewed.values["boot_id"] is UNKNOWN


def test_a_service_answers(service, edge):
    checked, failures = service.check(service_inputs(credentials={"token": "hf_a_token"}))
    assert failures == {}
    resource_id, made = service.create(checked)
    assert resource_id == "h1/chat"
    assert made.values["completion"] == "Hello!"
    assert made.values["seconds"] == {"gate": 1.5}
    assert edge.done == [("service", "chat", API_KEY, Credentials(token="hf_a_token"))]
    assert "asking with [secret]" in service.sink.texts("info")
    assert ("api_key",) in made.secrets
    assert ("completion",) not in made.secrets


def test_unknown_credentials_are_refused(service):
    assert "credentials.tokn" in service.check(service_inputs(credentials={"tokn": "x"}))[1]


def test_the_fingerprint_follows_what_is_served(service):
    _, made = service.create(service_inputs())
    fingerprint = made.values["fingerprint"]
    assert ("fingerprint",) not in made.secrets
    _, same = service.create(service_inputs(triggers={"a": 1}), preview=True)
    assert same.values["fingerprint"] == fingerprint
    _, other = service.create(service_inputs(desired={**SERVICE, "release": "2026.12"}), preview=True)
    assert other.values["fingerprint"] != fingerprint
    unknown = {**SERVICE, "files": [{"path": "/x", "content": UNKNOWN}]}
    assert service.create(service_inputs(desired=unknown), preview=True)[1].values["fingerprint"] is UNKNOWN


def test_a_service_that_fails_its_gate_is_kept(service, edge):
    edge.fault = CommandError(f"the proxy refused {API_KEY}", where="h1", fix="Look at its log.")
    with pytest.raises(CallError) as caught:
        service.create(service_inputs())
    assert str(caught.value) == "h1: the proxy refused [secret]. Look at its log."
    assert caught.value.init_failed.id == "h1/chat"


WINDOW = {"cron": "0 2 * * *", "seconds": 3600}
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
OTHER_IMAGE = {**SERVICE, "images": ["sha256:b"]}


def test_a_service_knows_that_no_window_is_open(edge):
    """Whether that holds it back its host decides, which knows what it serves with. Drift never waits."""
    shut = "no maintenance window is open; the next opens Thu 2026-11-26 02:00 UTC"
    resource = Service(ServiceEdge(edge.connect, edge.converge_service, edge.read, edge.remove))
    with provider(resource, now=lambda: NOON) as service:
        _, made = service.create(service_inputs(windows=[WINDOW]))
        service.update(made, service_inputs(windows=[WINDOW]))
        assert edge.closed is None
        service.update(made, service_inputs(windows=[WINDOW], desired=OTHER_IMAGE))
        assert edge.closed == shut
        service.update(made, service_inputs(desired=OTHER_IMAGE))
        assert edge.closed is None
        assert not service.diff(service_inputs(windows=[WINDOW]), service_inputs()).detailedDiff
        assert list(service.check(service_inputs(windows=[{"cron": "0 2 * * *"}]))[1]) == ["windows[0].seconds"]


def test_a_preview_of_a_service_warns_of_a_closed_window(edge):
    resource = Service(ServiceEdge(edge.connect, edge.converge_service, edge.read, edge.remove))
    with provider(resource, now=lambda: NOON) as service:
        _, made = service.create(service_inputs())
        for desired in (
            {**SERVICE, "model": {"source": "https://a/b", "sha256": "0", "size": 1, "path": "/m"}},
            OTHER_IMAGE,
            {**OTHER_IMAGE, "release": "2026.12-cpu"},
            SERVICE,
        ):
            service.update(made, service_inputs(windows=[WINDOW], desired=desired), preview=True)
        assert [text.partition(",")[0] for text in service.sink.texts("warning").splitlines()] == [
            "it: another model is to serve", "it: another image is to serve",
        ]  # fmt: skip


def test_a_service_drifts_too(service, edge):
    _, made = service.create(service_inputs())
    edge.drifts = (Drift("unit.slipway-proxy.service", "active", "failed"),)
    read = decode(service.read("h1/chat", service_inputs(), made).properties)
    changed = service.diff(service_inputs(), service_inputs(), state=read)
    assert list(changed.detailedDiff) == ['drift["unit.slipway-proxy.service"]']
    service.delete("h1/chat", made, service_inputs())
    assert edge.done[-1] == ("remove", "2026.11-cpu")
