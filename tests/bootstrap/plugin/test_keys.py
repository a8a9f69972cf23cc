"""Keys and certificates: in process, and through the real CLI."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime

import pytest

from bootstrap import pki
from bootstrap.plugin.codec import UNKNOWN
from bootstrap.plugin.resources.certificate import RENEW_BEFORE, Certificate
from bootstrap.plugin.resources.host_key import HostKey
from bootstrap.plugin.resources.stack_keys import StackKeys
from slipway.errors import SlipwayError
from tests.bootstrap.plugin.provider import CallError, provider, secret

DAY = 86_400
NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()


def tls_handshake(folder, bundle, ca_certificate, name):
    """A real handshake on loopback; the name that the client checked, or ssl's error."""
    (folder / "bundle.pem").write_text(bundle)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "bundle.pem")
    client_side = ssl.create_default_context(cadata=ca_certificate)
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    left, right = socket.socketpair()
    left.settimeout(10)
    right.settimeout(10)

    def serve():
        try:
            server_side.wrap_socket(left, server_side=True).close()
        except OSError:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client_side.wrap_socket(right, server_hostname=name) as client:
            return client.getpeercert()["subjectAltName"]
    finally:
        right.close()
        thread.join()


@pytest.mark.net
def test_stack_keys_are_made_once_and_secret():
    with provider(StackKeys()) as keys:
        checked, failures = keys.check({"stack": "prod"})
        assert failures == {}
        resource_id, made = keys.create(checked)
        assert resource_id == "prod"
        assert re.fullmatch(r"sw-[\w-]{43}", made.values["api_key"])
        assert made.secrets == {("api_key",), ("ca_key",), ("ssh_private_key",)}
        assert made.values["ssh_public_key"].endswith(" slipway-prod")
        assert not keys.diff({"stack": "prod"}, {"stack": "prod"}, state=made).detailedDiff
        assert list(keys.diff({"stack": "prod"}, {"stack": "test"}, state=made).replaces) == ["stack"]


@pytest.mark.net
def test_a_given_api_key_is_used_and_changing_it_keeps_the_rest():
    given = {"stack": "prod", "api_key": "a-key-of-my-own-1"}
    with provider(StackKeys()) as keys:
        checked, _ = keys.check(given)
        assert checked.secrets == {("api_key",)}
        _, made = keys.create(checked)
        assert made.values["api_key"] == "a-key-of-my-own-1"
        changed = keys.update(made, {"stack": "prod", "api_key": "a-key-of-my-own-2"})
        assert changed.values["api_key"] == "a-key-of-my-own-2"
        assert changed.values["ca_certificate"] == made.values["ca_certificate"]
        assert keys.create({"stack": "prod", "api_key": UNKNOWN}, preview=True)[1].values["api_key"] is UNKNOWN


@pytest.mark.net
@pytest.mark.parametrize("key", ["short", "with spaces in between", "with-ümläut-in-between"])
def test_a_useless_api_key_is_refused(key):
    with provider(StackKeys()) as keys:
        _, failures = keys.check({"stack": "prod", "api_key": key})
    assert "at least 16 printable ASCII" in failures["api_key"]


@pytest.mark.net
def test_a_host_key_is_what_ssh_keygen_reads(tmp_path):
    with provider(HostKey()) as host_key:
        _, made = host_key.create({"name": "h1"})
    assert made.secrets == {("private_key",)}
    (tmp_path / "key").write_text(made.values["private_key"])
    (tmp_path / "key").chmod(0o600)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", tmp_path / "key"], capture_output=True, text=True, check=True)
    assert derived.stdout.split()[:2] == made.values["public_key"].split()[:2]
    assert made.values["public_key"].endswith(" h1")


@pytest.mark.net
def test_a_host_key_is_imported_from_a_file(tmp_path):
    pair = pki.make_ssh_key("h1")
    (tmp_path / "key").write_text(pair.private)
    (tmp_path / "broken").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n")
    with provider(HostKey()) as host_key:
        response = host_key.read(str(tmp_path / "key"))
        assert response.properties.fields["public_key"].string_value.split()[1] == pair.public.split()[1]
        assert host_key.read(str(tmp_path / "missing")).id == ""
        with pytest.raises(CallError, match="no readable private key"):
            host_key.read(str(tmp_path / "broken"))


@pytest.fixture(scope="module")
def authority():
    return pki.make_authority("Slipway test CA", time.time())


@pytest.mark.net
@pytest.mark.parametrize("name", ["h1.example", "10.1.2.3", "::1"])
def test_a_certificate_verifies_against_its_authority(authority, tmp_path, name):
    given = {
        "ca_certificate": authority.certificate,
        "ca_key": authority.key,
        "names": ["h1.example", "10.1.2.3", "::1"],
    }
    with provider(Certificate()) as certificate:
        checked, failures = certificate.check(given)
        assert failures == {}
        _, made = certificate.create(checked)
    assert made.secrets == {("ca_key",), ("private_key",), ("bundle",)}
    seen = tls_handshake(tmp_path, made.values["bundle"], authority.certificate, name)
    assert ("DNS", "h1.example") in seen
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_handshake(tmp_path, made.values["bundle"], authority.certificate, "other.example")


def test_another_authority_does_not_verify(authority, tmp_path):
    other = pki.make_authority("Slipway test CA", time.time())
    leaf = pki.make_certificate(other, ["h1"], time.time(), where="c")
    with pytest.raises(ssl.SSLCertVerificationError):
        tls_handshake(tmp_path, leaf.key + leaf.certificate, authority.certificate, "h1")


def test_a_key_of_another_authority_is_refused(authority):
    other = pki.make_authority("Slipway test CA", time.time())
    with pytest.raises(SlipwayError, match="c: the authority's key does not belong to its certificate"):
        pki.make_certificate(pki.Authority(authority.certificate, other.key), ["h1"], time.time(), where="c")
    with pytest.raises(SlipwayError, match="not readable PEM"):
        pki.make_certificate(pki.Authority("nonsense", other.key), ["h1"], time.time(), where="c")


def test_a_certificate_does_not_outlive_its_authority():
    authority = pki.make_authority("a", NOW - 3600 * DAY)
    leaf = pki.make_certificate(authority, ["h1"], NOW, where="c")
    assert leaf.not_after.timestamp() - NOW < 51 * DAY


@pytest.mark.net
def test_a_certificate_is_renewed_in_its_last_thirty_days():
    clock = [NOW]
    authority = pki.make_authority("a", NOW)
    given = secret({"ca_certificate": authority.certificate, "ca_key": authority.key, "names": ["h1"]}, ("ca_key",))
    with provider(Certificate(), now=lambda: clock[0]) as certificate:
        _, made = certificate.create(given)
        end = datetime.fromisoformat(made.values["not_after"]).timestamp()
        assert 396 * DAY <= end - NOW <= 397 * DAY
        clock[0] = end - RENEW_BEFORE - 60
        assert not certificate.diff(given, given, state=made).detailedDiff
        clock[0] = end - RENEW_BEFORE + 60
        found = certificate.diff(given, given, state=made)
        assert list(found.detailedDiff) == ["not_after"]
        assert not found.replaces
        renewed = certificate.update(made, given)
    assert datetime.fromisoformat(renewed.values["not_after"]).timestamp() > end


@pytest.mark.net
@pytest.mark.parametrize(("names", "key"), [([], "names"), (["h1", " h2"], "names[1]"), (["h1", 3], "names[1]")])
def test_useless_names_are_refused(names, key):
    with provider(Certificate()) as certificate:
        _, failures = certificate.check({"ca_certificate": "x", "ca_key": "y", "names": names})
    assert list(failures) == [key]


@pytest.mark.pulumi
@pytest.mark.slow
def test_keys_through_the_cli(project, tmp_path):
    project.program(
        """
        keys = slipway.StackKeys("keys", stack="prod")
        host_key = slipway.HostKey("h1", name="h1")
        certificate = slipway.Certificate(
            "h1-tls", ca_certificate=keys.ca_certificate, ca_key=keys.ca_key, names=["10.0.0.1", "h1"])
        for name in ("api_key", "ca_certificate", "ca_key", "ssh_private_key"):
            pulumi.export(name, getattr(keys, name))
        pulumi.export("private_key", host_key.private_key)
        pulumi.export("bundle", certificate.bundle)
        """
    )
    assert set(project.preview().resource_steps().values()) == {"create"}
    made = project.up()
    outputs = project.outputs()
    secrets = [outputs[name] for name in ("api_key", "ca_key", "ssh_private_key", "private_key", "bundle")]
    state = project.checkpoint()
    for clear in secrets:
        line = max(clear.splitlines(), key=len)
        assert line not in state
        assert line not in made.output
    assert outputs["ca_certificate"].splitlines()[1] in state
    assert ("IP Address", "10.0.0.1") in tls_handshake(
        tmp_path, outputs["bundle"], outputs["ca_certificate"], "10.0.0.1"
    )
    assert set(project.up().resource_steps().values()) == {"same"}
    assert project.outputs() == outputs
