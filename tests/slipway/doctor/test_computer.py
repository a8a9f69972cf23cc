"""Whether this computer can hold the local stack."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slipway.doctor.computer import ComputerAnswers, judge_computer
from slipway.units import GIB
from tests.slipway.stack_files import settings

SAID = ComputerAnswers(None, None, "/dev/kvm is not there", memory=8 * GIB, disk=40 * GIB, state="/s")


@pytest.mark.parametrize(
    ("said", "more", "made", "off"),
    [
        (SAID, "", 0, set()),
        (SAID, "  slipway:local: {machine: qemu-kvm}\n", 0, {"machines"}),
        (replace(SAID, no_container="not root", no_vm="no QEMU"), "", 0, {"machines"}),
        (replace(SAID, memory=GIB), "", 0, {"memory"}),
        (replace(SAID, memory=GIB), "", 1, set()),
        (SAID, "  slipway:hosts: {count: 5}\n", 0, {"memory", "disk"}),
        (SAID, "  slipway:hosts: {count: 5}\n", 2, set()),
    ],
)
def test_judged(said: ComputerAnswers, more: str, made: int, off: set[str]) -> None:
    found = list(judge_computer(settings(more), said, made))
    assert {check.name for check in found if check.verdict == "off"} == off
    assert all(check.fix for check in found if check.verdict == "off")
