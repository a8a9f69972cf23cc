"""A kubeconfig, as kubectl reads it, and an HTTP client out of it.

https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. Left out: merging several files (the first of KUBECONFIG
is taken, as the stack's program does), auth-provider, which Kubernetes took out, proxies and impersonation.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from bootstrap.clouds.asking import DEADLINE, UnansweredError, printed
from slipway.doctor.types import NoAnswer

EXEC_DEADLINE = 60.0
"""seconds for a program that brings credentials; it may ask a cloud for them"""


@dataclass(frozen=True)
class Access:
    """How one context is reached. Secrets are not in its repr."""

    server: str
    authority: str | None = None
    """PEM; the system's own where there is none"""
    server_name: str | None = None
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)


def path_of(said: str | None, environ: Mapping[str, str]) -> Path:
    named = said or environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(named) if named else Path.home() / ".kube" / "config"


def read_access(path: Path, context: str, environ: Mapping[str, str]) -> Access:
    """Access to a context. Raises UnansweredError; what a broken file makes `answered` raises as well."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        what = f"the kubeconfig {path} cannot be read: {error.strerror or error}"
        raise UnansweredError(NoAnswer(what, "Write slipway:cluster.kubeconfig, or set KUBECONFIG", "off")) from None
    try:
        config = yaml.safe_load(text)
        chosen = _named(config["contexts"], context)
    except (yaml.YAMLError, TypeError, KeyError):
        raise UnansweredError(NoAnswer(f"{path} is no kubeconfig", "Write the path of one", "off")) from None
    if chosen is None:
        names = ", ".join(str(item["name"]) for item in config["contexts"])
        what = f"{path} has no context {context!r}"
        raise UnansweredError(NoAnswer(what, f"Write one of: {names}" if names else "It has none", "off"))
    cluster = (_named(config["clusters"], chosen["context"]["cluster"]) or {})["cluster"]
    user = (_named(config.get("users") or (), chosen["context"].get("user", "")) or {}).get("user") or {}
    if cluster.get("insecure-skip-tls-verify"):
        what = "its kubeconfig turns off the verification of the API server's certificate"
        raise UnansweredError(NoAnswer(what, "Put certificate-authority-data in place of it", "off"))
    given = _executed(user["exec"], environ) if user.get("exec") else {}
    basic = (str(user["username"]), str(user.get("password", ""))) if user.get("username") else None
    return Access(
        server=str(cluster["server"]),
        authority=_data(cluster, "certificate-authority", path) or None,
        server_name=cluster.get("tls-server-name"),
        certificate=given.get("clientCertificateData") or _data(user, "client-certificate", path),
        key=given.get("clientKeyData") or _data(user, "client-key", path),
        token=given.get("token") or _token(user, path),
        basic=basic,
    )


def client(access: Access) -> httpx.Client:
    """An HTTP client that verifies the server, and says who we are."""
    context = ssl.create_default_context(cadata=access.authority)
    if access.certificate and access.key:
        # ssl reads them from a file only.
        with tempfile.NamedTemporaryFile("w", prefix="slipway-") as file:
            file.write(f"{access.certificate}\n{access.key}\n")
            file.flush()
            context.load_cert_chain(file.name)
    sni = {"sni_hostname": access.server_name} if access.server_name else {}
    made = httpx.Client(
        base_url=access.server,
        verify=context,
        timeout=DEADLINE,
        headers={"Authorization": f"Bearer {access.token}"} if access.token else None,
        auth=access.basic,
        trust_env=False,
    )
    if sni:
        made.event_hooks["request"] = [lambda request: request.extensions.update(sni)]
    return made


def _named(items: Any, name: str) -> dict[str, Any] | None:
    return next((item for item in items if item["name"] == name), None)


def _data(section: Mapping[str, Any], name: str, path: Path) -> str:
    """`<name>-data` in base64, or the file of `<name>`, whose path counts from the kubeconfig's folder."""
    inline = section.get(f"{name}-data")
    if inline:
        return base64.b64decode(inline).decode()
    return Path(path.parent, str(section[name])).read_text(encoding="utf-8") if section.get(name) else ""


def _token(user: Mapping[str, Any], path: Path) -> str:
    if user.get("tokenFile"):
        return Path(path.parent, str(user["tokenFile"])).read_text(encoding="utf-8").strip()
    return str(user.get("token") or "")


def _executed(wanted: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """What a credential plugin gives: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/"""
    command = [str(wanted["command"]), *map(str, wanted.get("args") or ())]
    asked = {"apiVersion": wanted["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    added = {str(item["name"]): str(item["value"]) for item in wanted.get("env") or ()}
    env = {**environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
    said = printed(command, env, missing=str(wanted.get("installHint") or "Install it").strip(), deadline=EXEC_DEADLINE)
    status: dict[str, str] = json.loads(said)["status"]
    return status
