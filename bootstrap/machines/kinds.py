"""Which kind of machine can be booted here, and which one is taken."""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.machines import kvm, nspawn, qemu
from bootstrap.machines.spec import Kind, KindSetting, MachineSpec, root_of
from slipway.errors import MachineError


@dataclass(frozen=True)
class Probes:
    """What was found on this computer: for each way, the reason why it cannot be taken; None when it can."""

    vm: str | None
    """a VM at all: QEMU and something to boot"""
    kvm: str | None
    container: str | None


@dataclass(frozen=True)
class Choice:
    kind: Kind
    why: str


def probe(spec: MachineSpec) -> Probes:
    """Looks as far as `spec.kind` needs: the KVM probe takes seconds where KVM is broken."""
    no_vm = qemu.missing(spec)
    no_kvm: str | None = "not tried"
    if no_vm is None and spec.kind in ("auto", "qemu-kvm"):
        no_kvm = kvm.refused(root_of(spec.state), qemu.find_base(spec))
    return Probes(vm=no_vm, kvm=no_kvm, container=nspawn.missing())


def choose(asked: KindSetting, probes: Probes) -> Choice:
    """The kind to boot, and one sentence why. Raises `MachineError` when what is asked for cannot be had."""
    no_kvm = probes.vm or probes.kvm
    if asked == "auto":
        if no_kvm is None:
            return Choice("qemu-kvm", "A VM under KVM, because a kernel booted under it here.")
        if probes.container is None:
            return Choice("nspawn", f"A system container under systemd-nspawn, because no VM under KVM: {no_kvm}.")
        if probes.vm is None:
            return Choice(
                "qemu-tcg",
                f"A VM without acceleration (slow), because no VM under KVM: {no_kvm}; "
                f"and no container: {probes.container}.",
            )
        raise MachineError(
            f"no machine can be booted here. No VM: {probes.vm}; no container: {probes.container}",
            where="machine kind auto",
            fix="Run it as root with systemd-container installed, or install QEMU and build the VM base.",
        )
    reason = {"nspawn": probes.container, "qemu-kvm": no_kvm, "qemu-tcg": probes.vm}[asked]
    if reason is not None:
        raise MachineError(
            f"it cannot be booted here: {reason}", where=f"machine kind {asked}", fix="Use `auto` to take what can be."
        )
    return Choice(asked, f"{asked}, because the stack file asks for it.")
