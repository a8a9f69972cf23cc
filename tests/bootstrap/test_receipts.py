"""The states of a receipt: what is drawn, what the code allows, and what a host really goes through."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from bootstrap import receipts
from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.host import converge_host
from bootstrap.receipts import TRANSITIONS
from bootstrap.session import Command, Result
from bootstrap.testing import RecordingLog
from bootstrap.waits import Waits
from slipway.errors import HostError, UnreachableError
from tests.bootstrap.gpu_host import SimulatedGpuHost, desired

DRAWING = Path(__file__).resolve().parents[2] / "docs" / "rollouts.md"
OLD, NEW = "580.126.20", "620.70.06"
LOST = UnreachableError("lost", where="h1", fix="")
BROKEN = Result(100, "", "dpkg: error processing package")
ARROWS = {(before or "[*]", after) for before, states in TRANSITIONS.items() for after in states}


class Witness(SimulatedGpuHost):
    """Keeps the arrows that its receipt went along. `dies` after the receipt says this state, once."""

    def __init__(self) -> None:
        super().__init__()
        self.arrows: set[tuple[str, str]] = set()
        self.state = "[*]"
        self.dies = ""

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        super().put(path, content, mode, owner)
        if path == RECEIPT_PATH:
            state = json.loads(content)["state"]
            if state != self.state:
                self.arrows.add((self.state, state))
            self.state = state

    def run(self, command: Command) -> Result:
        if self.dies == self.state:
            self.dies = ""
            raise LOST
        return super().run(command)


def test_the_drawing_is_the_code() -> None:
    drawn = re.findall(r"^    (\S+) --> (\w+):", DRAWING.read_text(), re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == ARROWS


def test_a_host_goes_along_every_arrow_and_no_other(waits: Waits) -> None:
    seen: set[tuple[str, str]] = set()

    def go(host: Witness, *drivers: str) -> Witness:
        for driver in drivers:
            try:
                converge_host(host, desired(driver), RecordingLog(), waits.cancel, waits=waits)
            except HostError:
                continue
        seen.update(host.arrows)
        return host

    def dying_in(state: str, then: str) -> None:
        host = go(Witness(), OLD)
        if state == "restoring":
            host.fail_on("apt-get install", BROKEN, late=True)
        host.dies = state
        go(host, NEW, then)
        assert (host.state, host.loaded) == ("converged", then)

    first = Witness()
    first.fail_on("apt-get install", BROKEN)
    go(first, OLD, OLD)
    drifted = go(Witness(), OLD)
    drifted.packages["libcuda1"] = f"{NEW}-1"
    go(drifted, OLD)
    for state in ("updating", "restoring"):
        for then in (OLD, NEW):
            dying_in(state, then)
    back = go(Witness(), OLD)
    back.fail_on("apt-get install", BROKEN, late=True)
    go(back, NEW)
    assert (back.state, back.installed) == ("converged", OLD)
    lost = go(Witness(), OLD)
    lost.fail_on("apt-get install", BROKEN, late=True)
    lost.fail_on("apt-get install", BROKEN)
    go(lost, NEW, NEW)
    assert (lost.state, lost.loaded) == ("converged", NEW)
    assert seen == ARROWS


def test_a_state_that_does_not_follow_is_refused() -> None:
    receipt = receipts.Receipt(release="r", target="r", state="converged", boot_id="b", time="t")
    with pytest.raises(ValueError, match="does not go from converged to restoring"):
        receipt.moved(state="restoring")
