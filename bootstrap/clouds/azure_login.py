"""A token for Azure Resource Manager, from where Pulumi's provider takes one.

A service principal of the environment (ARM_CLIENT_ID or AZURE_CLIENT_ID, with tenant, and a secret or an OpenID Connect
token) is exchanged here; every other kind (certificates, managed identities, a person's login) by `az`, which knows
them all. https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bootstrap.clouds.asking import DEADLINE, Api, UnansweredError, printed
from bootstrap.waits import Waits
from slipway.doctor.types import NoAnswer

FIX = "Run: az login, or set ARM_CLIENT_ID, ARM_CLIENT_SECRET and ARM_TENANT_ID to a service principal's"


@dataclass(frozen=True)
class AzureCloud:
    """Where tokens come from, and where they are good."""

    authority: str
    manager: str


CLOUDS = {
    "public": AzureCloud("https://login.microsoftonline.com", "https://management.azure.com"),
    "usgovernment": AzureCloud("https://login.microsoftonline.us", "https://management.usgovcloudapi.net"),
    "china": AzureCloud("https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn"),
}
"""by the words of ARM_ENVIRONMENT https://learn.microsoft.com/en-us/entra/identity-platform/authentication-national-cloud"""


@dataclass(frozen=True)
class Login:
    """A token, where it is good, and whose it is where its source says so. The token is not in its repr."""

    token: str = field(repr=False)
    cloud: AzureCloud
    who: str = ""


def login(environ: Mapping[str, str], subscription: str, waits: Waits) -> Login:
    """Raises UnansweredError."""
    name = environ.get("ARM_ENVIRONMENT") or "public"
    cloud = CLOUDS.get(name)
    if cloud is None:
        raise UnansweredError(NoAnswer(f"ARM_ENVIRONMENT is {name}", f"Set it to one of {', '.join(CLOUDS)}", "off"))
    client, tenant = _either(environ, "CLIENT_ID"), _either(environ, "TENANT_ID")
    proof = _proof(environ)
    if client and tenant and proof:
        form = {"client_id": client, "grant_type": "client_credentials", "scope": f"{cloud.manager}/.default", **proof}
        with httpx.Client(base_url=cloud.authority, timeout=DEADLINE) as opened:
            api = Api("Azure's token server", opened, waits, refused=FIX, refusals=(400, 401))
            return Login(str(api.form(f"/{tenant}/oauth2/v2.0/token", form)["access_token"]), cloud, client)
    command = ["az", "account", "get-access-token", "--output", "json", "--resource", f"{cloud.manager}/"]
    said = json.loads(
        printed([*command, *(("--subscription", subscription) if subscription else ())], environ, missing=FIX)
    )
    return Login(str(said["accessToken"]), cloud)


def _either(environ: Mapping[str, str], name: str) -> str:
    """Pulumi's own variable, else that of Azure's SDKs."""
    return environ.get(f"ARM_{name}") or environ.get(f"AZURE_{name}") or ""


def _proof(environ: Mapping[str, str]) -> dict[str, str]:
    """What a service principal proves itself by; nothing where the environment has none."""
    secret = _either(environ, "CLIENT_SECRET")
    if secret:
        return {"client_secret": secret}
    token = environ.get("ARM_OIDC_TOKEN", "")
    path = environ.get("ARM_OIDC_TOKEN_FILE_PATH") or environ.get("AZURE_FEDERATED_TOKEN_FILE")
    if not token and path:
        try:
            token = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UnansweredError(NoAnswer(f"{path} cannot be read: {error.strerror}", FIX, "off")) from None
    kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    return {"client_assertion_type": kind, "client_assertion": token} if token else {}
