from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from slipway.hosting import COPIES, FREE_SHARE, IMAGES_GPU_GB, MEMORY_SEEN, SYSTEM_GB, boot_disk, needs, user_data
from slipway.plan import make_plan
from slipway.plan_types import Plan
from slipway.releases import load_lock, load_release
from slipway.settings import Settings
from slipway.settings.resolving import balanced, offer_of, settle_seconds
from slipway.units import GB
from tests.slipway.stack_files import BUILT, LOCAL, settings

UPCLOUD = LOCAL.replace("provider: local", "provider: upcloud")
SECTION = "  slipway:upcloud: {zone: fi-hel2, plan: 4xCPU-8GB, ssh_from: [192.0.2.7]%s}\n"


def upcloud(more: str = "", section: str = "") -> Settings:
    return settings(SECTION % section + more, base=UPCLOUD)


def plan(size: int, gpus: int = 0) -> Plan:
    made = make_plan(settings(), load_release("local-2026.11"), load_lock("local-2026.11"), BUILT)
    return dataclasses.replace(
        made,
        model=made.model.model_copy(update={"size": size}),
        engine=dataclasses.replace(made.engine, gpus_per_replica=gpus),
    )


def test_the_boot_disk_shows_its_arithmetic() -> None:
    disk = boot_disk(plan(3_100_000_000), weights_elsewhere=False)
    assert disk.gigabytes == 30
    assert disk.why == "(10 system + 5 images + 2 × 3.1 weights) ÷ 0.9 = 23.6, so 30 GB"
    disk = boot_disk(plan(30_000_000_000, gpus=1), weights_elsewhere=True)
    assert disk.why == "(10 system + 60 images) ÷ 0.9 = 77.8, so 80 GB"


@given(size=st.integers(0, 2_000 * GB), gpus=st.sampled_from([0, 8]))
def test_a_machine_as_it_is_rented_is_never_refused_for_its_disk(size: int, gpus: int) -> None:
    """A file system is a few per cent smaller than its disk."""
    asked = settings()
    asked = asked.model_copy(update={"engine": asked.engine.model_copy(update={"gpus": gpus})})
    least = needs(asked, load_release(asked.release), size)
    rented = 0.93 * GB * boot_disk(plan(size, gpus=gpus), weights_elsewhere=False).gigabytes
    assert least.system_disk + least.weights <= rented


def test_weights_are_in_memory_where_the_cpu_reads_them() -> None:
    release = load_release("local-2026.11")
    two = needs(settings("  slipway:engine: {replicas: 2}\n"), release, 10 * GB)
    assert two.memory == int((512 * 2**20 + 20 * GB) * MEMORY_SEEN)
    assert two.architecture == "amd64"


@given(size=st.integers(0, 2_000 * GB))
def test_the_boot_disk_holds_what_it_is_for(size: int) -> None:
    disk = boot_disk(plan(size, gpus=8), weights_elsewhere=False)
    usable = disk.gigabytes * (1 - FREE_SHARE)
    assert usable + 1e-6 >= SYSTEM_GB + IMAGES_GPU_GB + COPIES * size / GB


@pytest.mark.parametrize(
    ("hosts", "said", "there"),
    [(1, "auto", False), (2, "auto", True), (1, "always", True), (2, "never", False)],
)
def test_a_load_balancer_and_how_long_a_drain_settles(hosts: int, said: str, there: bool) -> None:
    chosen = upcloud(f"  slipway:hosts: {{count: {hosts}}}\n", f", load_balancer: {said}")
    assert balanced(chosen) == there
    assert settle_seconds(chosen) == (15.0 if there else 0.0)


def test_what_is_said_of_draining_stays() -> None:
    assert settle_seconds(upcloud("  slipway:hosts: {count: 2}\n  slipway:drain: {settle: 1m}\n")) == 60.0
    assert settle_seconds(settings()) == 0.0


def test_an_own_offer_comes_first_and_a_price_is_of_its_region() -> None:
    listed, own = (
        offer_of(upcloud()),
        offer_of(
            upcloud(
                "  slipway:offers: [{provider: upcloud, instance: 4xCPU-8GB, vcpus: 4, memory: 8GiB, price: 0.01}]\n"
            )
        ),
    )
    assert listed is not None
    assert own is not None
    assert (listed.price, own.price) == (0.0712, 0.01)
    elsewhere = upcloud().model_copy(update={"upcloud": upcloud().upcloud.model_copy(update={"zone": "de-fra1"})})
    assert offer_of(elsewhere) is None
    assert offer_of(settings()) is None


def test_a_first_boot_waits_for_its_disk(tmp_path: Path) -> None:
    config = yaml.safe_load(user_data("PRIVATE", "PUBLIC", cache_device=str(tmp_path / "disk"), hostname="h-0"))
    assert config["hostname"] == "h-0"
    said = tmp_path / "said"
    third = f'echo sleep >>{said}; [ "$(grep -c . {said})" -lt 3 ] || : >{tmp_path}/disk'
    for name, does in {"sleep": third, "blkid": f"echo blkid >>{said}", "mkdir": ":", "mountpoint": ":"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{does}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "grep").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "grep").chmod(0o755)
    shell, *arguments = config["bootcmd"][0]
    subprocess.run([f"/bin/{shell}", *arguments], env={"PATH": str(tmp_path)}, check=True, timeout=10)
    assert said.read_text().split() == ["sleep", "sleep", "sleep", "blkid"]
