"""A simulated host with two GPUs: what apt installs becomes its module on disk, what boots becomes the one loaded."""

from __future__ import annotations

import base64
import re
from typing import Any

from bootstrap.facts.containers import MEASURED_PATH, SEEN_PATH
from bootstrap.operations.gpu.settings import SCRIPT_PATH, SETTINGS_UNIT
from bootstrap.session import Command, Result
from bootstrap.testing import SimulatedHost
from slipway.desired import GpuDesired, HostDesired, Package

MODULE = "nvidia-kernel-open-dkms"
FIELDS = "81559, 9.0, Enabled, Enabled, Disabled, Disabled, {power}.00, Enabled, [N/A], [N/A]"
POWER = "700"
"""watts that a GPU takes at most when nobody says otherwise"""
MIRROR = (
    ("docker.io", "20.10"), ("libcuda1", "580.126.20-1"), (MODULE, "580.126.20-1"),
    ("libcuda1", "620.70.06-1"), (MODULE, "620.70.06-1"), ("nvidia-fabricmanager", "580.126.20-1"),
)  # fmt: skip


def desired(driver: str = "580.126.20", **gpu: Any) -> HostDesired:
    """A release with that driver; `gpu` are fields of `GpuDesired`."""
    names = ("libcuda1", MODULE)
    values = {
        "archive": "nvidia", "driver": driver, "branch": driver[:3], "modules": "open", "cuda": "13.0",
        "toolkit": "1.19.1-1", "packages": [{"name": name, "version": f"{driver}-1"} for name in names],
    }  # fmt: skip
    return HostDesired(
        release=f"r{driver}",
        os="debian:12",
        packages=(Package(name="docker.io", version="20.10"),),
        gpu=GpuDesired.model_validate(values | gpu),
    )


class SimulatedGpuHost(SimulatedHost):
    """`stuck` is a module that every boot loads in place of the one on disk."""

    def __init__(self) -> None:
        super().__init__(available=MIRROR)
        self.loaded = ""
        self.nouveau = False
        self.stuck = ""
        self.boots = 1
        self.units: dict[str, str] = {}
        self.cdi_driver = ""
        self.seen = self.measured = ""
        self.power = POWER

    @property
    def installed(self) -> str:
        return self.packages.get(MODULE, "").removesuffix("-1")

    def run(self, command: Command) -> Result:
        if "systemctl reboot" in command.script:
            self.boots += 1
            self.seen = ""
            self.nouveau = False
            self.loaded = self.stuck or self.installed
            self.cdi_driver = self.installed
            self.power = POWER
            self._set_gpus()
        if command.script.startswith("cat /proc/sys/kernel/random/boot_id"):
            self.commands.append(command)
            return Result(0, f"boot-{self.boots}\n")
        return super().run(command)

    def _act(self, script: str) -> str:
        if script.startswith("modprobe nvidia"):
            self.loaded = self.installed
        for unit in re.findall(r"systemctl enable -q (.+?) &&", script):
            self.units |= dict.fromkeys(unit.split(), "active")
            if "cdi" in unit:
                self.cdi_driver = self.installed
        if '-pl "${watts' in script:
            self.power = POWER
        if f"systemctl disable -q {SETTINGS_UNIT}" in script:
            self.units.pop(SETTINGS_UNIT, None)
        for gone in re.findall(r"^rm -f (.+)$", script, re.MULTILINE):
            for path in gone.split():
                self.files.pop(path, None)
        if f"restart {SETTINGS_UNIT}" in script:
            self._set_gpus()
        for path, field in ((SEEN_PATH, "seen"), (MEASURED_PATH, "measured")):
            if match := re.search(rf"'%s\\n' '([^']+)' >{path}", script):
                setattr(self, field, match[1])
        return super()._act(script)

    def _set_gpus(self) -> None:
        """What the unit of the settings does, also at a boot."""
        script = self.files.get(SCRIPT_PATH)
        if SETTINGS_UNIT in self.units and script and script.mode == 0o755:
            limit = re.search(rb"-pl (\d+)", script.content)
            self.power = limit[1].decode() if limit else self.power

    def _driver(self) -> str:
        lines = ["headers=1", "blacklisted=1"] + ["nouveau=1"] * self.nouveau
        if self.loaded:
            lines.append(
                f"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {self.loaded}  Release Build  (b@h)  Tue"
            )
        if self.installed:
            lines += [f"installed={self.installed}", "license=Dual MIT/GPL", f"library={self.installed}"]
        return "\n".join(lines)

    def _smi(self) -> str:
        if not self.installed:
            return "absent"
        if not self.loaded:
            return "status=9\nNVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n--\n"
        if self.loaded != self.installed:
            return "status=18\nFailed to initialize NVML: Driver/library version mismatch\n--\n"
        fields = FIELDS.format(power=self.power)
        rows = [f"{i}, GPU-{i}, NVIDIA H100 80GB HBM3, 00000000:{bus}:00.0, {fields}" for i, bus in enumerate("AB")]
        return "status=0\n" + "\n".join(rows).replace(":A:", ":1B:").replace(":B:", ":2B:") + "\n--\n"

    def _pci(self) -> str:
        return "pci 0000:1b:00.0 0x2330 0x030200 nvidia\npci 0000:2b:00.0 0x2330 0x030200 nvidia\n"

    def _units(self) -> str:
        blocks = [
            f"Id={name}\nLoadState=loaded\nActiveState={state}\nUnitFileState=enabled\nResult=success"
            for name, state in self.units.items()
        ]
        return "\n\n".join(blocks)

    def _cdi(self) -> str:
        if not self.cdi_driver:
            return ""
        names = "".join(f"- name: '{name}'\n" for name in ("0", "1", "all"))
        spec = f"kind: nvidia.com/gpu\ncontainerEdits:\n- libcuda.so.{self.cdi_driver}\ndevices:\n{names}"
        return f"/var/run/cdi/nvidia.yaml {base64.b64encode(spec.encode()).decode()}\n"

    def _empty(self) -> str:
        return ""

    def _containers(self) -> str:
        return f"seen={self.seen}\nmeasured={self.measured}\n"

    _xids = _boot = _archives = _empty
