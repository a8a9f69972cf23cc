"""A check and its verdict, and what stands in place of an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from slipway.errors import HostError, SlipwayError

if TYPE_CHECKING:
    from slipway.desired import Connection

Verdict = Literal["ok", "off", "no answer", "not asked"]
"""ok: within its bound. off: out of it. no answer: it was asked, and what came back says nothing, so it is never taken
for ok. not asked: nobody can say here, and the line says why."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, what was wanted, what to do, and what it costs if left so."""

    group: str
    """whom it was asked of: a cloud, a host, this computer, a cluster"""
    name: str
    verdict: Verdict
    found: str
    wanted: str = ""
    fix: str = ""
    cost: str = ""


@dataclass(frozen=True)
class NoAnswer:
    """What stands in place of an answer, and what to do about it."""

    why: str
    fix: str = ""
    verdict: Verdict = "no answer"
    """off where the question was answered with a refusal"""

    def check(self, group: str, name: str, wanted: str = "") -> Check:
        return Check(group, name, self.verdict, self.why, wanted, self.fix)


@dataclass(frozen=True)
class Made:
    """What is in a stack's state already: hosts, and whether a cluster's node pool is."""

    hosts: tuple[Connection, ...] = ()
    pool: bool = False


def judged(group: str, name: str, well: bool, *, found: str, wanted: str, fix: str = "", cost: str = "") -> Check:
    """A check that was answered; what to do is only said where it is off."""
    return Check(group, name, "ok" if well else "off", found, wanted, "" if well else fix, cost)


def exit_code(checks: Iterable[Check]) -> int:
    """0 where all is well, 4 where something is out of bounds, else 1 where something gave no answer."""
    verdicts = {check.verdict for check in checks}
    if "off" in verdicts:
        return HostError.exit_code
    return SlipwayError.exit_code if "no answer" in verdicts else 0
