"""Where a token for Google Cloud comes from: keys and logins exchanged over HTTP with a stub, `gcloud` as a program."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bootstrap.clouds import gcp, gcp_login
from bootstrap.clouds.asking import UnansweredError
from bootstrap.waits import Waits
from tests.bootstrap.clouds.stub_api import Reply, StubApi, serve
from tests.bootstrap.clouds.test_gcp import H100, PATHS, environ, fixture

pytestmark = pytest.mark.net

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
WHO = "doctor@acme-models.iam.gserviceaccount.com"


@pytest.fixture
def api() -> Iterator[StubApi]:
    with serve({"/token": fixture("token")}) as made:
        yield made


def account(api: StubApi, **more: str) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": "acme-models",
        "private_key_id": "k1",
        "private_key": PEM,
        "client_email": WHO,
        "token_uri": f"{api.url}/token",
    } | more


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def refusal(environ: dict[str, str], waits: Waits) -> tuple[str, str]:
    with pytest.raises(UnansweredError) as caught:
        gcp_login.login(environ, waits)
    return caught.value.answer.verdict, caught.value.answer.why


def test_a_token_that_is_given(waits: Waits) -> None:
    found = gcp_login.login({"GOOGLE_OAUTH_ACCESS_TOKEN": "t", "GOOGLE_CREDENTIALS": "{"}, waits)
    assert (found.token, found.who) == ("t", "")
    assert "token" not in repr(found)


@pytest.mark.parametrize("by", ["text", "path", "application"])
def test_the_key_of_a_service_account(by: str, api: StubApi, waits: Waits, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(account(api)))
    environ = {
        "text": {"GOOGLE_CREDENTIALS": path.read_text()},
        "path": {"GOOGLE_CREDENTIALS": str(path)},
        "application": {"GOOGLE_APPLICATION_CREDENTIALS": str(path)},
    }[by]
    found = gcp_login.login(environ, waits)
    assert (found.token, found.who) == ("ya29.c.not-a-real-one", WHO)
    (form,) = map(parse_qs, api.forms)
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = form["assertion"][0].split(".")
    KEY.public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    said = decoded(claims)
    assert (decoded(head)["alg"], said["iss"], said["aud"]) == ("RS256", WHO, f"{api.url}/token")
    assert said["exp"] - said["iat"] == 600


def test_a_service_account_counts_for_its_own_project(
    api: StubApi, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its name is in what is printed."""
    for path, name in PATHS.items():
        api.answer(path, fixture(name))
    given = environ(api.url) | {"GOOGLE_OAUTH_ACCESS_TOKEN": "", "GOOGLE_CREDENTIALS": json.dumps(account(api))}
    assert gcp.ask(H100, given, waits).account == f"project acme-models, as {WHO}"
    (asked,) = [h for line, h in zip(api.asked, api.headers, strict=True) if "quotaInfos" in line]
    assert "x-goog-user-project" not in asked


def test_the_login_of_a_person(api: StubApi, waits: Waits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcp_login, "TOKENS", f"{api.url}/token")
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    person = {"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}
    (folder / "application_default_credentials.json").write_text(json.dumps(person))
    assert gcp_login.login({"HOME": str(tmp_path)}, waits).token == "ya29.c.not-a-real-one"
    assert gcp_login.login({"CLOUDSDK_CONFIG": str(folder)}, waits).who == ""
    assert parse_qs(api.forms[0]) == {
        "grant_type": ["refresh_token"],
        "client_id": ["i"],
        "client_secret": ["s"],
        "refresh_token": ["r"],
    }
    assert api.asked[0] == "POST /token"


def test_a_key_that_is_refused(api: StubApi, waits: Waits) -> None:
    api.answer("/token", fixture("error-grant", 400))
    verdict, why = refusal({"GOOGLE_CREDENTIALS": json.dumps(account(api))}, waits)
    assert (verdict, why) == ("off", "Google's token server refuses the credentials: Invalid JWT Signature.")


def test_a_token_server_that_answers_something_else(api: StubApi, waits: Waits) -> None:
    api.answer("/token", Reply("<html>"))
    verdict, why = refusal({"GOOGLE_CREDENTIALS": json.dumps(account(api))}, waits)
    assert (verdict, "something that is no JSON" in why) == ("no answer", True)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "are no JSON object"), ("[]", "are no JSON object"), (None, "are not there"), ("/", "cannot be read")],
)
def test_credentials_that_are_none(text: str | None, said: str, waits: Waits, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    if text == "/":
        path.mkdir()
    elif text is not None:
        path.write_text(text)
    verdict, why = refusal({"GOOGLE_APPLICATION_CREDENTIALS": str(path)}, waits)
    assert (verdict, said in why) == ("off", True)


def test_a_private_key_that_is_none(api: StubApi, waits: Waits) -> None:
    verdict, why = refusal({"GOOGLE_CREDENTIALS": json.dumps(account(api, private_key="PEM"))}, waits)
    assert (verdict, why) == ("off", f"the private key of {WHO} is none")


@pytest.fixture
def gcloud(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "gcloud"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ -n "$BROKEN" ] && { echo "ERROR: not logged in" >&2; exit 1; }\necho "ya29.$*"\n')
    program.chmod(0o755)
    return program


def test_every_other_kind_is_asked_of_gcloud(gcloud: Path, waits: Waits, tmp_path: Path) -> None:
    path = tmp_path / "federated.json"
    path.write_text(json.dumps({"type": "external_account"}))
    environ = {"PATH": f"{gcloud.parent}:/usr/bin:/bin", "GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    assert gcp_login.login(environ, waits).token == "ya29.auth application-default print-access-token"
    verdict, why = refusal(environ | {"BROKEN": "1"}, waits)
    assert (verdict, why) == ("off", "gcloud, which brings the credentials, failed: ERROR: not logged in")


def test_no_credentials_at_all(waits: Waits, tmp_path: Path) -> None:
    with pytest.raises(UnansweredError) as caught:
        gcp_login.login({"HOME": str(tmp_path), "PATH": str(tmp_path)}, waits)
    answer = caught.value.answer
    assert (answer.verdict, answer.fix) == ("off", gcp_login.FIX)
    assert answer.why.startswith("gcloud, which brings the credentials, does not start")
