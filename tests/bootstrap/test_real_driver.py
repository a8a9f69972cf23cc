"""NVIDIA's real driver packages on a real host without a GPU; what is real in it, `driver_host.py` says.

One module of five is built here. All of them, the put-back and the upgrade are in `whole_driver.py`
(`make test-driver`), as each build takes minutes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.operations.gpu.archive import PREFERENCES_PATH
from tests.bootstrap.driver_host import DKMS, NEW, OLD, driver_host

# A build takes a minute on two cores that do nothing else.
pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(1800)]

NEEDS_A_GPU = {
    "gpu.module", "gpu.module.flavour", "gpu.nvidia-smi", "gpu.nvidia-persistenced.service", "gpu.cdi",
}  # fmt: skip


def test_a_driver_is_installed_built_and_held(tmp_path: Path) -> None:
    with driver_host(tmp_path / "test" / "d1", whole=False) as driver:
        began = driver.host.shell("date +%Y-%m-%dT%H:%M:%S")
        report = driver.converge(OLD)
        assert (report.receipt["state"], report.receipt["reboot"]) == ("converged", "")
        assert driver.built() == driver.should_be_built(OLD)
        assert driver.drift(OLD) == {}
        # The same host, had it GPUs: what is amiss is what only they could bring about.
        assert set(driver.drift(OLD, count=None)) == NEEDS_A_GPU
        assert "couldn't communicate with the NVIDIA driver" in driver.host.shell("nvidia-smi || true")
        assert driver.converge(OLD).changed == ()
        assert (driver.since(NEW)["gpu.module.installed"] or "") >= began
        # A newer one is there, which pins and holds keep out.
        assert driver.driver(NEW) != driver.driver(OLD)
        upgrades = "apt-get -s dist-upgrade | grep '^Inst.*nvidia' || true"
        assert driver.host.shell(upgrades) == ""
        driver.host.shell(f"apt-mark -q unhold $(apt-mark showhold); rm {PREFERENCES_PATH}")
        assert DKMS in driver.host.shell(upgrades), "then it is not these that keep it out"
