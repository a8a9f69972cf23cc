"""What Google Cloud's resources answer under Pulumi's mocks: ids and outputs of the documented shape."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

PROJECT = "my-project"
API = "https://www.googleapis.com/compute/v1"


def answer(type_: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The id of a resource, and its outputs that are not among its inputs."""
    kind = type_.removeprefix("gcp:")
    number = zlib.crc32(f"{type_} {name}".encode())
    last = kind.rsplit(":", 1)[-1]
    called = str(inputs.get("name", f"{name}-{number % 0x10000000:07x}"))
    identity = f"projects/{PROJECT}/{last[:1].lower()}{last[1:]}s/{called}"
    more: dict[str, Any] = {"name": called, "selfLink": f"{API}/{identity}"}
    if kind == "compute/address:Address":
        more["address"] = f"198.51.100.{number % 250}"
    elif kind == "container/cluster:Cluster":
        more |= {
            "endpoint": "198.51.100.251",
            "masterAuth": {"clusterCaCertificate": "Q0E="},
            "privateClusterConfig": inputs["privateClusterConfig"] | {"privateEndpoint": "10.78.0.2"},
        }
    elif kind == "serviceaccount/account:Account":
        more["email"] = f"{inputs['accountId']}@{PROJECT}.iam.gserviceaccount.com"
    elif kind == "storage/hmacKey:HmacKey":
        more |= {"accessId": f"GOOG1E{number}", "secret": f"SECRET-{name}-secret"}
    return identity, more
