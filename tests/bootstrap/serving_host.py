"""A simulated host with GPUs that serves: its engines, its proxy, the hold and the drain flag."""

from __future__ import annotations

import re
from typing import Any

from bootstrap.serving import HOLD
from bootstrap.session import Command, Result
from bootstrap.spare import PROXY, SERVES
from slipway.desired import HostDesired, Serving
from slipway.errors import UnreachableError
from tests.bootstrap.gpu_host import MIRROR, SimulatedGpuHost
from tests.bootstrap.gpu_host import desired as gpu_desired

OLD, NEW = "580.126.20", "620.70.06"
UNITS = ("slipway-engine-0.service", "slipway-engine-1.service", "slipway-proxy.service", "slipway-collector.service")
RUNS_ON = ("docker.io", "libcuda1")
"""packages that a container needs as they are"""


def desired(driver: str = OLD, **gpu: Any) -> HostDesired:
    """A release with that driver, for a host that serves; `gpu` are fields of `GpuDesired`."""
    return gpu_desired(driver, **gpu).model_copy(update={"serving": Serving(deadline=30.0)})


class ServingHost(SimulatedGpuHost):
    """Serves with two engines. `broken` drivers are those with which no engine gets ready. `trips` counts what it was
    asked; it dies at `mortal`."""

    def __init__(self) -> None:
        super().__init__()
        self.available = {*MIRROR, ("curl", "7.88"), ("curl", "8.5")}
        self.service = dict.fromkeys(UNITS, "active")
        self.hold = self.flag = False
        self.broken: set[str] = set()
        self.happened: list[str] = []
        self.trips = 0
        self.mortal = -1

    @property
    def serves(self) -> bool:
        return self.service[UNITS[0]] == "active" and not self.flag and self.loaded not in self.broken

    def run(self, command: Command) -> Result:
        self.trips += 1
        if self.trips == self.mortal:
            raise UnreachableError("lost", where="h1", fix="")
        script = command.script
        if "/usr/local/lib/slipway/drain on" in script:
            self.flag = True
        if f": > {HOLD}" in script:
            self.hold = True
            self.happened.append("let go")
        if f"rm -f {HOLD}" in script:
            self.hold = False
        if match := re.search(r"systemctl stop (slipway-engine.*)", script):
            self.service |= dict.fromkeys(match[1].split(), "inactive")
        if touched := self._touched(script):
            assert not self.serves, f"{touched} while it serves"
            self.happened.append(touched)
        if "systemctl reboot" in script:
            self.flag = False
            self.service = {unit: "inactive" if "engine" in unit and self.hold else "active" for unit in UNITS}
        if match := re.search(r"systemctl start (slipway-.*?) \|\|", script):
            assert not self.hold
            self.service |= dict.fromkeys(match[1].split(), "active")
        if "/usr/local/lib/slipway/drain off" in script and "trap" not in script:
            self.flag = False
            self.happened.append("take up")
        if script.startswith(f"[ -e {PROXY} ]"):
            self.commands.append(command)
            return Result(0, f"{SERVES if self.serves else 'its proxy says 503'}\n")
        if script.startswith("curl -q -s -o /dev/null -m 5"):
            self.commands.append(command)
            return Result(0, "200\n" if self.serves else "503\n")
        return super().run(command)

    def _touched(self, script: str) -> str:
        if "systemctl reboot" in script:
            return "reboot"
        pairs = re.findall(r" ([a-z0-9.]+)=(\S+)", script) if "apt-get install" in script else []
        moves = any(name in RUNS_ON and self.packages.get(name) != version for name, version in pairs)
        return "touch" if moves or re.search(r"systemctl restart docker", script) else ""

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        self.trips += 1
        if self.trips == self.mortal:
            raise UnreachableError("lost", where="h1", fix="")
        super().put(path, content, mode, owner)

    def _hold(self) -> str:
        return "held" if self.hold else ""

    def _units(self) -> str:
        shown = [
            f"Id={unit}\nLoadState=loaded\nActiveState={state}\nUnitFileState=enabled"
            for unit, state in self.service.items()
        ]
        return "\n\n".join((super()._units(), *shown))
