"""Hosts that cannot become what is planned: `fitness/NAME.json` has facts, needs, and the sentences that are said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bootstrap.facts import Facts
from bootstrap.testing import SimulatedHost
from bootstrap.verify import unfit
from bootstrap.waits import Waits
from slipway.desired import HostDesired, Needs
from slipway.errors import VerifyError
from tests.bootstrap.gpu_host import desired as gpu_desired
from tests.bootstrap.test_host import converge

CASES = sorted((Path(__file__).parent / "fitness").glob("*.json"))


def wanted(case: dict[str, Any]) -> HostDesired:
    gpu = gpu_desired(expected={"name": case["gpu"]}).gpu if "gpu" in case else None
    return HostDesired(release="r1", os="debian:12", packages=(), gpu=gpu, needs=Needs(**case["needs"]))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_speaks_against_a_host_is_said(path: Path) -> None:
    case = json.loads(path.read_text())
    found = unfit(Facts.model_validate(case["facts"]), wanted(case))
    assert [one.what for one in found] == case["said"]
    assert all(one.fix for one in found)


def test_nothing_is_touched_on_a_host_that_cannot(desired: HostDesired, waits: Waits) -> None:
    host = SimulatedHost()
    another = desired.model_copy(update={"needs": Needs(architecture="arm64")})
    with pytest.raises(VerifyError, match=r"its packages are for amd64, .* for arm64") as caught:
        converge(host, another, waits)
    assert caught.value.fix.endswith("Nothing was changed.")
    assert len(host.commands) == 1
    assert host.files == {}
