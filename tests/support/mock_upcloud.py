"""What UpCloud's resources answer under Pulumi's mocks: outputs of the documented shape."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

Known = Callable[[str], str]


def answer(type_: str, name: str, inputs: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The outputs of a resource that are not among its inputs; `known` hides what only a real run knows."""
    number, kind = zlib.crc32(f"{type_} {name}".encode()), type_.rsplit(":", 1)[-1]
    if kind == "Server":
        interfaces = zip(("192.0.2", "10.77.0"), inputs["networkInterfaces"], strict=True)
        return {"networkInterfaces": [one | {"ipAddress": known(f"{net}.{number % 250}")} for net, one in interfaces]}
    if kind == "Loadbalancer":
        return {"networks": [one | {"dnsName": known(f"{one['name']}.lb.example")} for one in inputs["networks"]]}
    if kind == "FloatingIpAddress":
        return {"ipAddress": known("198.51.100.7")}
    if kind == "ManagedObjectStorage":
        domains = [{"type": one["type"], "domainName": f"{one['type']}.objects.example"} for one in inputs["networks"]]
        return {"endpoints": [one | {"domainName": known(one["domainName"])} for one in domains]}
    if kind == "ManagedObjectStorageUserAccessKey":
        return {"accessKeyId": f"AKIA-{name}", "secretAccessKey": f"SECRET-{name}"}
    if kind == "KubernetesCluster":
        return {"kubeconfig": {"kubeconfig": f"SECRET-kubeconfig-{name}", "host": "https://api.example:6443"}}
    return {}
