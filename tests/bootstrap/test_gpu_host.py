"""Converging a simulated host with GPUs: when it reboots, when it does not, and what the receipt says of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.host import HostReport, converge_host, read_host, remove_host
from bootstrap.session import Result
from bootstrap.testing import RecordingLog
from bootstrap.waits import Waits
from slipway.desired import HostDesired, Image, Package
from slipway.errors import CommandError, UnreachableError, VerifyError
from tests.bootstrap.gpu_host import MODULE, SimulatedGpuHost, desired

OLD, NEW = "580.126.20", "620.70.06"


def converge(host: SimulatedGpuHost, wanted: HostDesired, waits: Waits) -> HostReport:
    return converge_host(host, wanted, RecordingLog(), waits.cancel, waits=waits)


def receipt(host: SimulatedGpuHost) -> dict[str, Any]:
    return dict(json.loads(host.files[RECEIPT_PATH].content))


@pytest.fixture
def host() -> SimulatedGpuHost:
    return SimulatedGpuHost()


def test_first_install_loads_the_module_without_a_reboot(host: SimulatedGpuHost, waits: Waits) -> None:
    report = converge(host, desired(), waits)
    assert (host.boots, host.loaded) == (1, OLD)
    assert report.receipt["reboot"] == ""
    assert report.receipt["gpus"] == ["GPU-0", "GPU-1"]
    assert {"gpu-archive", "gpu-nouveau", "gpu-module", "gpu-persistence", "gpu-cdi"} <= set(report.changed)
    assert host.held == {"docker.io", "libcuda1", MODULE}


def test_second_run_is_one_round_trip(host: SimulatedGpuHost, waits: Waits) -> None:
    converge(host, desired(), waits)
    host.commands.clear()
    assert converge(host, desired(), waits).changed == ()
    assert len(host.commands) == 1
    assert read_host(host, desired()) == ()


def test_nouveau_takes_one_reboot(host: SimulatedGpuHost, waits: Waits) -> None:
    host.nouveau = True
    report = converge(host, desired(), waits)
    assert (host.boots, report.changed.count("reboot")) == (2, 1)
    assert report.receipt["reboot"] == "nouveau is loaded and has the GPUs"
    assert report.receipt["state"] == "converged"


def test_another_driver_takes_one_reboot_and_names_the_boot(host: SimulatedGpuHost, waits: Waits) -> None:
    converge(host, desired(OLD), waits)
    report = converge(host, desired(NEW), waits)
    assert (host.boots, host.loaded) == (2, NEW)
    assert report.receipt["reboot"] == f"module {OLD} is loaded, {NEW} is installed"
    assert converge(host, desired(NEW), waits).changed == ()
    assert host.boots == 2


def test_a_module_still_wrong_after_one_reboot_goes_back(host: SimulatedGpuHost, waits: Waits) -> None:
    converge(host, desired(OLD), waits)
    host.stuck = OLD
    with pytest.raises(VerifyError, match=rf"would need it again: module {OLD} is loaded, {NEW} is installed.*r{OLD}"):
        converge(host, desired(NEW), waits)
    assert host.boots == 3, "once for the new driver, and once more to be as before"
    assert (host.installed, host.loaded, receipt(host)["state"]) == (OLD, OLD, "converged")
    assert read_host(host, desired(OLD)) == ()


def test_going_back_takes_what_came_with_the_new_driver_away(host: SimulatedGpuHost, waits: Waits) -> None:
    """NVIDIA's pins conflict with each other, as packages do that have their branch in their names."""
    wanted = {driver: desired(driver, packages=with_pin(driver)) for driver in (OLD, NEW)}
    host.available |= {(package.name, package.version) for driver in wanted for package in with_pin(driver)}
    converge(host, wanted[OLD], waits)
    host.stuck = OLD
    with pytest.raises(VerifyError, match=f"The host keeps release r{OLD}"):
        converge(host, wanted[NEW], waits)
    assert [name for name in host.packages if "pinning" in name] == [f"nvidia-driver-pinning-{OLD}"]
    assert read_host(host, wanted[OLD]) == ()


def test_going_back_asks_no_mirror_where_its_sources_are_the_same(host: SimulatedGpuHost, waits: Waits) -> None:
    """apt's pins are others, and the lists it has know the old packages: a mirror that is down takes no host down."""
    converge(host, desired(OLD), waits)
    host.stuck = OLD
    host.fail_on("apt-get update", Result(100, "", "E: the mirror is gone"))
    with pytest.raises(VerifyError, match=f"The host keeps release r{OLD}"):
        converge(host, desired(NEW), waits)
    assert read_host(host, desired(OLD)) == ()


def with_pin(driver: str) -> tuple[Package, ...]:
    names = ("libcuda1", MODULE, f"nvidia-driver-pinning-{driver}")
    return tuple(Package(name=name, version=f"{driver}-1") for name in names)


def test_a_run_that_dies_before_the_reboot_goes_on(host: SimulatedGpuHost, waits: Waits) -> None:
    converge(host, desired(OLD), waits)
    host.fail_on("systemctl reboot", UnreachableError("lost", where="h1", fix=""))
    with pytest.raises(UnreachableError):
        converge(host, desired(NEW), waits)
    assert (receipt(host)["step"], receipt(host)["state"]) == ("reboot", "updating")
    host.boots, host.loaded = 1, OLD  # it did not reboot after all
    assert converge(host, desired(NEW), waits).receipt["release"] == f"r{NEW}"
    assert (host.boots, host.loaded) == (2, NEW)


def test_an_update_that_fails_before_the_reboot_reboots_nobody(host: SimulatedGpuHost, waits: Waits) -> None:
    converge(host, desired(OLD), waits)
    host.fail_on("apt-get install", Result(100, "", "dpkg: error processing package"), late=True)
    with pytest.raises(CommandError, match=f"The host keeps release r{OLD}: its 2 moved packages were put back"):
        converge(host, desired(NEW), waits)
    assert (host.boots, host.installed) == (1, OLD)


def test_adopting_installs_nothing_and_holds_what_is_there(host: SimulatedGpuHost, waits: Waits) -> None:
    host.packages |= {"libcuda1": f"{OLD}-1", MODULE: f"{OLD}-1", "docker.io": "20.10"}
    host.loaded = OLD
    report = converge(host, desired(OLD, mode="adopt"), waits)
    assert not {"packages", "gpu-archive", "gpu-nouveau", "reboot"} & set(report.changed)
    assert {"libcuda1", MODULE} <= host.held
    host.held.clear()
    assert {drift.pin for drift in read_host(host, desired(OLD, mode="adopt"))} == {
        "holds.docker.io", "holds.libcuda1", f"holds.{MODULE}",
    }  # fmt: skip


def test_adopting_another_driver_is_refused(host: SimulatedGpuHost, waits: Waits) -> None:
    host.packages |= {MODULE: f"{NEW}-1"}
    with pytest.raises(VerifyError, match=f"the image brought driver {NEW}, the release says {OLD}"):
        converge(host, desired(OLD, mode="adopt"), waits)
    assert len(host.commands) == 1


def test_without_gpu_nothing_of_it_is_asked_or_done(host: SimulatedGpuHost, waits: Waits) -> None:
    plain = desired().model_copy(update={"gpu": None})
    report = converge(host, plain, waits)
    assert not [name for name in report.changed if name.startswith("gpu-")]
    assert not [script for script in host.scripts if "nvidia" in script]


def test_remove_takes_the_gpu_files_away(host: SimulatedGpuHost, waits: Waits) -> None:
    converge(host, desired(), waits)
    remove_host(host, desired(), RecordingLog(), waits.cancel)
    assert "/etc/apt/preferences.d/00-slipway-nvidia" in host.scripts[-1]
    assert host.held == set()
    assert host.installed == OLD


ENGINE = Image(name="engine-vllm", reference="sha256:" + "e" * 64)


def with_engine(driver: str = OLD) -> HostDesired:
    return desired(driver).model_copy(update={"images": (ENGINE,)})


def test_a_container_sees_the_gpus_once_a_boot_and_they_are_measured_once_a_driver(
    host: SimulatedGpuHost, waits: Waits
) -> None:
    host.images.add(ENGINE.reference)
    assert {"gpu-container", "gpu-measure"} <= set(converge(host, with_engine(), waits).changed)
    assert converge(host, with_engine(), waits).changed == ()
    host.seen = ""  # as a boot leaves it
    assert converge(host, with_engine(), waits).changed == ("gpu-container",)
    assert {"gpu-container", "gpu-measure"} <= set(converge(host, with_engine(NEW), waits).changed)
    assert host.boots == 2


def test_gpus_that_engines_have_are_not_measured(host: SimulatedGpuHost, waits: Waits) -> None:
    host.images.add(ENGINE.reference)
    host.units["slipway-engine-0.service"] = "active"
    assert "gpu-measure" not in converge(host, with_engine(), waits).changed


def test_gpus_that_no_container_sees_send_the_host_back(host: SimulatedGpuHost, waits: Waits) -> None:
    host.images.add(ENGINE.reference)
    converge(host, with_engine(), waits)
    host.fail_on("said=\\$.*nvidia-smi", Result(1, "a container of engine-vllm cannot look for GPUs: no such device"))
    with pytest.raises(CommandError, match=rf"(?s)cannot look for GPUs: no such device.*The host keeps release r{OLD}"):
        converge(host, with_engine(NEW), waits)
    assert (host.installed, host.loaded) == (OLD, OLD)


@pytest.mark.parametrize(("before", "after"), [(None, 500), (400, 500), (400, None)])
def test_settings_of_an_update_that_fails_go_with_it(
    host: SimulatedGpuHost, waits: Waits, before: int | None, after: int | None
) -> None:
    """Whether its driver is another one or the same."""
    host.images.add(ENGINE.reference)
    old = desired(OLD, power_limit=before).model_copy(update={"images": (ENGINE,)})
    converge(host, old, waits)
    for driver in (NEW, OLD):
        host.seen = ""  # as a boot leaves it
        new = desired(driver, power_limit=after).model_copy(update={"images": (ENGINE,), "release": f"next-{driver}"})
        host.fail_on("said=\\$.*nvidia-smi", Result(1, "no such device"))
        with pytest.raises(CommandError, match=f"The host keeps release r{OLD}"):
            converge(host, new, waits)
        assert (host.loaded, host.power) == (OLD, str(before or 700))
        assert read_host(host, old) == ()
        converge(host, old, waits)
