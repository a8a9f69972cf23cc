"""Names of NVIDIA's packages: a function of the archive, the driver, the system and the flavour of the modules.

Every package of a set is named, not only the one that depends on the others: apt takes the newest of whatever is not
named, which broke exact pins again and again (https://github.com/NVIDIA/ansible-role-nvidia-driver/issues/11).
Sets are for computing only; nothing of a display is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slipway.errors import ReleaseError

Archive = Literal["nvidia", "ubuntu", "debian"]
Modules = Literal["open", "proprietary"]
Architecture = Literal["amd64", "arm64"]

BRANCHLESS_FROM = 590
"""first branch whose packages for Ubuntu carry no branch in NVIDIA's archive.
https://docs.nvidia.com/datacenter/tesla/pdf/Driver_Installation_Guide.pdf (r590), 4.1.1"""

FABRIC_BRANCHLESS_FROM = 580
"""first branch whose fabric manager carries none there: https://github.com/NVIDIA/cloud-native-stack
playbooks/nvidia-driver.yaml"""

NVIDIA_FOLDERS = {
    "ubuntu:22.04": "ubuntu2204",
    "ubuntu:24.04": "ubuntu2404",
    "debian:12": "debian12",
    "debian:13": "debian13",
}
"""folders of NVIDIA's archive: https://developer.download.nvidia.com/compute/cuda/repos/"""

NVIDIA_MACHINES = {"amd64": "x86_64", "arm64": "sbsa"}

CUDA_KEY = "EB693B3035CD5710E231E123A4B469963BF863CC"
"""fingerprint of the key of NVIDIA's archive, 3bf863cc.pub, for the systems above (another signs Ubuntu 26.04's): as
public installers quote it that verify it, all alike; NVIDIA's own page of it was not at hand"""

TOOLKIT_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"
"""fingerprint of https://nvidia.github.io/libnvidia-container/gpgkey, quoted in the same way"""


@dataclass(frozen=True)
class Names:
    """One set of packages."""

    pinning: str | None
    """package whose apt preferences keep every other one on this driver's version"""
    driver: tuple[str, ...]
    """all at the driver's version"""
    beside: tuple[str, ...] = ()
    """what the archive versions on its own"""
    nvswitch: tuple[str, ...] = ()
    """at the driver's version; empty where the archive has none"""
    nvlink5: tuple[str, ...] = ()
    """besides, for fifth-generation NVLink, with versions of their own; empty where the archive has none"""
    monitoring: tuple[str, ...] = ()
    """DCGM, with versions of its own; empty where the archive has none"""


@dataclass(frozen=True)
class Source:
    """Where a set comes from besides the system's own archive."""

    paragraph: str
    """deb822 without Signed-By, as only the host knows where it keeps the key"""
    key_url: str
    key_fingerprint: str


def package_names(archive: Archive, os: str, driver: str, modules: Modules, cuda: str) -> Names:
    """The set of one driver ("580.159.03") for one system ("ubuntu:24.04"), with the DCGM for one CUDA ("13.0").

    Raises `ReleaseError` for a system that the archive is not for.
    """
    if os not in NVIDIA_FOLDERS or (archive != "nvidia" and not os.startswith(archive)):
        raise ReleaseError(
            f"no packages of the archive {archive} are known for {os}",
            where="gpu.archive",
            fix=f"Use nvidia, or the system's own archive, on one of {', '.join(NVIDIA_FOLDERS)}",
        )
    if archive == "ubuntu":
        return _canonical(driver, modules)
    if archive == "debian":
        return _debian(modules)
    monitoring = ("datacenter-gpu-manager-4-core", f"datacenter-gpu-manager-4-cuda{cuda.split('.', maxsplit=1)[0]}")
    branch = driver.split(".", maxsplit=1)[0]
    fabric = "" if int(branch) >= FABRIC_BRANCHLESS_FROM else f"-{branch}"
    return Names(
        pinning=f"nvidia-driver-pinning-{driver}",
        driver=_nvidia_on_ubuntu(branch, modules) if os.startswith("ubuntu") else _nvidia_on_debian(modules),
        nvswitch=(f"nvidia-fabricmanager{fabric}", f"libnvidia-nscq{fabric}"),
        nvlink5=("nvlsm", "infiniband-diags"),
        monitoring=monitoring,
    )


def source(archive: Archive, os: str, architecture: Architecture = "amd64") -> Source:
    """NVIDIA's archive, which has the toolkit as well; or the toolkit's own, beside a driver of the system's."""
    if archive != "nvidia":
        base = "https://nvidia.github.io/libnvidia-container"
        return Source(_flat(f"{base}/stable/deb/{architecture}/"), f"{base}/gpgkey", TOOLKIT_KEY)
    folder, machine = NVIDIA_FOLDERS[os], NVIDIA_MACHINES[architecture]
    base = f"https://developer.download.nvidia.com/compute/cuda/repos/{folder}/{machine}/"
    return Source(_flat(base), base + "3bf863cc.pub", CUDA_KEY)


def headers(os: str, architecture: Architecture, kernel: str | None) -> str:
    """The package with the headers of a kernel (`uname -r`); without one, that which follows the system's kernels.

    >>> headers("debian:12", "amd64", None), headers("ubuntu:24.04", "arm64", None)
    ('linux-headers-amd64', 'linux-headers-generic')
    """
    return f"linux-headers-{kernel or ('generic' if os.startswith('ubuntu') else architecture)}"


def _flat(uri: str) -> str:
    return f"Types: deb\nURIs: {uri}\nSuites: /\n"


def _nvidia_on_ubuntu(branch: str, modules: Modules) -> tuple[str, ...]:
    old = int(branch) < BRANCHLESS_FROM
    suffix = f"-{branch}" if old else ""
    flavour = "-open" if modules == "open" else ""
    # nvidia-smi and the like are in packages of their own only up to 580.
    own = (f"nvidia-compute-utils{suffix}", f"nvidia-utils{suffix}") if old else ()
    return tuple(
        sorted(
            (
                f"libnvidia-cfg1{suffix}",
                f"libnvidia-compute{suffix}",
                f"libnvidia-decode{suffix}",
                f"libnvidia-gpucomp{suffix}",
                f"nvidia-dkms{suffix}{flavour}",
                f"nvidia-firmware{suffix}",
                f"nvidia-kernel-common{suffix}",
                f"nvidia-kernel-source{suffix}{flavour}",
                "nvidia-modprobe",
                "nvidia-persistenced",
                *own,
            )
        )
    )


def _nvidia_on_debian(modules: Modules) -> tuple[str, ...]:
    # Debian's names, without a branch at any version. What libcuda1 needs besides differs by branch; the lock names it.
    return (
        "firmware-nvidia-gsp",
        "libcuda1",
        "libnvidia-cfg1",
        "libnvidia-ml1",
        "libnvidia-ptxjitcompiler1",
        "nvidia-driver-cuda",
        "nvidia-kernel-open-dkms" if modules == "open" else "nvidia-kernel-dkms",
        "nvidia-kernel-support",
        "nvidia-modprobe",
        "nvidia-persistenced",
    )


def _canonical(driver: str, modules: Modules) -> Names:
    branch = driver.split(".", maxsplit=1)[0]
    flavour = "-open" if modules == "open" else ""
    server = f"{branch}-server"
    return Names(
        pinning=None,
        driver=(
            f"libnvidia-cfg1-{server}",
            f"libnvidia-compute-{server}",
            f"nvidia-compute-utils-{server}",
            f"nvidia-dkms-{server}{flavour}",
            f"nvidia-firmware-{server}-{driver}",
            f"nvidia-headless-{server}{flavour}",
            f"nvidia-headless-no-dkms-{server}{flavour}",
            f"nvidia-kernel-common-{server}",
            f"nvidia-kernel-source-{server}{flavour}",
            f"nvidia-utils-{server}",
        ),
        nvswitch=(f"nvidia-fabricmanager-{branch}", f"libnvidia-nscq-{branch}"),
    )


def _debian(modules: Modules) -> Names:
    flavour = "nvidia-open-kernel" if modules == "open" else "nvidia-kernel"
    return Names(
        pinning=None,
        driver=(
            "firmware-nvidia-gsp",
            "libcuda1",
            "libnvidia-cfg1",
            "libnvidia-ml1",
            "libnvidia-pkcs11-openssl3",
            "libnvidia-ptxjitcompiler1",
            "nvidia-alternative",
            f"{flavour}-dkms",
            f"{flavour}-support",
            "nvidia-legacy-check",
            "nvidia-smi",
        ),
        beside=("nvidia-modprobe", "nvidia-persistenced"),
    )
