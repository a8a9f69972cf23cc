"""Which packages a host must have: those of the release, and of NVIDIA's those that its hardware asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bootstrap.facts import Facts
from slipway.desired import GpuDesired, HostDesired, Package

FAMILY = re.compile(
    r"(?:lib)?nvidia-(?!container|settings$|xconfig$)|libcuda1$|cuda-(?:drivers|keyring)|firmware-nvidia-|nvlsm$|"
    r"xserver-xorg-video-nvidia|linux-(?:modules|objects|signatures)-nvidia-|libxnvctrl"
)
"""names of packages that belong to a driver, in every archive and branch; the container toolkit has its own versions"""
_ALIKE = re.compile(r"nvidia-driver-pinning|cuda-keyring$")
"""of these, any that is not wanted is in the way, whatever its version"""
_DRIVER_VERSION = re.compile(r"(?:\d+:)?(\d{3}\.\d{2,3}(?:\.\d{2})?)(?![\d.])")


def wanted(facts: Facts, desired: HostDesired) -> tuple[Package, ...]:
    """Every package at its pinned version. What NVSwitch and NVLink 5 need only where they are: a fabric manager
    without a switch fails to start."""
    gpu = desired.gpu
    if gpu is None or gpu.mode == "adopt":
        return desired.packages
    packages = desired.packages + gpu.packages
    if facts.pci.has_nvswitch or facts.pci.nvlink5:
        packages += gpu.nvswitch_packages
    if facts.pci.nvlink5:
        packages += gpu.nvlink5_packages
    return packages


def held(facts: Facts, desired: HostDesired) -> tuple[str, ...]:
    """Names of the packages to hold: the wanted ones, and of an adopted driver all that an image brought."""
    names = {package.name for package in wanted(facts, desired)}
    if desired.gpu is not None and desired.gpu.mode == "adopt":
        names |= {name for name, found in facts.packages.items() if found.installed and FAMILY.match(name)}
    return tuple(sorted(names))


def built_here(gpu: GpuDesired) -> bool:
    """Whether the module is built on the host, by DKMS, or comes ready-made and signed."""
    return gpu.mode == "pin" and any(
        package.name.endswith("dkms") or "-dkms-" in package.name for package in gpu.packages
    )


def missing_headers(facts: Facts, desired: HostDesired) -> tuple[str, ...]:
    """Packages with kernel headers that the module is built with and that are not there. Without those of the kernel
    that runs, DKMS says so, succeeds, and leaves a driver without a module."""
    gpu = desired.gpu
    if gpu is None or not built_here(gpu):
        return ()
    names = [] if facts.driver.headers else [f"linux-headers-{facts.system.kernel}"]
    found = facts.packages.get(gpu.headers) if gpu.headers else None
    if gpu.headers and gpu.headers not in names and not (found and found.installed):
        names.append(gpu.headers)
    return tuple(names)


def in_the_way(facts: Facts, desired: HostDesired) -> tuple[str, ...]:
    """Installed packages of another driver than the wanted one: of another branch, or of another archive."""
    gpu = desired.gpu
    if gpu is None or gpu.mode == "adopt":
        return ()
    keep = {package.name for package in wanted(facts, desired)}
    return tuple(
        sorted(
            name
            for name, found in facts.packages.items()
            if name not in keep
            and FAMILY.match(name)
            and (_ALIKE.match(name) or driver_version(found.version) not in (None, gpu.driver))
        )
    )


def newcomers(facts: Facts, before: Mapping[str, str]) -> tuple[str, ...]:
    """Installed packages of a driver whose names were not there before. They give way to those that were: a branch's
    packages conflict with the next one's, and one of NVIDIA's pins with every other."""
    return tuple(
        sorted(
            name
            for name, found in facts.packages.items()
            if found.installed and name not in before and FAMILY.match(name)
        )
    )


def driver_version(version: str) -> str | None:
    """Upstream's version in a package's (`1:580.95.05-0ubuntu1` → `580.95.05`), None where it is no driver's."""
    match = _DRIVER_VERSION.match(version)
    return match[1] if match else None
