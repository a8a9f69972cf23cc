"""Quotas of Google Cloud: those of a region and of the whole project that Compute Engine tells with what is in use, and
those of newer GPUs and machines, which Cloud Quotas tells without it.

https://cloud.google.com/compute/resource-usage. A machine with GPUs of its own counts cores in no quota that is known
here, unless the region has one of its series (A2_CPUS): its GPUs are what bounds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bootstrap.clouds.asking import Api, answered
from slipway.doctor.market import CloudWanted, Limit
from slipway.doctor.types import NoAnswer

GPU_METRICS = {
    "nvidia-l4": "NVIDIA_L4_GPUS",
    "nvidia-tesla-t4": "NVIDIA_T4_GPUS",
    "nvidia-tesla-p4": "NVIDIA_P4_GPUS",
    "nvidia-tesla-p100": "NVIDIA_P100_GPUS",
    "nvidia-tesla-v100": "NVIDIA_V100_GPUS",
    "nvidia-tesla-a100": "NVIDIA_A100_GPUS",
    "nvidia-a100-80gb": "NVIDIA_A100_80GB_GPUS",
}
"""the enumeration `metric` of https://cloud.google.com/compute/docs/reference/rest/v1/regions"""
GPU_FAMILIES = {
    "nvidia-h100-80gb": "NVIDIA_H100",
    "nvidia-h100-mega-80gb": "NVIDIA_H100_MEGA",
    "nvidia-h200-141gb": "NVIDIA_H200",
    "nvidia-b200": "NVIDIA_B200",
    "nvidia-rtx-pro-6000": "NVIDIA_RTX_PRO_6000",
}
"""values of the dimension gpu_family of GPUS-PER-GPU-FAMILY-per-project-region"""
SHARED = ("e2", "n1", "t2d", "f1", "g1")
"""series that count in CPUS"""
VM_FAMILIES = ("c4", "c4a", "c4d", "n4", "n4d")
"""series that count in CPUS-PER-VM-FAMILY-per-project-region, by the dimension vm_family"""
DISKS = {"pd-ssd": "SSD_TOTAL_GB", "pd-balanced": "SSD_TOTAL_GB", "hyperdisk-balanced": "HDB_TOTAL_GB"}
"""pd-balanced is an SSD, too: https://cloud.google.com/compute/resource-usage#disk_quota"""
NO_SPOT = NoAnswer(
    "which quota spot servers with this GPU count in is not known here",
    "See https://console.cloud.google.com/iam-admin/quotas",
    "not asked",
)
ADDRESSES = ("STATIC_ADDRESSES", "IN_USE_ADDRESSES")
"""each server has an address that is both"""


def limits(compute: Api, quotas: Api, wanted: CloudWanted, project: Mapping[str, Any]) -> dict[str, Limit | NoAnswer]:
    """By the names of `slipway.doctor.needs.needs`. `project` is what Compute Engine says of it. Raises
    UnansweredError where that does not say what the region has; what Cloud Quotas does not is one answer less."""
    region = _told(compute.get(f"projects/{wanted.account}/regions/{wanted.region}")["quotas"])
    whole = _told(project["quotas"])
    found: dict[str, Limit | NoAnswer | None] = {
        "servers": region.get("INSTANCES"),
        "cores": _cores(quotas, wanted, region),
        "cores in all regions": whole.get("CPUS_ALL_REGIONS"),
        "disk": region.get(DISKS.get(wanted.tier, "")),
        "addresses": min((region[name] for name in ADDRESSES if name in region), key=_left, default=None),
    }
    if wanted.gpu:
        found["gpus"] = _gpus(quotas, wanted, region)
        found["gpus in all regions"] = whole.get("GPUS_ALL_REGIONS")
        if wanted.spot:
            found["spot gpus"] = _gpus(quotas, wanted, region, spot=True)
    return {name: limit for name, limit in found.items() if limit is not None}


def _told(said: Sequence[Mapping[str, Any]]) -> dict[str, Limit]:
    """Quotas by metric."""
    return {
        str(quota["metric"]): Limit(
            float(quota["limit"]), float(quota["usage"]), "GiB" if str(quota["metric"]).endswith("_GB") else ""
        )
        for quota in said
    }


def _left(limit: Limit) -> float:
    return limit.most - (limit.used or 0)


def _cores(quotas: Api, wanted: CloudWanted, region: Mapping[str, Limit]) -> Limit | NoAnswer | None:
    series = wanted.instances[0].partition("-")[0] if wanted.instances else ""
    own = region.get(f"{series.upper()}_CPUS")
    if own is not None or not series:
        return own
    if series in VM_FAMILIES:
        return _family(quotas, wanted, "CPUS-PER-VM-FAMILY-per-project-region", "vm_family", series.upper())
    return region.get("CPUS") if series in SHARED else None


def _gpus(
    quotas: Api, wanted: CloudWanted, region: Mapping[str, Limit], *, spot: bool = False
) -> Limit | NoAnswer | None:
    """The quota of a kind of GPU. Spot ones have their own where the project was given one; else they count with the
    others: https://cloud.google.com/compute/resource-usage#preemptible-quotas"""
    metric, family = GPU_METRICS.get(wanted.gpu), GPU_FAMILIES.get(wanted.gpu)
    found: Limit | NoAnswer | None
    if metric is not None:
        found = region.get(f"PREEMPTIBLE_{metric}" if spot else metric)
    elif family is not None and not spot:
        found = _family(quotas, wanted, "GPUS-PER-GPU-FAMILY-per-project-region", "gpu_family", family)
    else:
        found = NO_SPOT if spot else None
    return None if spot and isinstance(found, Limit) and not found.most else found


def _family(quotas: Api, wanted: CloudWanted, name: str, dimension: str, family: str) -> Limit | NoAnswer | None:
    """What Cloud Quotas grants a family in the region."""
    asked = {"region": wanted.region, dimension: family}
    return answered(lambda: _granted(quotas, wanted.account, name, asked))


def _granted(quotas: Api, project: str, name: str, asked: Mapping[str, str]) -> Limit | None:
    """The entry that names most of what is asked for counts.
    https://cloud.google.com/docs/quotas/reference/rest/v1/projects.locations.services.quotaInfos"""
    path = f"projects/{project}/locations/global/services/compute.googleapis.com/quotaInfos/{name}"
    best: tuple[int, float] | None = None
    for info in quotas.get(path)["dimensionsInfos"]:
        said = info.get("dimensions") or {}
        there = asked["region"] in (info.get("applicableLocations") or (asked["region"],))
        if there and said.items() <= asked.items() and (best is None or len(said) > best[0]):
            best = (len(said), float(info["details"].get("value", 0)))  # JSON leaves out what is 0
    return Limit(best[1]) if best is not None else None
