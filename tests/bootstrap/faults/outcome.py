"""How a run over a host ended: one of the ends that are allowed, or what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bootstrap.host import GONE
from slipway.errors import CancelledError, SlipwayError

Ending = Literal["converged", "old release, serving", "drained, named", "broken off, serving"]
"""`broken off, serving`: the run ended in the middle (connection lost, Ctrl-C) while the host served with one whole
driver; what counts is then the next run"""

_NO_TRAFFIC = re.compile(r"engines stay stopped|must get no traffic")


@dataclass(frozen=True)
class Seen:
    """What the run over a host said, and what is on the host after it."""

    host: str
    error: BaseException | None
    state: str
    """of the receipt"""
    release: str
    """that the receipt says the host carries"""
    installed: str
    loaded: str
    serves: bool
    """whether /ready says 200"""
    drifts: tuple[str, ...] = ()
    """pins of the new release that do not hold"""

    @property
    def said(self) -> str:
        """The first clause of the error, for a table."""
        if self.error is None:
            return "nothing"
        text = getattr(self.error, "what", None) or str(self.error)
        return " ".join(text.split())


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    strikes: str
    """steps of the receipt at which it struck"""
    said: str
    after: str
    """how the run with the fault ended"""
    then: str
    """how the next run ended, the fault gone"""
    ends: Ending
    """how the run with the fault has to end"""
    says: str
    """a part of what it has to say"""

    @property
    def right(self) -> bool:
        return self.after == self.ends and self.says in self.said and self.then == "converged"


def ending(seen: Seen, old: str, new: str) -> Ending | str:
    """The end of a run from driver `old` to `new`; a sentence that begins with WRONG for any that is not allowed."""
    drivers = f"driver {seen.installed or 'none'} installed, {seen.loaded or 'none'} loaded, receipt {seen.state}"
    if seen.error is None:
        whole = (seen.state, seen.release, seen.installed, seen.loaded) == ("converged", f"r{new}", new, new)
        if whole and seen.serves and not seen.drifts:
            return "converged"
        return f"WRONG: no error, and {drivers}, {'serves' if seen.serves else 'does not serve'}, {seen.drifts}"
    if not isinstance(seen.error, SlipwayError):
        return f"WRONG: a traceback: {seen.error!r}"
    if seen.host not in seen.error.where:
        return f"WRONG: the error does not name the host: {seen.error}"
    died = isinstance(seen.error, (*GONE, CancelledError))
    if seen.serves and (seen.installed, seen.loaded) == (old, old) and not (died and seen.state == "updating"):
        return "old release, serving"
    if seen.serves and died and seen.installed == seen.loaded:
        return "broken off, serving"
    if seen.serves:
        return f"WRONG: it serves, with {drivers}: {seen.error}"
    if died or _NO_TRAFFIC.search(str(seen.error)):
        return "drained, named"
    return f"WRONG: it does not serve, and nobody says so: {seen.error}"
