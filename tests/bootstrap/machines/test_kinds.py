"""Which kind is taken, from what the probes found."""

from __future__ import annotations

import pytest

from bootstrap.machines.kinds import Probes, choose
from bootstrap.machines.spec import KindSetting
from slipway.errors import MachineError

NO_VM, NO_KVM, NO_CONTAINER = "qemu not installed", "a boot sector did not run", "it needs root"


@pytest.mark.parametrize(
    ("asked", "probes", "kind", "says"),
    [
        ("auto", Probes(None, None, None), "qemu-kvm", ["KVM", "booted"]),
        ("auto", Probes(None, None, NO_CONTAINER), "qemu-kvm", ["KVM"]),
        ("auto", Probes(None, NO_KVM, None), "nspawn", ["nspawn", NO_KVM]),
        ("auto", Probes(NO_VM, "not tried", None), "nspawn", ["nspawn", NO_VM]),
        ("auto", Probes(None, NO_KVM, NO_CONTAINER), "qemu-tcg", ["slow", NO_KVM, NO_CONTAINER]),
        ("nspawn", Probes(None, None, None), "nspawn", ["asks for it"]),
        ("qemu-kvm", Probes(None, None, None), "qemu-kvm", ["asks for it"]),
        ("qemu-tcg", Probes(None, NO_KVM, None), "qemu-tcg", ["asks for it"]),
    ],
)
def test_the_choice_says_why(asked: KindSetting, probes: Probes, kind: str, says: list[str]) -> None:
    choice = choose(asked, probes)
    assert choice.kind == kind
    assert all(text in choice.why for text in says)
    assert choice.why.endswith(".")
    assert "not tried" not in choice.why


@pytest.mark.parametrize(
    ("asked", "probes", "says"),
    [
        ("auto", Probes(NO_VM, "not tried", NO_CONTAINER), [NO_VM, NO_CONTAINER, "as root"]),
        ("nspawn", Probes(None, None, NO_CONTAINER), [NO_CONTAINER, "auto"]),
        ("qemu-kvm", Probes(None, NO_KVM, None), [NO_KVM]),
        ("qemu-kvm", Probes(NO_VM, "not tried", None), [NO_VM]),
        ("qemu-tcg", Probes(NO_VM, None, None), [NO_VM]),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(asked: KindSetting, probes: Probes, says: list[str]) -> None:
    with pytest.raises(MachineError) as caught:
        choose(asked, probes)
    assert all(text in str(caught.value) for text in says)
