"""One control plane for the tests of a folder, with the definitions of what is not Kubernetes' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.control_plane import ControlPlane, control_plane

DEFINED = (
    "backendtlspolicies.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "podmonitors.monitoring.coreos.com",
    "prometheusrules.monitoring.coreos.com",
    "scaledobjects.keda.sh",
)
"""what the objects of a stack need beside Kubernetes' own"""


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("plane") / "run") as made:
        made.define(*DEFINED)
        yield made
