"""Each check of the GPU stack fails alone, and a reboot is asked for only where it helps."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap.facts import Facts
from bootstrap.operations.gpu.archive import wanted_files
from bootstrap.operations.gpu.driver import reboot_reason
from bootstrap.operations.gpu.settings import SCRIPT_PATH, SETTINGS, SETTINGS_PATH
from bootstrap.verify import drifts
from bootstrap.verify.gpu import verify_gpu
from slipway.desired import HostDesired
from tests.bootstrap.gpu_host import desired

SYSTEM = {"os": "debian:12", "arch": "amd64", "kernel": "6.1.0", "boot_id": "b1", "clock": "2026-11-24T10:00:00Z"}
V = "580.126.20"
BUSES = ("0000:1b:00.0", "0000:2b:00.0")
SWITCH = {"address": "0000:05:00.0", "device": "0x22a3", "kind": "0x068000"}


def gpu(index: int, **changes: Any) -> dict[str, Any]:
    return {
        "index": index, "uuid": f"GPU-{index}", "name": "NVIDIA H100 80GB HBM3", "address": BUSES[index],
        "memory_mib": 81559, "compute_capability": "9.0", "ecc": "Enabled", "ecc_pending": "Enabled",
        "mig": "Disabled", "mig_pending": "Disabled", "power_limit": 700.0, "persistence": "Enabled",
    } | changes  # fmt: skip


def smi(*gpus: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"smi": {"state": "ok", "gpus": list(gpus or (gpu(0), gpu(1)))} | changes}


def driver(**changes: Any) -> dict[str, Any]:
    versions = {
        "loaded": V,
        "installed": V,
        "library": V,
        "flavour": "open",
        "installed_flavour": "open",
        "nouveau_blacklisted": True,
    }
    return {"driver": versions | changes}


def pci(*more: dict[str, Any], **changes: Any) -> dict[str, Any]:
    devices = [{"address": bus, "device": "0x2330", "kind": "0x030200"} for bus in BUSES]
    return {"pci": {"devices": [*devices, *more]} | changes}


CDI = {"path": "/var/run/cdi/nvidia.yaml", "kind": "nvidia.com/gpu", "devices": ["0", "1", "all"], "driver": V}
UNIT = {"active": "active", "enabled": "enabled"}
UNITS = {"nvidia-persistenced.service": UNIT}
EXPECTED = {"count": 2, "name": "H100", "compute_capability": "9.0", "memory_mib": 81920}


def whole(wanted: HostDesired, **changes: Any) -> Facts:
    """Facts of a host where every check of the GPU stack passes, but for `changes`."""
    values = {"system": SYSTEM, **driver(), **smi(), **pci(), "units": UNITS, "cdi": [CDI]}
    files = wanted_files(Facts.model_validate(values), wanted)
    return Facts.model_validate(values | {"files": files} | changes)


def wrong(facts: Facts, wanted: HostDesired) -> dict[str, str]:
    return {check.pin: check.found for check in verify_gpu(facts, wanted) if check.status != "passed"}


def test_a_whole_host_passes() -> None:
    wanted = desired(expected=EXPECTED)
    assert wrong(whole(wanted), wanted) == {}
    assert verify_gpu(whole(wanted), wanted.model_copy(update={"gpu": None})) == ()


def test_a_driver_that_moved_says_when() -> None:
    """Also one that the image brought, of which no package is pinned."""
    wanted = desired(mode="adopt")
    facts = whole(wanted, **driver(library="620.70.06", moved="2026-11-20T06:31:09"))
    since = {check.pin: check.since for check in verify_gpu(facts, wanted) if check.status != "passed"}
    assert since["gpu.library"] == "2026-11-20T06:31:09"


def test_a_driver_that_is_only_to_be_there() -> None:
    """On a machine without GPUs, such as one that images are made on: what a GPU would have to answer is not asked."""
    wanted = desired(expected={"count": 0})
    bare = {**driver(loaded="", flavour=""), **smi(state="no-driver", gpus=[]), "pci": {}, "units": {}, "cdi": []}
    assert wrong(whole(wanted, **bare), wanted) == {}
    assert set(wrong(whole(wanted, **bare), desired(expected={"count": None}))) == {
        "gpu.module", "gpu.module.flavour", "gpu.nvidia-smi", "gpu.nvidia-persistenced.service", "gpu.cdi",
    }  # fmt: skip
    old = driver(loaded="", flavour="", installed="570.195.03", library="570.195.03")
    assert wrong(whole(wanted, **{**bare, **old}), wanted) == {
        "gpu.module.installed": "570.195.03",
        "gpu.library": "570.195.03",
    }


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (driver(loaded="570.195.03"), {"gpu.module": "570.195.03"}),
        (driver(loaded="", flavour=""), {"gpu.module": "not loaded", "gpu.module.flavour": "none"}),
        (driver(installed="", dkms=[{"version": V, "state": "added"}]),
         {"gpu.module.installed": "none for the kernel that runs; DKMS says: 580.126.20 added"}),
        (driver(flavour="proprietary"), {"gpu.module.flavour": "proprietary"}),
        (driver(library="620.70.06"), {"gpu.library": "620.70.06",
                                       "gpu.cdi": "/var/run/cdi/nvidia.yaml is of driver 580.126.20"}),
        (driver(nouveau=True), {"gpu.nouveau": "loaded"}),
        (driver(nouveau_blacklisted=False), {"gpu.nouveau": "free to load"}),
        ({"smi": {"state": "mismatch", "said": "Driver/library version mismatch"}},
         {"gpu.nvidia-smi": "mismatch: Driver/library version mismatch", "gpu.count": "0",
          "gpu.0000:1b:00.0": "on the bus only", "gpu.0000:2b:00.0": "on the bus only"}),
        (smi(gpu(0), state="lost", said="GPU is lost"),
         {"gpu.nvidia-smi": "lost: GPU is lost", "gpu.count": "1", "gpu.0000:2b:00.0": "on the bus only"}),
        (smi(gpu(0), gpu(1, name="NVIDIA A100-SXM4-80GB")), {"gpu.1.name": "NVIDIA A100-SXM4-80GB"}),
        (smi(gpu(0), gpu(1, compute_capability="8.0")), {"gpu.1.compute_capability": "8.0"}),
        (smi(gpu(0), gpu(1, memory_mib=40960)), {"gpu.1.memory": "40960 MiB"}),
        (smi(gpu(0, persistence="Disabled"), gpu(1)), {"gpu.0.persistence": "Disabled"}),
        ({"units": {}}, {"gpu.nvidia-persistenced.service": "not there"}),
        ({"cdi": []}, {"gpu.cdi": "there is no CDI specification"}),
        ({"xids": [{"at": "2026-11-24T10:00:00", "address": "0000:2b:00", "code": 79, "said": "fallen off the bus"}]},
         {"gpu.1.xid": "79 fallen off the bus"}),
        ({"xids": [{"address": "0000:99:00", "code": 48}]}, {"gpu.0000:99:00.xid": "48"}),
        ({"xids": [{"address": "0000:2b:00", "code": 31}]}, {}),
        ({"xids": [{"address": "0000:2b:00", "code": 145, "said": "RLW_RXPIPE Nonfatal XC0"}]}, {}),
        ({"packages": {"nvidia-dkms-570-server": {"version": "570.195.03-0ubuntu1"}}},
         {"gpu.packages": "of another driver: nvidia-dkms-570-server"}),
        ({"files": {}}, {"files./etc/apt/preferences.d/00-slipway-nvidia": "not there"}),
    ],
)  # fmt: skip
def test_each_check_fails_alone(changes: dict[str, Any], found: dict[str, str]) -> None:
    wanted = desired(expected=EXPECTED)
    assert wrong(whole(wanted, **changes), wanted) == found


@pytest.mark.parametrize(
    ("asked", "changes", "found"),
    [
        ({"ecc": True}, smi(gpu(0, ecc="Disabled", ecc_pending="Disabled"), gpu(1)), "ECC of GPU 0 is disabled"),
        ({"ecc": True}, smi(gpu(0, ecc="", ecc_pending=""), gpu(1)), "ECC of GPU 0 is not there"),
        ({"power_limit": 500}, {}, "the power limit of GPU 0 is 700.0 W"),
        ({"mig": "1g.10gb"}, {}, "MIG of GPU 0 is disabled"),
        ({"mig": "1g.10gb"}, smi(gpu(0, mig="Enabled", mig_pending="Enabled"), gpu(1)), "GPU 0 is cut into nothing"),
    ],
)
def test_settings_are_verified(asked: dict[str, Any], changes: dict[str, Any], found: str) -> None:
    wanted = desired(**asked)
    assert wrong(whole(wanted, **changes), wanted)["gpu.0.settings"] == found


@pytest.mark.parametrize(
    ("state", "status", "verdicts"),
    [
        ("Completed", "Success", {"passed"}),
        ("Completed", "Insufficient Resources", {"failed"}),
        ("In Progress", "", {"not_ready"}),
        ("Not Started", "", {"failed"}),
        ("", "", set()),
    ],
)
def test_fabric(state: str, status: str, verdicts: set[str]) -> None:
    wanted = desired()
    units = UNITS | {"nvidia-fabricmanager.service": UNIT}
    fabric = smi(*(gpu(i, fabric_state=state, fabric_status=status) for i in (0, 1)))
    checks = verify_gpu(whole(wanted, **pci(SWITCH), units=units, **fabric), wanted)
    assert {check.status for check in checks if check.pin.endswith(".fabric")} == verdicts


def test_a_switch_without_its_manager() -> None:
    wanted = desired()
    assert wrong(whole(wanted, **pci(SWITCH)), wanted) == {"gpu.nvidia-fabricmanager.service": "not there"}


def test_a_gpu_that_was_exchanged_is_said() -> None:
    wanted = desired()
    facts = whole(wanted, receipt={"release": wanted.release, "state": "converged", "gpus": ["GPU-0", "GPU-9"]})
    lost = [drift for drift in drifts(facts, wanted) if drift.pin.startswith("gpu.")]
    assert [(drift.pin, drift.found) for drift in lost] == [("gpu.GPU-9", "gone; GPU-1 is there")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        (driver(installed=""), None),
        (driver(loaded="", flavour=""), None),
        (driver(nouveau=True, loaded="", flavour=""), "nouveau is loaded and has the GPUs"),
        (driver(installed="620.70.06"), "module 580.126.20 is loaded, 620.70.06 is installed"),
        (driver(flavour="proprietary"), "the proprietary module is loaded, the open one is installed"),
        (smi(gpu(0), gpu(1, ecc_pending="Disabled")), "ECC of GPU 1 is enabled and becomes disabled"),
        (smi(gpu(0, mig_pending="Enabled"), gpu(1)), "MIG of GPU 0 is disabled and becomes enabled"),
        ({"smi": {"state": "lost", "said": "GPU is lost"}}, None),
    ],
)
def test_reboot_reason(changes: dict[str, Any], reason: str | None) -> None:
    wanted = desired()
    assert reboot_reason(whole(wanted, **changes), wanted) == reason
    assert reboot_reason(whole(wanted, **changes), wanted.model_copy(update={"gpu": None})) is None


@pytest.mark.parametrize(("expected", "said"), [("H100-SXM", None), ("A100-80", "NVIDIA H100 80GB HBM3")])
def test_a_gpu_is_known_by_the_name_of_the_catalogue(expected: str, said: str | None) -> None:
    wanted = desired(expected={"count": 2, "name": expected})
    assert wrong(whole(wanted), wanted).get("gpu.0.name") == said


@pytest.mark.parametrize(
    ("asked", "docker", "found"),
    [
        ({}, {"version": "26.1.5", "cdi": True}, None),
        ({}, {"version": "20.10.24"}, "Docker 20.10.24 does not"),
        ({}, {"version": ""}, None),
        ({"devices": "runtime"}, {"version": "20.10.24", "runtimes": ["nvidia", "runc"]}, None),
        ({"devices": "runtime"}, {"version": "20.10.24", "runtimes": ["runc"]}, "has runtime runc"),
    ],
)
def test_docker_gives_gpus_to_containers(asked: dict[str, Any], docker: dict[str, Any], found: str | None) -> None:
    wanted = desired(**asked)
    assert wrong(whole(wanted, docker={"active": "active", **docker}), wanted).get("gpu.docker") == found


def test_a_runtime_that_hooks_devices_in_is_drift() -> None:
    wanted = desired(devices="runtime")
    docker = {"active": "active", "version": "20.10.24", "runtimes": ["nvidia"]}
    facts = whole(wanted, docker=docker, containers={"hooked": True})
    assert wrong(facts, wanted) == {"gpu.runtime": "is told to hook them in"}


def test_what_sets_the_gpus_at_boots_is_verified() -> None:
    wanted = desired(power_limit=500)
    gpus = smi(gpu(0, power_limit=500.0), gpu(1, power_limit=500.0))
    assert wrong(whole(wanted, **gpus), wanted) == {
        "gpu.slipway-gpu.service": "not there", "gpu.slipway-gpu.service.boot": "not enabled",
        f"files.{SCRIPT_PATH}": "not there", f"files.{SETTINGS_PATH}": "not there",
    }  # fmt: skip
    plain = desired()
    left = whole(plain)
    left = left.model_copy(update={"files": left.files | {SETTINGS_PATH: SETTINGS}})
    assert wrong(left, plain) == {"gpu.slipway-gpu.service": "there"}


@pytest.mark.parametrize(("pieces", "found"), [(7, None), (6, "GPU 0 is cut into 6 × 1g.10gb, not 7")])
def test_the_number_of_slices_is_verified(pieces: int, found: str | None) -> None:
    wanted = desired(mig="1g.10gb", mig_slices=7)
    cut = gpu(0, mig="Enabled", mig_pending="Enabled", mig_devices=["1g.10gb"] * pieces)
    assert wrong(whole(wanted, **smi(cut, gpu(1))), wanted).get("gpu.0.settings") == found
