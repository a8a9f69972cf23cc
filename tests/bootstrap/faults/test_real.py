"""Faults and kills on a real host; GPUs and drivers are stubs. `make bench-faults` and `make bench-kills` do all.

One host goes from driver to driver: what each test leaves is where the next begins.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.kills import Kill, Rolled, roll
from tests.bootstrap.faults.real import FAULTS, strike
from tests.support.nvidia.end_state import differences
from tests.support.nvidia.serving import NEW, OLD, ServingMachine, serving_machine

pytestmark = [pytest.mark.hosts, pytest.mark.slow]
(BUILD_FAILS,) = (fault for fault in FAULTS if fault.name == "DKMS build fails, for both drivers")
SHARES = (0.35, 0.6)
"""of a run, at which it is killed: about where packages move, and where the host reboots"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingMachine]:
    with serving_machine(tmp_path_factory.mktemp("faults") / "faults" / "f1") as machine:
        yield machine


def test_a_driver_that_is_not_built_ends_drained_and_named(machine: ServingMachine) -> None:
    row = strike(machine, BUILD_FAILS)
    assert row.ends == "drained, named"
    assert row.right, row


def test_killed_runs_end_as_whole_ones_do(machine: ServingMachine, tmp_path: Path) -> None:
    host, kills = Rolled(machine, tmp_path), list[Kill]()
    host.undisturbed(OLD, NEW)
    roll(host, list(SHARES), threading.Lock(), kills, OLD)
    assert [kill.differs for kill in kills] == [(), ()]
    assert [kill.runs for kill in kills] == [1, 1]
    assert differences(host.whole[OLD], host.whole[NEW]), "then nothing is compared"
