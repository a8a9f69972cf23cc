"""Whether the rest of a fleet can do without a host: asked before it lets its traffic go, and of whom."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.host import converge_host
from bootstrap.spare import NEVER_DID, SERVES, Others
from bootstrap.testing import RecordingLog
from bootstrap.waits import SPARE, Waits
from slipway.desired import HostDesired
from slipway.errors import UnreachableError, VerifyError
from tests.bootstrap.conftest import FakeClock
from tests.bootstrap.serving_host import NEW, OLD, UNITS, ServingHost, desired

OUT = {"h2": "its proxy says 503", "h3": SERVES}


@dataclass
class Fleet:
    """The others: what they say, look by look, the last one staying."""

    looks: list[dict[str, str]]
    asked: int = 0
    log: RecordingLog = field(default_factory=RecordingLog)

    def ask(self) -> dict[str, str]:
        self.asked += 1
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def converge(self, host: ServingHost, wanted: HostDesired, waits: Waits, may_be_out: int = 0) -> None:
        others = Others(self.ask, may_be_out)
        converge_host(host, wanted, self.log, waits.cancel, waits=waits, others=others)


@pytest.fixture
def host(waits: Waits) -> ServingHost:
    """On the old driver, serving. Its first install lets nothing go, so that nobody is asked."""
    host, nobody = ServingHost(), Fleet([OUT])
    host.service = dict.fromkeys(UNITS, "inactive")
    nobody.converge(host, desired(), waits)
    assert nobody.asked == 0
    host.service = dict.fromkeys(UNITS, "active")
    host.happened.clear()
    return host


def receipt(host: ServingHost) -> dict[str, Any]:
    return dict(json.loads(host.files[RECEIPT_PATH].content))


@pytest.mark.parametrize(
    ("said", "may_be_out"),
    [({"h2": SERVES, "h3": SERVES}, 0), (OUT, 1), ({"h2": SERVES, "h3": NEVER_DID}, 0)],
)
def test_a_host_that_can_be_spared_is_asked_for_once(
    host: ServingHost, waits: Waits, said: dict[str, str], may_be_out: int
) -> None:
    """An update drains once, and asks once; a host on which nothing was ever installed is not out of service."""
    fleet = Fleet([said])
    fleet.converge(host, desired(NEW), waits, may_be_out)
    assert host.happened == ["let go", "touch", "reboot", "take up"]
    assert fleet.asked == 1
    fleet.converge(host, desired(NEW), waits)
    assert fleet.asked == 1, "nothing to do is nothing to ask"


def test_one_that_cannot_be_keeps_its_release_and_serves(host: ServingHost, waits: Waits, clock: FakeClock) -> None:
    fleet = Fleet([OUT])
    with pytest.raises(VerifyError) as caught:
        fleet.converge(host, desired(NEW), waits)
    assert str(caught.value) == (
        "h1: the fleet cannot spare it: of 2 other hosts 1 are out of service, and none may be while it changes: h2: "
        f"its proxy says 503. The host keeps release r{OLD}: no package had moved. Bring them back (`slipway status` "
        "says where each stands), then run `pulumi up` again; or allow more with slipway:rollout.max_unavailable."
    )
    assert clock.now >= SPARE.deadline
    assert (host.happened, host.serves, host.loaded) == ([], True, OLD)
    assert (receipt(host)["state"], receipt(host)["stopped"]) == ("converged", [])
    Fleet([dict.fromkeys(OUT, SERVES)]).converge(host, desired(NEW), waits)
    assert (host.loaded, host.serves) == (NEW, True)


def test_others_that_are_just_coming_back_are_waited_for(host: ServingHost, waits: Waits, clock: FakeClock) -> None:
    fleet = Fleet([OUT, OUT, dict.fromkeys(OUT, SERVES)])
    before = clock.now
    fleet.converge(host, desired(NEW), waits)
    assert (host.loaded, host.serves, fleet.asked) == (NEW, True, 3)
    assert clock.now - before < SPARE.deadline
    assert "h2: its proxy says 503; waiting (0 s of at most 60 s)" in fleet.log.text


def test_one_that_serves_nobody_is_not_held_back(host: ServingHost, waits: Waits) -> None:
    """It may be the one that is to be put right."""
    host.flag = True
    fleet = Fleet([OUT])
    fleet.converge(host, desired(NEW), waits)
    assert (host.loaded, host.serves, fleet.asked) == (NEW, True, 0)


def test_a_run_that_died_behind_its_drain_asks_no_more(host: ServingHost, waits: Waits) -> None:
    host.fail_on("apt-get install", UnreachableError("lost", where="h1", fix=""))
    fleet = Fleet([dict.fromkeys(OUT, SERVES)])
    with pytest.raises(UnreachableError):
        fleet.converge(host, desired(NEW), waits)
    after = Fleet([OUT])
    after.converge(host, desired(NEW), waits)
    assert (host.loaded, host.serves, fleet.asked, after.asked) == (NEW, True, 1, 0)


def test_drift_that_cannot_be_put_right_now_leaves_it_serving(host: ServingHost, waits: Waits) -> None:
    host.packages["libcuda1"] = f"{NEW}-1"
    with pytest.raises(VerifyError, match="the fleet cannot spare it"):
        Fleet([OUT]).converge(host, desired(), waits)
    assert (host.happened, host.serves) == ([], True)
    Fleet([OUT]).converge(host, desired(), waits, may_be_out=1)
    assert (receipt(host)["state"], host.serves) == ("converged", True)
