"""NVIDIA's real driver, all its modules, installed, put back and upgraded on a real host: `make test-driver`.

It is no part of the suite, as every test builds for minutes; what is real in it, `driver_host.py` says. The tests go in
order, on one host, and print what they did.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from bootstrap.host import HostReport
from bootstrap.log import PrintLog
from slipway.errors import HostError
from tests.bootstrap.driver_host import DKMS, NEW, OLD, DriverHost, driver_host

pytestmark = [pytest.mark.hosts, pytest.mark.slow, pytest.mark.timeout(3 * 3600)]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriverHost]:
    with driver_host(tmp_path_factory.mktemp("driver") / "test" / "d1", whole=True) as driver:
        print(f"\nDebian 12, kernel {driver.kernel}: {DKMS} {driver.has[OLD][DKMS]} in {OLD}, "
              f"{driver.has[NEW][DKMS]} in {NEW}")  # fmt: skip
        yield driver


def _said(driver: DriverHost, report: HostReport) -> None:
    steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in report.seconds.items())
    print(f"release {report.release}: {steps}")
    print("\n".join(f"    {line}" for line in driver.built()))


def test_a_driver_is_installed_and_built(driver: DriverHost) -> None:
    report = driver.converge(OLD, PrintLog())
    _said(driver, report)
    assert (report.receipt["state"], report.receipt["reboot"]) == ("converged", "")
    assert driver.built() == driver.should_be_built(OLD)
    assert driver.drift(OLD) == {}
    assert driver.converge(OLD).changed == ()


def test_one_that_cannot_be_built_is_put_back(driver: DriverHost) -> None:
    """The most common fault of a new driver; the old one is built anew."""
    conf, began = f"/etc/dkms/nvidia-current-{driver.driver(NEW)}.conf", time.monotonic()
    driver.host.shell(f"""mkdir -p /etc/dkms; echo 'MAKE[0]="echo no such kernel; false"' > {conf}""")
    kept = f"The host keeps release debian-{driver.driver(OLD)}: its [0-9]+ moved"
    with pytest.raises(HostError, match=kept) as caught:
        driver.converge(NEW, PrintLog())
    driver.host.shell(f"rm {conf}")
    print(f"after {time.monotonic() - began:.0f} s: {caught.value}")
    print("\n".join(f"    {line}" for line in driver.built()))
    assert "The build said:\n" in str(caught.value)
    assert "no such kernel" in str(caught.value)
    assert driver.built() == driver.should_be_built(OLD)
    assert driver.drift(OLD) == {}
    assert driver.converge(OLD).changed == ()


def test_a_new_driver_is_built_and_no_upgrade_moves_it(driver: DriverHost) -> None:
    report = driver.converge(NEW, PrintLog())
    _said(driver, report)
    assert (report.receipt["state"], report.receipt["previous"]) == ("converged", f"debian-{driver.driver(OLD)}")
    assert driver.built() == driver.should_be_built(NEW)
    assert driver.drift(NEW) == {}
    assert driver.host.shell("apt-get -s dist-upgrade | grep '^Inst.*nvidia' || true") == ""
