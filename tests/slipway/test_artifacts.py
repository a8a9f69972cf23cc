from __future__ import annotations

import pytest

from slipway.artifacts import Artifacts
from slipway.errors import PlanError
from slipway.releases import load_releases

BUILT = Artifacts(bases={"bookworm": "/cache/bookworm/tree"})


def test_a_machine_boots_the_system_of_its_release() -> None:
    assert BUILT.base_of("debian:12") == "/cache/bookworm/tree"


@pytest.mark.parametrize(
    ("os", "said"),
    [
        ("debian:13", "the base trixie was not built.*python3 -m tools.artifacts build trixie"),
        ("ubuntu:24.04", "no base of local machines is ubuntu:24.04.*debian:12 or debian:13"),
    ],
)
def test_a_system_without_a_base_is_said(os: str, said: str) -> None:
    assert os in {system for release in load_releases().values() for system in release.os}
    with pytest.raises(PlanError, match=said):
        BUILT.base_of(os)
