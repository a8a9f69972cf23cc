"""What the roll-out's benchmark and demonstration make of what happened. Nothing is rolled here."""

from __future__ import annotations

import dataclasses

import pytest

from bench import rollout, rollout_demo
from tests.support.pulumi import Run
from tests.support.rollout import HostRolled, Rolled
from tests.support.traffic import Load

STEPS = {"apt-lists": 1.0, "drain": 2.0, "packages": 8.0, "reboot": 4.0, "verify": 0.5, "serve": 5.0}
FIRST, SECOND, THIRD = rollout_demo.DRIVERS


def host(
    name: str, wave: int, after: str = SECOND, *, before: str = FIRST, seconds: float = 0.0, said: str = ""
) -> HostRolled:
    steps = STEPS | {"packages": 8.0 + seconds} if after != before else {}
    out = 0.0 if after == before and not said else 20.0
    return HostRolled(name, wave, before, after, out, answered=9 if out else 0, failed=0, steps=steps, said=said)


def rolled(*hosts: HostRolled, status: int = 0, failed: tuple[str, ...] = ()) -> Rolled:
    load = Load(answered=[1.0, 2.0], failed=[(1.5, what) for what in failed])
    return Rolled(Run(status, "", [], 61.0), load, hosts)


GOOD = rolled(host("demo-0", 0), host("demo-1", 1, seconds=3.0), host("demo-2", 1))
BAD = rolled(
    host("demo-0", 0, THIRD, before=SECOND),
    host(
        "demo-1",
        1,
        SECOND,
        before=SECOND,
        said=f"demo-1: it was rebooted. The host keeps release {SECOND}: 11 were put back. Look why",
    ),
    host("demo-2", 1, THIRD, before=SECOND),
    host("demo-3", 2, SECOND, before=SECOND),
    status=255,
)
DRIVERS = {"demo-0": "620.70.06", "demo-1": "580.159.03", "demo-2": "620.70.06", "demo-3": "580.159.03"}


TABLE = """\
wave  host    release before → after   out of traffic  answered, failed  what happened
0     demo-0  demo-580.159 → demo-620  20.0 s          9, 0              packages 8 s, serve 5 s, reboot 4 s
1     demo-1  demo-580.159 → the same  20.0 s          9, 0              it was rebooted. The host keeps release
                                                                         demo-580.159: 11 were put back
1     demo-2  demo-580.159 → demo-620  20.0 s          9, 0              packages 8 s, serve 5 s, reboot 4 s
2     demo-3  demo-580.159 → the same  never                             not begun: a wave before it failed
"""


def test_parts_of_a_host() -> None:
    assert rollout.parts(STEPS) == {"drain": 2.0, "install": 9.0, "reboot": 4.0, "load": 5.0}


def test_a_wave_takes_as_long_as_its_slowest_host() -> None:
    assert rollout.critical(GOOD.hosts) == 20.0 + 23.0


def test_what_it_takes_besides_is_of_who_is_done_last() -> None:
    """61 s, of which 43 s are parts: demo-0's 20 s, then demo-1's 23 s beside demo-2's 20 s."""
    spans = {
        ("Host", "demo-0"): (5.0, 26.0), ("Service", "demo-0"): (26.0, 28.0), ("Gate", "wave-0"): (28.0, 29.0),
        ("Host", "demo-1"): (30.0, 55.0), ("Service", "demo-1"): (55.0, 59.0),
        ("Host", "demo-2"): (30.0, 51.0), ("Service", "demo-2"): (51.0, 54.0),
    }  # fmt: skip
    found = rollout.besides(dataclasses.replace(GOOD, spans=spans))
    assert found == {"start": 5.0, "hosts": 1.0 + 2.0, "services": 2.0 + 4.0, "gates": 1.0, "rest": 3.0}
    assert sum(found.values()) + 43.0 == GOOD.run.seconds


def test_the_report_has_the_ratio_and_the_requests() -> None:
    report = rollout.report([GOOD], 3, 60)
    assert report.quotients() == {"roll-out / sum of its parts": round(61.0 / 43.0, 2)}
    assert (report.facts["requests_answered"], report.facts["requests_failed"]) == (2, 0)


def test_the_table_says_what_happened_to_each_host() -> None:
    assert rollout_demo.table(BAD) == TABLE.rstrip()


def test_it_is_as_it_should_be() -> None:
    assert rollout_demo.problems(GOOD, BAD, "demo-1", DRIVERS) == []


@pytest.mark.parametrize(
    ("good", "bad", "drivers", "said"),
    [
        (rolled(*GOOD.hosts, failed=("demo-0: reset",)), BAD, DRIVERS, "1 requests failed: demo-0: reset"),
        (rolled(host("demo-0", 0, FIRST)), BAD, DRIVERS, f"did not bring every host to {SECOND}"),
        (GOOD, rolled(*BAD.hosts), DRIVERS, "the second roll-out did not fail"),
        (GOOD, BAD, DRIVERS | {"demo-1": "620.70.06"}, "demo-1 runs driver 620.70.06, not 580.159.03"),
        (GOOD, BAD, DRIVERS | {"demo-3": "620.70.06"}, "demo-3 runs driver 620.70.06, not 580.159.03"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(good: Rolled, bad: Rolled, drivers: dict[str, str], said: str) -> None:
    (found,) = rollout_demo.problems(good, bad, "demo-1", drivers)
    assert said in found
