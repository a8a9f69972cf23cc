"""Whether the machines of the local stack have room and tools on this computer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slipway.doctor.types import Check, judged
from slipway.settings import Settings
from slipway.units import about_bytes

GROUP = "this computer"


@dataclass(frozen=True)
class ComputerAnswers:
    """What was found; sizes in bytes, each `no_…` the reason why it cannot be had, None where it can."""

    no_container: str | None
    no_vm: str | None
    """QEMU's programs; whether its base is built is not looked at"""
    no_kvm: str | None
    memory: int
    """that programs can still get"""
    disk: int
    """free where machines keep their disks"""
    state: str
    """that place"""


def judge_computer(settings: Settings, said: ComputerAnswers, made: int) -> Iterator[Check]:
    """Checks for the machines that are not there yet, of which `made` are."""
    asked = settings.local.machine
    vm = said.no_vm or said.no_kvm
    kinds = {"nspawn": said.no_container, "qemu-kvm": vm, "qemu-tcg": said.no_vm}
    can = [kind for kind, reason in kinds.items() if reason is None]
    reasons = "; ".join(f"no {kind}: {reason}" for kind, reason in kinds.items() if reason is not None)
    well = bool(can) if asked == "auto" else asked in can
    found = f"{', '.join(can) or 'none'} can be booted" + (f" ({reasons})" if reasons else "")
    fix = "Run it as root, and: apt-get install systemd-container iproute2 iptables"
    yield judged(GROUP, "machines", well, found=found, wanted=asked, fix=fix)
    missing = max(0, settings.hosts.count - made)
    if not missing:
        return
    memory, disk = missing * settings.local.memory, missing * settings.local.disk
    yield judged(
        GROUP,
        "memory",
        said.memory >= memory,
        found=f"{about_bytes(said.memory)} available",
        wanted=f"{about_bytes(memory)} for {missing} machine{'s' if missing > 1 else ''}",
        fix="Lower slipway:local.memory or slipway:hosts.count, or end something",
        cost="" if said.memory >= memory else "machines swap, or are killed while they load the model",
    )
    yield judged(
        GROUP,
        "disk",
        said.disk >= disk,
        found=f"{about_bytes(said.disk)} free at {said.state}",
        wanted=f"{about_bytes(disk)} if their disks fill",
        fix="Free some, lower slipway:local.disk, or set SLIPWAY_STATE to another place",
    )
