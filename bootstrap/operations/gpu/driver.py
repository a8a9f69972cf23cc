"""The driver's module: nouveau kept off, the initramfs fresh, the module loaded, and when only a reboot helps."""

from __future__ import annotations

from collections.abc import Iterator

from bootstrap.facts import Facts
from bootstrap.facts.driver import MODULE_FILE, NOUVEAU_PATH
from bootstrap.operations.step import Plan, Put, Steps
from bootstrap.operations.wanted import built_here
from slipway.desired import HostDesired

NOUVEAU = "# Written by Slipway: NVIDIA's driver cannot have a GPU that nouveau has.\n" + (
    "blacklist nouveau\noptions nouveau modeset=0\n"
)
BUILD_DEADLINE = 1800.0
"""seconds: a build took 6 minutes on 2 cores"""
INITRAMFS_DEADLINE = 900.0
MODULE_DEADLINE = 180.0
"""seconds: eight GPUs with NVSwitch take one to two minutes to come up"""


def reboot_reason(facts: Facts, desired: HostDesired) -> str | None:
    """Why the host does what is wanted only after a reboot; None when it needs none.

    Pure; `converge_host` asks it, and lets the host's traffic go before it reboots.
    """
    if desired.gpu is None or not facts.driver.installed:
        return None
    return next(_reasons(facts), None)


def _reasons(facts: Facts) -> Iterator[str]:
    driver = facts.driver
    if driver.nouveau:
        yield "nouveau is loaded and has the GPUs"
    if driver.loaded and driver.loaded != driver.installed:
        yield f"module {driver.loaded} is loaded, {driver.installed} is installed"
    if driver.flavour and driver.flavour != driver.installed_flavour:
        yield f"the {driver.flavour} module is loaded, the {driver.installed_flavour} one is installed"
    for gpu in facts.smi.gpus:
        if gpu.ecc != gpu.ecc_pending:
            yield f"ECC of GPU {gpu.index} is {gpu.ecc.lower()} and becomes {gpu.ecc_pending.lower()}"
        if gpu.mig != gpu.mig_pending:
            yield f"MIG of GPU {gpu.index} is {gpu.mig.lower()} and becomes {gpu.mig_pending.lower()}"


def live(facts: Facts, desired: HostDesired) -> bool:
    """Whether the installed driver runs, so that what needs it can be done now."""
    driver = facts.driver
    return bool(driver.loaded) and facts.smi.state == "ok" and reboot_reason(facts, desired) is None


def keep_nouveau_off(facts: Facts, desired: HostDesired) -> Steps:
    if desired.gpu is None or desired.gpu.mode == "adopt" or facts.files.get(NOUVEAU_PATH) == NOUVEAU:
        return Steps("nouveau is kept off, or no matter")
    return Steps("nouveau could take the GPUs", (Put(NOUVEAU_PATH, NOUVEAU),))


def build_module(facts: Facts, desired: HostDesired) -> Steps:
    gpu, driver = desired.gpu, facts.driver
    if gpu is None or not built_here(gpu) or driver.installed == gpu.driver or not driver.headers:
        return Steps("the kernel that runs has the driver's module, or gets none from DKMS")
    plan = Plan()
    script = 'dkms autoinstall -k "$(uname -r)"'
    plan.run(script, f"build the module {gpu.driver} for the kernel that runs", deadline=BUILD_DEADLINE)
    return plan.done(f"DKMS has built {driver.installed or 'nothing'} for the kernel that runs")


def renew_initramfs(facts: Facts, desired: HostDesired) -> Steps:
    if desired.gpu is None or desired.gpu.mode == "adopt" or not facts.boot.initramfs_stale:
        return Steps("the initramfs is as new as the driver")
    plan = Plan()
    # A clock that was set back leaves files of the future behind, than which nothing is newer.
    present = f"find {NOUVEAU_PATH} {MODULE_FILE} -newermt now -exec touch {{}} \\; 2>/dev/null"
    script = f"{present}; update-initramfs -u -k all"
    plan.run(script, "let the next boot begin with this driver", deadline=INITRAMFS_DEADLINE)
    return plan.done("the initramfs is older than the driver or its settings")


def load_module(facts: Facts, desired: HostDesired) -> Steps:
    driver = facts.driver
    if desired.gpu is None or driver.loaded or driver.nouveau or not driver.installed:
        return Steps("the module is loaded, or waits for a reboot")
    if not desired.gpu.runs:
        return Steps("there is no GPU to load the driver for")
    plan = Plan()
    plan.run("modprobe nvidia && modprobe nvidia-uvm", "load the driver", deadline=MODULE_DEADLINE)
    return plan.done(f"the module {driver.installed} is installed and not loaded")
