"""A simulated host that serves, on which faults can be switched on, and which remembers where they struck."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.session import Command, Result
from slipway.errors import UnreachableError
from tests.bootstrap.serving_host import ServingHost

ALWAYS = 1 << 30
LOST = UnreachableError("connection to 192.0.2.1:22 lost", where="h1", fix="Run `up` again once the host answers.")
Outcome = Exception | Result | Callable[[], Result]


@dataclass
class Strike:
    """Commands whose script matches end with `outcome`, so many times; after they took effect where `late`."""

    pattern: str
    outcome: Outcome
    late: bool = False
    times: int = ALWAYS


class FaultyHost(ServingHost):
    """The faults are attributes; `mend` takes all of them away and leaves what they did."""

    def __init__(self) -> None:
        super().__init__()
        self.struck: set[str] = set()
        """steps of the receipt at which a fault struck"""
        self.mend()

    def mend(self) -> None:
        self.strikes: list[Strike] = []
        self.os = "debian:12"
        self.secure_boot = False
        self.bus_lost: Callable[[], bool] = lambda: False
        self.driver_lost: Callable[[], bool] = lambda: False
        """whether the second GPU is gone, from the bus or from the driver"""
        self.xid: Callable[[], str] = str
        self.stuck = ""
        self.nouveau_boots = False
        self.switches = False
        """whether it has NVSwitches"""
        self.no_module = False
        """boots load none, and modprobe finds none"""
        self.cdi_missing: Callable[[], bool] = lambda: False
        self.unreachable = 0
        """attempts to reach it that fail"""
        self.boots_for: Callable[[], int] = int
        """attempts to reach it that fail after each reboot"""
        self.broken: set[str] = set()

    def strike(self, pattern: str, outcome: Outcome, *, late: bool = False, times: int = ALWAYS) -> None:
        self.strikes.append(Strike(pattern, outcome, late, times))

    @property
    def receipt(self) -> dict[str, Any]:
        """Empty where there is none that can be read."""
        try:
            return dict(json.loads(self.files[RECEIPT_PATH].content))
        except (KeyError, ValueError):
            return {}

    @property
    def step(self) -> str:
        """Where the receipt stands; empty while nothing is under way."""
        said = self.receipt
        return "" if said.get("state") == "converged" else str(said.get("step", ""))

    def run(self, command: Command) -> Result:
        self._reach()
        strike = self._find_strike(command.script)
        if strike is None or strike.late:
            result = super().run(command)
            if strike is None:
                return result
        outcome = strike.outcome() if callable(strike.outcome) else strike.outcome
        return self._end(command, outcome)

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        self._reach()
        strike = self._find_strike(f"put {path}")
        if strike is None or strike.late:
            super().put(path, content, mode, owner)
        if strike is not None and isinstance(strike.outcome, Exception):
            raise strike.outcome

    def reconnect(self, deadline: float) -> None:
        super().reconnect(deadline)
        self._reach()

    def _reach(self) -> None:
        if self.unreachable:
            self.unreachable -= 1
            self.struck.add(self.step)
            raise LOST

    def _find_strike(self, text: str) -> Strike | None:
        for strike in self.strikes:
            if strike.times and re.search(strike.pattern, text):
                strike.times -= 1
                self.struck.add(self.step)
                return strike
        return None

    # ---- what it is

    def _act(self, script: str) -> str:
        if script.startswith("modprobe nvidia") and self.no_module:
            return ""
        said = super()._act(script)
        if "systemctl reboot" in script:
            self.unreachable = self.boots_for()
            self.nouveau = self.nouveau_boots
            if self.no_module:
                self.loaded = ""
        return said

    def _smi(self) -> str:
        text = super()._smi()
        return re.sub(r"^1, .*\n", "", text, flags=re.MULTILINE) if self.driver_lost() else text

    def _pci(self) -> str:
        text = super()._pci()
        text = text.splitlines()[0] + "\n" if self.bus_lost() else text
        return text + "nvswitch 0000:05:00.0\n" if self.switches else text

    def _xids(self) -> str:
        return f"2026-11-24T10:00:00+0000 h1 kernel: NVRM: Xid (PCI:0000:2b:00): {self.xid()}" if self.xid() else ""

    def _boot(self) -> str:
        return "secure_boot= 1\nmok=key is not enrolled" if self.secure_boot else ""

    def _cdi(self) -> str:
        return "" if self.cdi_missing() else super()._cdi()
