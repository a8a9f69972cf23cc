"""Where a token for Azure comes from: secrets and federated tokens over HTTP with a stub, `az` as a program."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

import pytest

from bootstrap.clouds import azure_login
from bootstrap.clouds.asking import UnansweredError
from bootstrap.waits import Waits
from tests.bootstrap.clouds.stub_api import StubApi
from tests.bootstrap.clouds.test_azure import PRINCIPAL, SECRET, SUBSCRIPTION, TOKEN, api, fixture

pytestmark = pytest.mark.net

__all__ = ["api"]


def refusal(environ: dict[str, str], waits: Waits) -> tuple[str, str]:
    with pytest.raises(UnansweredError) as caught:
        azure_login.login(environ, SUBSCRIPTION, waits)
    return caught.value.answer.verdict, caught.value.answer.why


@pytest.mark.parametrize("by", ["ARM_OIDC_TOKEN", "ARM_OIDC_TOKEN_FILE_PATH", "AZURE_FEDERATED_TOKEN_FILE"])
def test_a_federated_token(by: str, api: StubApi, waits: Waits, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("jwt\n")
    environ = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", by: "jwt" if by == "ARM_OIDC_TOKEN" else str(path)}
    found = azure_login.login(environ, SUBSCRIPTION, waits)
    assert (found.token, found.who, TOKEN in repr(found)) == (TOKEN, "c", False)
    (form,) = map(parse_qs, api.forms)
    assert form["client_assertion"] == ["jwt"]
    gone = tmp_path / "gone"
    assert refusal(environ | {by: ""} | {"ARM_OIDC_TOKEN_FILE_PATH": str(gone)}, waits) == (
        "off",
        f"{gone} cannot be read: No such file or directory",
    )


def test_a_secret_that_is_refused(api: StubApi, waits: Waits) -> None:
    api.answer("/t/oauth2/v2.0/token", fixture("error-token", 401))
    verdict, why = refusal(PRINCIPAL, waits)
    assert (verdict, why.startswith("Azure's token server refuses the credentials: AADSTS7000215")) == ("off", True)
    assert SECRET not in why


def test_every_other_kind_is_asked_of_az(api: StubApi, waits: Waits, tmp_path: Path) -> None:
    program = tmp_path / "az"
    program.write_text(
        '#!/bin/sh\n[ -n "$BROKEN" ] && { echo "ERROR: Please run az login" >&2; exit 1; }\n'
        'echo "{\\"accessToken\\": \\"$*\\", \\"tokenType\\": \\"Bearer\\"}"\n'
    )
    program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "ARM_CLIENT_ID": "c", "ARM_TENANT_ID": "t"}
    found = azure_login.login(environ, SUBSCRIPTION, waits)
    assert found.token == (
        f"account get-access-token --output json --resource {api.url}/ --subscription {SUBSCRIPTION}"
    )
    assert refusal(environ | {"BROKEN": "1"}, waits) == (
        "off",
        "az, which brings the credentials, failed: ERROR: Please run az login",
    )
    verdict, why = refusal({"PATH": str(tmp_path / "none")}, waits)
    assert (verdict, why.startswith("az, which brings the credentials, does not start")) == ("off", True)


def test_a_cloud_of_a_country(waits: Waits) -> None:
    assert refusal(PRINCIPAL | {"ARM_ENVIRONMENT": "moon"}, waits) == ("off", "ARM_ENVIRONMENT is moon")
