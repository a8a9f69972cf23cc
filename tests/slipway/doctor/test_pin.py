"""A type of servers written into a stack file, which stays as it is otherwise."""

from __future__ import annotations

import pytest

from slipway.doctor.pin import pinned
from slipway.errors import PlanError

BEFORE = """\
# ours
config:
  slipway:upcloud:  # the cloud
    zone: fi-hel2
    plan: "A"  # cheap
    ssh_from: [192.0.2.7/32]
"""


def test_in_place_of_another() -> None:
    assert pinned(BEFORE, "f", "upcloud", "plan", "B") == BEFORE.replace('"A"', "B")


def test_the_same_again_changes_nothing() -> None:
    once = pinned(BEFORE, "f", "upcloud", "plan", "B")
    assert pinned(once, "f", "upcloud", "plan", "B") == once


@pytest.mark.parametrize(
    "text", ["", "config: {}\n", "config:\n  slipway:upcloud:\n", "config: {slipway:upcloud: {}}\n"]
)
def test_where_there_is_no_section(text: str) -> None:
    with pytest.raises(PlanError, match="there is no slipway:upcloud"):
        pinned(text, "f", "upcloud", "plan", "B")
