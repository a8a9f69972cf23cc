"""What Azure's resources answer under Pulumi's mocks: ids and outputs of the documented shape."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

SUBSCRIPTION = "00000000-0000-4000-8000-000000000000"

NAMESPACES = {
    "authorization": "Microsoft.Authorization",
    "compute": "Microsoft.Compute",
    "containerservice": "Microsoft.ContainerService",
    "managedidentity": "Microsoft.ManagedIdentity",
    "network": "Microsoft.Network",
}
"""modules of the SDK in the cloud's own words"""

NAMES = {
    "LoadBalancer": "loadBalancerName",
    "AgentPool": "agentPoolName",
    "ManagedCluster": "resourceName",
}
"""arguments by which a resource is named; the SDK makes up a name where there is none"""

PLURALS = {"PublicIPAddress": "publicIPAddresses", "UserAssignedIdentity": "userAssignedIdentities"}

INSIDE = {
    "AgentPool": ("managedClusters", "resourceName"),
    "Subnet": ("virtualNetworks", "virtualNetworkName"),
}
"""resources that are parts of others: of which kind, and by which argument they name it"""

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [
        {"name": "slipway-test", "cluster": {"server": "https://slipway-test.hcp.swedencentral.azmk8s.io:443"}}
    ],
    "users": [{"name": "clusterUser", "user": {"client-key-data": "SECRET-client-key"}}],
    "contexts": [{"name": "slipway-test", "context": {"cluster": "slipway-test", "user": "clusterUser"}}],
    "current-context": "slipway-test",
}

CALLS: dict[str, dict[str, Any]] = {
    "azure-native:containerservice:listManagedClusterUserCredentials": {
        "kubeconfigs": [
            {"name": "clusterUser", "value": base64.b64encode(json.dumps(KUBECONFIG).encode()).decode()},
        ]
    }
}
"""what may be asked once resources are there, and the answer"""


def answer(type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The id of a resource, and its outputs that are not among its inputs."""
    _, module, kind = type_.split(":")
    number = zlib.crc32(f"{type_} {name}".encode())
    called = str(inputs.get(NAMES.get(kind, ""), f"{name}{number:08x}"))
    kinds = PLURALS.get(kind, f"{kind[:1].lower()}{kind[1:]}s")
    if kind in INSIDE:
        whole, argument = INSIDE[kind]
        kinds = f"{whole}/{inputs[argument]}/{kinds}"
    if kind == "ResourceGroup":
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{called}", {"name": called}
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{inputs.get('resourceGroupName', 'of-its-scope')}"
    more: dict[str, Any] = {"name": called}
    if kind == "PublicIPAddress":
        more["ipAddress"] = f"198.51.100.{number % 250}"
        if "dnsSettings" in inputs:
            label = inputs["dnsSettings"]["domainNameLabel"]
            more["dnsSettings"] = {"domainNameLabel": label, "fqdn": f"{label}.{inputs['location']}.cloudapp.azure.com"}
    elif kind == "ManagedCluster":
        # Asked for as a list, answered as a mapping.
        who = {one: {"principalId": "p", "clientId": "c"} for one in inputs["identity"]["userAssignedIdentities"]}
        more["identity"] = {**inputs["identity"], "userAssignedIdentities": who}
    elif kind == "UserAssignedIdentity":
        more["principalId"] = f"00000000-0000-4000-8000-{number:012d}"
    return f"{group}/providers/{NAMESPACES[module]}/{kinds}/{called}", more
