"""What doctor asks of a cluster, over HTTP and TLS to a stub of an API server on loopback: answers of the documented
shape (https://kubernetes.io/docs/reference/kubernetes-api/). `Ready` nodes, discovery and reviews are what it asks."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bootstrap import pki
from bootstrap.clouds import kubernetes
from bootstrap.waits import Waits
from slipway.doctor.cluster import MONITORING, ROUTE, ClusterAnswers, ClusterWanted, Node
from slipway.doctor.types import NoAnswer
from slipway.units import GIB
from tests.bootstrap.clouds.stub_api import Reply, StubApi, serve

pytestmark = pytest.mark.net

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def node(name: str, **allocatable: str) -> dict[str, Any]:
    room = {"cpu": "7910m", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110", **allocatable}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64"}},
        "spec": {},
        "status": {
            "allocatable": room,
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": "amd64"},
        },
    }


REPLIES = {
    "/version": Reply({"major": "1", "minor": "33", "gitVersion": "v1.33.2", "platform": "linux/amd64"}),
    "/api/v1/nodes": Reply({"metadata": {}, "items": [node("n1", **{"nvidia.com/gpu": "2"}), node("n2")]}),
    "/apis/gateway.networking.k8s.io/v1": Reply({"resources": [{"name": "gateways"}, {"name": "httproutes"}]}),
    REVIEWS: Reply({"status": {"allowed": True}}, 201),
}
WANTED = ClusterWanted(None, "prod", "models", (("pool", "gpu"),), (*ROUTE, MONITORING[0]))

Ask = Callable[..., ClusterAnswers]


@pytest.fixture
def api() -> Iterator[StubApi]:
    with serve(REPLIES) as made:
        yield made


@pytest.fixture
def ask(tmp_path: Path, waits: Waits) -> Ask:
    """Asks with a kubeconfig of one context, whose cluster and user are given."""

    def asked(server: str, user: dict[str, Any] | None = None, wanted: ClusterWanted = WANTED, **cluster: Any) -> Any:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "u", "user": user or {"token": "not-a-real-one"}}],
            "contexts": [{"name": "prod", "context": {"cluster": "c", "user": "u"}}],
        }
        path = tmp_path / "config"
        path.write_text(yaml.safe_dump(config))
        return kubernetes.ask(wanted, {"KUBECONFIG": f"{path}:/elsewhere", "PATH": "/usr/bin:/bin"}, waits)

    return asked


def test_a_cluster_with_everything(api: StubApi, ask: Ask) -> None:
    said = ask(api.url)
    assert said.version == "v1.33.2"
    first = Node("n1", True, 7.91, 16 * GIB, 100 * GIB, 2)
    assert said.nodes == (first, Node("n2", True, 7.91, 16 * GIB, 100 * GIB, 0))
    assert said.custom == frozenset(ROUTE)
    assert not isinstance(said.rights, NoAnswer)
    assert set(said.rights) == set(WANTED.rights)
    assert set(said.rights.values()) == {True}
    assert "GET /api/v1/nodes?limit=500&labelSelector=pool%3Dgpu" in api.asked
    assert {headers["authorization"] for headers in api.headers} == {"Bearer not-a-real-one"}


def test_only_reviews_are_posted(api: StubApi, ask: Ask) -> None:
    ask(api.url)
    assert {line for line in api.asked if not line.startswith("GET ")} == {f"POST {REVIEWS}"}
    asked = [body["spec"]["resourceAttributes"] for body in api.bodies]
    assert {"verb": "create", "group": "apps", "resource": "deployments", "namespace": "models"} in asked
    assert {"verb": "create", "group": "", "resource": "namespaces"} in asked


def test_every_page_of_nodes(api: StubApi, ask: Ask) -> None:
    api.answer(
        "/api/v1/nodes",
        Reply({"metadata": {"continue": "abc"}, "items": [node("n1")]}),
        Reply({"metadata": {}, "items": [node("n2")]}),
    )
    nodes = ask(api.url).nodes
    assert not isinstance(nodes, NoAnswer)
    assert [found.name for found in nodes] == ["n1", "n2"]
    assert "GET /api/v1/nodes?limit=500&labelSelector=pool%3Dgpu&continue=abc" in api.asked


def test_a_node_that_takes_no_pods(api: StubApi, ask: Ask) -> None:
    cordoned, down = node("n1"), node("n2")
    cordoned["spec"] = {"unschedulable": True}
    down["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    api.answer("/api/v1/nodes", Reply({"metadata": {}, "items": [cordoned, down]}))
    nodes = ask(api.url).nodes
    assert not isinstance(nodes, NoAnswer)
    assert [found.ready for found in nodes] == [False, False]


@pytest.mark.parametrize(
    ("path", "reply", "field", "why"),
    [
        ("/version", Reply({"kind": "Status", "message": "Unauthorized"}, 401), "version", "refuses the credentials"),
        (
            "/api/v1/nodes",
            Reply({"message": "nodes is forbidden"}, 403),
            "nodes",
            "may not ask /api/v1/nodes: nodes is",
        ),
        ("/api/v1/nodes", Reply({"items": [{}]}), "nodes", "is not what is documented"),
        ("/apis/gateway.networking.k8s.io/v1", Reply({}, 500), "custom", "with HTTP 500"),
        (REVIEWS, Reply("<html>", 200), "rights", "no JSON"),
    ],
)
def test_what_gives_no_answer(path: str, reply: Reply, field: str, why: str, api: StubApi, ask: Ask) -> None:
    api.answer(path, reply)
    found = getattr(ask(api.url), field)
    assert isinstance(found, NoAnswer)
    assert why in found.why


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def authority() -> pki.Authority:
    return pki.make_authority("test", time.time())


@pytest.fixture(scope="module")
def client() -> tuple[str, str]:
    """Certificate and key of a client, which those that hosts get are not for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ops")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, secret = serialization.Encoding.PEM, serialization.NoEncryption()
    kept = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, secret)
    return certificate.public_bytes(pem).decode(), kept.decode()


@pytest.fixture
def secure(tmp_path: Path, authority: pki.Authority, client: tuple[str, str]) -> Iterator[StubApi]:
    """The stub behind TLS, asking for the client's certificate."""
    leaf = pki.make_certificate(authority, ["127.0.0.1"], time.time(), where="test")
    pem = tmp_path / "server.pem"
    pem.write_text(leaf.certificate + leaf.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=client[0])
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_cert_chain(pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    with serve(REPLIES, context) as made:
        yield made


def test_the_server_is_verified(secure: StubApi, ask: Ask, authority: pki.Authority) -> None:
    unknown = ask(secure.url).version
    assert isinstance(unknown, NoAnswer)
    assert "certificate verify failed" in unknown.why
    known = ask(secure.url, **{"certificate-authority-data": encoded(authority.certificate)})
    assert known.version == "v1.33.2"


def test_a_config_that_verifies_nothing_is_refused(secure: StubApi, ask: Ask) -> None:
    said = ask(secure.url, **{"insecure-skip-tls-verify": True}).version
    assert isinstance(said, NoAnswer)
    assert (said.verdict, secure.asked) == ("off", [])


def test_a_program_that_brings_a_certificate(
    secure: StubApi, ask: Ask, authority: pki.Authority, client: tuple[str, str], tmp_path: Path
) -> None:
    certificate, key = client
    program = tmp_path / "login"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "asked = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "assert asked['kind'] == 'ExecCredential' and sys.argv[1:] == ['get'] and os.environ['WHO'] == 'ops'\n"
        f"status = {{'clientCertificateData': {certificate!r}, 'clientKeyData': {key!r}}}\n"
        "print(json.dumps({'apiVersion': asked['apiVersion'], 'kind': 'ExecCredential', 'status': status}))\n"
    )
    program.chmod(0o755)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(program),
        "args": ["get"],
        "env": [{"name": "WHO", "value": "ops"}],
    }
    said = ask(secure.url, {"exec": plugin}, **{"certificate-authority-data": encoded(authority.certificate)})
    assert said.version == "v1.33.2"
    assert secure.certificates[-1] is not None


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/nonexistent/login"], "does not start: No such file"),
        (["/bin/sh", "-c", "echo log in first >&2; exit 3"], "failed: log in first"),
        (["/bin/sh", "-c", "echo nothing"], "is not what is documented"),
    ],
)
def test_a_program_that_brings_nothing(command: list[str], why: str, api: StubApi, ask: Ask) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command[0], "args": command[1:]}
    said = ask(api.url, {"exec": plugin}).version
    assert isinstance(said, NoAnswer)
    assert why in said.why


def test_files_beside_the_kubeconfig(api: StubApi, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    assert ask(api.url, {"tokenFile": "token"}).version == "v1.33.2"
    assert api.headers[-1]["authorization"] == "Bearer from-a-file"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "cannot be read"),
        ("- 1\n", "is no kubeconfig"),
        ("{half", "is no kubeconfig"),
        ("contexts: [{name: other}]\n", "has no context 'prod'"),
        (json.dumps({"contexts": [{"name": "prod", "context": {"cluster": "c"}}], "clusters": []}), "documented"),
    ],
)
def test_a_kubeconfig_that_leads_nowhere(text: str | None, why: str, tmp_path: Path, waits: Waits) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    said = kubernetes.ask(WANTED, {"KUBECONFIG": str(path)}, waits)
    assert isinstance(said.version, NoAnswer)
    assert why in said.version.why
    assert isinstance(said.nodes, NoAnswer)
    assert said.nodes.verdict == "not asked"
