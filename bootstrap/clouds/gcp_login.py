"""A token for Google Cloud, from where Pulumi's provider takes one.

In this order: GOOGLE_OAUTH_ACCESS_TOKEN; GOOGLE_CREDENTIALS, the text or path of a key; the application default
credentials, in the file of GOOGLE_APPLICATION_CREDENTIALS or where `gcloud auth application-default login` leaves them.
Keys of service accounts and logins of people are exchanged here; every other kind (workload identity, impersonation, a
machine's own account) by `gcloud`, which knows them all. https://cloud.google.com/docs/authentication
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bootstrap.clouds.asking import DEADLINE, Api, UnansweredError, printed
from bootstrap.waits import Waits
from slipway.doctor.types import NoAnswer

FIX = (
    "Run: gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS to the key of a service account"
)
TOKENS = "https://oauth2.googleapis.com/token"
"""exchanges keys and logins for tokens https://developers.google.com/identity/protocols/oauth2/service-account"""
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
LASTS = 600
"""seconds that what a service account signs is good for"""
GCLOUD = ("gcloud", "auth", "application-default", "print-access-token")
DEFAULT = "application_default_credentials.json"


@dataclass(frozen=True)
class Login:
    """A token, and whose it is where its source says so. The token is not in its repr."""

    token: str = field(repr=False)
    who: str = ""


def login(environ: Mapping[str, str], waits: Waits) -> Login:
    """Raises UnansweredError."""
    given = environ.get("GOOGLE_OAUTH_ACCESS_TOKEN", "")
    if given:
        return Login(given)
    found = _credentials(environ)
    kind = found.get("type") if found is not None else None
    if found is not None and kind == "service_account":
        grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": _signed(found)}
        return Login(_exchanged(found, grant, waits), str(found["client_email"]))
    if found is not None and kind == "authorized_user":
        names = ("client_id", "client_secret", "refresh_token")
        return Login(_exchanged(found, {"grant_type": "refresh_token"} | {n: str(found[n]) for n in names}, waits))
    return Login(printed(GCLOUD, environ, missing=FIX).strip())


def _credentials(environ: Mapping[str, str]) -> dict[str, Any] | None:
    """What a key or login says of itself; None where there is none."""
    said = environ.get("GOOGLE_CREDENTIALS", "").strip()
    if said.startswith("{"):
        return _read(said, "GOOGLE_CREDENTIALS")
    named = said or environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    folder = environ.get("CLOUDSDK_CONFIG") or Path(environ.get("HOME", "/"), ".config", "gcloud")
    path = Path(named) if named else Path(folder, DEFAULT)
    try:
        return _read(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        if named:
            raise UnansweredError(NoAnswer(f"the credentials {path} are not there", FIX, "off")) from None
        return None
    except OSError as error:
        raise UnansweredError(NoAnswer(f"{path} cannot be read: {error.strerror}", FIX, "off")) from None


def _read(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UnansweredError(NoAnswer(f"the credentials in {where} are no JSON object", FIX, "off"))
    return found


def _signed(key: Mapping[str, Any]) -> str:
    """A JSON Web Token (RFC 7519) by which a service account asks for an access token, signed RS256 (RFC 7518)."""
    now = int(time.time())
    claims = {"iss": key["client_email"], "scope": SCOPE, "aud": _tokens(key), "iat": now, "exp": now + LASTS}
    head = {"alg": "RS256", "typ": "JWT", "kid": key.get("private_key_id", "")}
    text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
    try:
        private = serialization.load_pem_private_key(str(key["private_key"]).encode(), None)
    except ValueError:
        private = None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise UnansweredError(NoAnswer(f"the private key of {key['client_email']} is none", FIX, "off"))
    return f"{text}.{_encoded(private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _tokens(found: Mapping[str, Any]) -> str:
    return str(found.get("token_uri") or TOKENS)


def _exchanged(found: Mapping[str, Any], grant: Mapping[str, str], waits: Waits) -> str:
    address = httpx.URL(_tokens(found))
    with httpx.Client(base_url=address.join("/"), timeout=DEADLINE) as client:
        api = Api("Google's token server", client, waits, refused=FIX, refusals=(400, 401))
        return str(api.form(address.path, grant)["access_token"])
