"""What a rented host is born with: the size of its boot disk, and what cloud-init is told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from slipway.desired import Needs
from slipway.models import MODELS
from slipway.plan_types import Plan
from slipway.releases import Release
from slipway.settings import Settings
from slipway.settings.rules import SYSTEM_DISK, SYSTEM_MEMORY
from slipway.units import GB

STEP_GB = 10
"""disks are made in steps, so that a slightly larger image is no change of the disk"""

SYSTEM_GB = 10
"""OS, packages and logs; twice what the local stack measures with its images"""
IMAGES_CPU_GB = 5
IMAGES_GPU_GB = 60
"""two images of an engine with CUDA, the old and the new one of a change, 30 GB each unpacked; an assumption"""
COPIES = 2
"""weights of the old and the new model lie side by side while one replaces the other"""
FREE_SHARE = 0.1
"""5 % that ext4 keeps for root, and as much again so that nothing warns"""

MEMORY_SEEN = 0.94
"""share of a machine's memory that Linux counts at least: firmware, kernel and crash dumps keep the rest. A machine of
64 GiB at a cloud that keeps 5 % shows 60.8"""

UPCLOUD_TEMPLATES = {
    "debian:12": "01000000-0000-4000-8000-000020070100",
    "ubuntu:22.04": "01000000-0000-4000-8000-000030220200",
    "ubuntu:24.04": "01000000-0000-4000-8000-000030240200",
}
"""UUIDs of UpCloud's public templates, by the OS of a release; all of them are for cloud-init.
https://github.com/UpCloudLtd/upcloud-python-api upcloud_api/storage.py"""


def needs(settings: Settings, release: Release, weights: int) -> Needs:
    """The least machine that carries a stack's host: `weights` is the bytes of the model's file.

    From the CPU, each replica holds the weights in memory. On GPUs one set of the release's images, which are large,
    comes on top of the system's disk; sizes are those that local machines are refused by, and boot disks computed from.
    """
    on_gpus = settings.engine.gpus > 0
    held = 0 if on_gpus else settings.engine.replicas * weights
    return Needs(
        architecture=release.architecture,
        memory=int((SYSTEM_MEMORY + held) * MEMORY_SEEN),
        system_disk=SYSTEM_DISK + (IMAGES_GPU_GB * GB // COPIES if on_gpus else 0),
        weights=weights,
    )


@dataclass(frozen=True)
class DiskSize:
    """Gigabytes (10⁹ bytes), and how they came about."""

    gigabytes: int
    why: str


def boot_disk(plan: Plan, *, weights_elsewhere: bool) -> DiskSize:
    """The smallest boot disk that holds system, images and, unless they are elsewhere, weights.

    A CPU plan of a model of 3.1 GB: (10 + 5 + 2 × 3.1) ÷ 0.9 = 23.6, so 30 GB.
    """
    images = IMAGES_GPU_GB if plan.engine.gpus_per_replica else IMAGES_CPU_GB
    weights = 0.0 if weights_elsewhere else plan.model.size / GB
    raw = (SYSTEM_GB + images + COPIES * weights) / (1 - FREE_SHARE)
    size = math.ceil(raw / STEP_GB) * STEP_GB
    stored = "" if weights_elsewhere else f" + {COPIES} × {weights:.1f} weights"
    why = f"({SYSTEM_GB} system + {images} images{stored}) ÷ {1 - FREE_SHARE:g} = {raw:.1f}, so {size} GB"
    return DiskSize(size, why)


DISK_SECONDS = 300
"""how long a first boot waits for a disk that a cloud attaches to a machine which runs already"""


def user_data(
    private_key: str,
    public_key: str,
    *,
    cache_device: str | None = None,
    hostname: str | None = None,
    files: Mapping[str, str] | None = None,
) -> str:
    """What cloud-init does before sshd starts: the host's own key, no passwords, and the disk for weights.

    `cache_device` is a path under /dev. It is waited for, formatted when nothing at all is on it, and mounted where
    models lie. `hostname` is for clouds that would name a machine by its address, `files` (content by path) for what
    else runs at a first boot.
    https://cloudinit.readthedocs.io/en/latest/reference/modules.html (ssh, bootcmd); bootcmd is run on each boot.
    Tried with those two modules of cloud-init 22.4.2, Debian 12's, whose unit comes before sshd's.
    """
    config: dict[str, object] = {
        "disable_root": False,
        "ssh_pwauth": False,
        "ssh_deletekeys": True,
        # With keys given, cloud-init makes none of other types, so that a host has this one only.
        "ssh_keys": {"ed25519_private": private_key, "ed25519_public": public_key},
    }
    if hostname is not None:
        config["hostname"] = hostname
    if files:
        config["write_files"] = [{"path": path, "content": content} for path, content in files.items()]
    if cache_device is not None:
        config["bootcmd"] = [["sh", "-ec", _mount_script(cache_device)]]
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"


def _mount_script(device: str) -> str:
    """blkid -p exits with 2 only where it finds no signature of anything; any other answer leaves the disk alone."""
    return (
        f"n=0; until [ -e {device} ] || [ $n = {DISK_SECONDS} ]; do n=$((n + 1)); sleep 1; done\n"
        f"code=0; blkid -p {device} >/dev/null || code=$?\n"
        f"if [ $code = 2 ]; then mkfs.ext4 -q {device}; fi\n"
        f"mkdir -p {MODELS}\n"
        f"grep -q '^{device} ' /etc/fstab || "
        f"echo '{device} {MODELS} ext4 defaults,nofail,x-systemd.device-timeout=60s 0 2' >>/etc/fstab\n"
        f"mountpoint -q {MODELS} || mount {MODELS}\n"
    )
