"""What speaks against a GPU stack on a host, said before anything is touched."""

from __future__ import annotations

from bootstrap.facts import Facts
from bootstrap.facts.gpu_model import Gpu
from bootstrap.facts.openpgp import fingerprints
from bootstrap.operations.gpu.archive import mixed_sources
from bootstrap.operations.gpu.settings import SCRIPT_PATH
from bootstrap.operations.step import Refusal, Steps
from bootstrap.operations.wanted import built_here
from slipway.desired import GpuDesired, HostDesired
from slipway.errors import PackageError, VerifyError
from slipway.releases.sources import trusted


def refuse(facts: Facts, desired: HostDesired) -> Steps:
    gpu = desired.gpu
    if gpu is None:
        return Steps("no GPU is wanted")
    _hardware(facts, gpu)
    for each in facts.smi.gpus:
        _settable(each, gpu, facts.files.get(SCRIPT_PATH, ""))
    if gpu.mode == "adopt":
        _adopted(facts, gpu)
        return Steps("the driver that the image brought is the release's")
    _secure_boot(facts, gpu)
    _key(gpu)
    if mixed := mixed_sources(facts):
        raise Refusal(
            PackageError,
            f"{mixed} names an archive of NVIDIA's among others",
            "Take NVIDIA's entry out of that file: Slipway writes the pinned archive into a file of its own, and apt "
            "stops at two entries for one archive with two keys.",
        )
    return Steps("nothing speaks against the GPU stack")


def _hardware(facts: Facts, gpu: GpuDesired) -> None:
    found, expected = len(facts.pci.gpus), gpu.expected.count
    if expected is not None and found != expected:
        raise Refusal(
            VerifyError,
            f"the PCI bus has {found} GPUs of NVIDIA's, the plan expects {expected}",
            "See whether one has fallen off the bus (`lspci -d 10de:`), or plan with what the host has. "
            "Nothing was changed.",
        )
    if not found and expected is None:
        raise Refusal(
            VerifyError,
            "the PCI bus has no GPU of NVIDIA's",
            "Take the host out of those with GPUs, or see why it shows none (`lspci -d 10de:`). Nothing was changed.",
        )


def _settable(gpu: Gpu, wanted: GpuDesired, script: str) -> None:
    """What a driver that runs already tells of GPUs that cannot be what is asked."""
    missing = [
        name
        for name, asked, has in (("MIG", wanted.mig, gpu.mig), ("ECC", wanted.ecc, gpu.ecc))
        if asked is not None and not has
    ]
    if missing:
        raise Refusal(
            VerifyError,
            f"GPU {gpu.index} ({gpu.name}) has no {missing[0]} that could be set",
            f"Take {missing[0].lower()} out of slipway:driver, or plan with GPUs that have it. Nothing was changed.",
        )
    if wanted.mig is None and gpu.mig_devices and "-mig 1" not in script:
        raise Refusal(
            VerifyError,
            f"GPU {gpu.index} is cut into {len(gpu.mig_devices)} slices ({', '.join(sorted(set(gpu.mig_devices)))}) by "
            "somebody else, and engines get whole GPUs",
            "Write the profile as slipway:driver.mig, or end MIG there (`nvidia-smi mig -dci`, `nvidia-smi mig -dgi`, "
            "`nvidia-smi -mig 0`). Nothing was changed.",
        )


def _adopted(facts: Facts, gpu: GpuDesired) -> None:
    if facts.driver.installed != gpu.driver:
        raise Refusal(
            VerifyError,
            f"the image brought driver {facts.driver.installed or 'none'}, the release says {gpu.driver}",
            "Boot an image with that driver, choose a release with the image's, or let Slipway install it "
            "(`mode: pin`). Nothing was changed.",
        )


def _secure_boot(facts: Facts, gpu: GpuDesired) -> None:
    if facts.boot.secure_boot and built_here(gpu) and not facts.boot.mok_enrolled:
        raise Refusal(
            VerifyError,
            "Secure Boot is on, and the firmware does not trust the key that modules built on this host are signed "
            "with: the kernel would refuse the driver",
            "Turn Secure Boot off; or take a release with modules that the distribution signed; or enrol the "
            "machine owner key (MOK): `mokutil --import /var/lib/shim-signed/mok/MOK.der` (Debian: "
            "/var/lib/dkms/mok.pub), reboot, and confirm it at the console. Nothing was changed.",
        )


def _key(gpu: GpuDesired) -> None:
    if not gpu.sources or (not gpu.key and all(map(trusted, gpu.sources))):
        return
    try:
        found = fingerprints(gpu.key.encode())
    except ValueError as error:
        found, reason = (), f" ({error})"
    else:
        reason = ""
    if found != (gpu.key_fingerprint.upper(),):
        raise Refusal(
            PackageError,
            f"the key of NVIDIA's archive is {', '.join(found) or 'unreadable'}{reason}, pinned is "
            f"{gpu.key_fingerprint or 'none'}",
            "Get the key from NVIDIA anew and compare its fingerprint with what NVIDIA publishes. Nothing was changed.",
        )
