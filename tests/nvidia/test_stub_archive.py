"""Real apt on a real booted machine, with the stubs of NVIDIA's archives and GPUs: they behave as documented.

The tests share one machine and build on each other.
"""

from __future__ import annotations

import ipaddress
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.host import reboot_host
from bootstrap.log import NullLog
from bootstrap.machines.fleet import fleet
from bootstrap.session import Command
from bootstrap.ssh import SshSession, connect
from bootstrap.waits import Waits
from tests.support.nvidia import NvidiaArchive, StubGpu, describe_gpus, set_faults
from tests.support.nvidia.archive import CUDA, DISTRIBUTION
from tools import bases, cache

pytestmark = [pytest.mark.hosts, pytest.mark.net, pytest.mark.slow]

INSTALL = (
    "DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends --allow-downgrades "
    "--allow-change-held-packages -o Dpkg::Use-Pty=0"
)
SET = [
    "nvidia-driver-cuda",
    "libcuda1",
    "libnvidia-ml1",
    "libnvidia-ptxjitcompiler1",
    "nvidia-persistenced",
    "nvidia-modprobe",
    "nvidia-kernel-open-dkms",
    "nvidia-kernel-support",
    "firmware-nvidia-gsp",
    "nvidia-open",
]
TOOLKIT = [
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
]
MOVES = [("580.126.20", "570.195.03"), ("570.195.03", "620.70.06"), ("620.70.06", "580.126.20")]
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


class GpuHost:
    """A machine with two stub GPUs behind NVSwitches, and the archive that it installs from."""

    def __init__(self, session: SshSession, archive: NvidiaArchive) -> None:
        self.session, self.archive = session, archive

    def shell(self, script: str) -> str:
        return self.session.run(Command(script, why="try the stubs", deadline=120)).stdout.strip()

    def ends(self, script: str) -> tuple[int, str]:
        """Exit status, and everything it said."""
        result = self.session.run(Command(f"exec 2>&1\n{script}", why="try the stubs", deadline=120, check=False))
        return result.exit, result.stdout.strip()

    def reboot(self) -> None:
        reboot_host(self.session, NullLog(), Waits())

    def install(self, driver: str) -> None:
        self.shell(f"{INSTALL} {' '.join(f'{name}={driver}-1' for name in SET)}")

    def versions(self, names: list[str]) -> set[str]:
        return set(self.shell(f"dpkg-query -W -f '${{Version}}\\n' {' '.join(names)}").splitlines())


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuHost]:
    base = Path(bases.ensure("bookworm")["tree"])
    archive = NvidiaArchive(cache.folder("stubs", ""))
    with fleet(1, base, tmp_path_factory.mktemp("nvidia")) as booted:
        machine = booted.machines[0]
        gateway = ipaddress.ip_network(f"{machine.address}/24", strict=False)[1]
        (connection,) = booted.connections()
        with archive.serve(str(gateway)), connect(connection, NullLog(), threading.Event(), deadline=30) as session:
            made = GpuHost(session, archive)
            describe_gpus(made, [StubGpu(fabric="nvswitch")] * 2)
            sources = "/etc/apt/sources.list.d/nvidia.sources"
            made.shell(
                f"rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*\ncat >{sources} <<'END'\n{archive.sources()}END"
            )
            yield made


@pytest.fixture
def faults(host: GpuHost) -> Iterator[None]:
    """Switched off afterwards."""
    yield
    set_faults(host, [])


def test_what_is_altered_is_refused(host: GpuHost) -> None:
    altered, root = host.archive.altered, host.archive.root / CUDA
    for name in ("Packages", "Packages.gz"):
        altered[f"{CUDA}/{name}"] = (root / name).read_bytes().replace(b"5", b"6", 1)
    assert "Hash Sum mismatch" in host.ends("apt-get update -o APT::Update::Error-Mode=any")[1]
    altered.clear()
    altered[f"{CUDA}/InRelease"] = (root / "InRelease").read_bytes().replace(b"NVIDIA", b"NVIDIB", 1)
    status, said = host.ends("apt-get update -o APT::Update::Error-Mode=any")
    assert status == 100
    assert "signatures were invalid: BADSIG" in said
    altered.clear()
    host.shell("apt-get update -q -o APT::Update::Error-Mode=any")


def test_before_a_driver(host: GpuHost) -> None:
    vendors = host.shell("cat /sys/bus/pci/devices/*/vendor | sort | uniq -c | grep 0x10de")
    assert vendors.split()[0] == "6", "two GPUs and four switches"
    assert host.ends("modinfo -F version nvidia") == (1, "modinfo: ERROR: Module nvidia not found.")
    assert host.ends("command -v nvidia-smi")[0] != 0


def test_the_version_of_a_metapackage_pins_nothing_below_it(host: GpuHost) -> None:
    plan = host.shell("apt-get install -s --no-install-recommends nvidia-open=580.126.20-1 | grep '^Inst'")
    assert "libnvidia-ml1 (620.70.06-1" in plan
    host.shell(f"{INSTALL} nvidia-driver-pinning-580")
    plan = host.shell("apt-get install -s --no-install-recommends nvidia-open | grep '^Inst'")
    assert "libnvidia-ml1 (580.159.03-1" in plan
    assert "620" not in plan
    host.shell(f"{INSTALL} nvidia-driver-pinning-580.126.20")
    assert host.shell("ls /etc/apt/preferences.d") == "nvidia-driver-pin"
    assert host.versions(["nvidia-driver-pinning-580.126.20"]) == {"580.126.20-1"}
    assert "580.126.20-1" in host.shell("apt-cache policy libcuda1 | grep Candidate")
    host.shell("apt-get purge -qq -y nvidia-driver-pinning-580.126.20")


def test_without_headers_there_is_a_driver_but_no_module(host: GpuHost) -> None:
    host.install("580.126.20")
    assert host.versions(SET) == {"580.126.20-1"}
    assert host.shell("dkms status") == "nvidia/580.126.20: added"
    status, said = host.ends(f"{INSTALL} linux-headers-$(uname -r); dkms autoinstall; update-initramfs -u")
    assert status == 0, said
    assert host.shell("dkms status | cut -d, -f1,3") == "nvidia/580.126.20, x86_64: installed"
    assert host.shell("modinfo -F version nvidia") == "580.126.20"


def test_nouveau_has_the_gpus_until_the_reboot(host: GpuHost) -> None:
    host.shell("rm -f /boot/initrd.img-*; mv /etc/modprobe.d/nvidia-blacklists-nouveau.conf /root")
    host.reboot()
    assert host.shell("lsmod | awk 'NR > 1 { print $1 }'; ls /sys/module") == "nouveau\nnouveau"
    assert host.ends("modprobe nvidia") == (1, "modprobe: ERROR: could not insert 'nvidia': No such device")
    status, said = host.ends("nvidia-smi")
    assert (status, said[: len(NO_DRIVER)]) == (9, NO_DRIVER)
    host.shell("mv /root/nvidia-blacklists-nouveau.conf /etc/modprobe.d; update-initramfs -u")
    host.reboot()
    assert host.shell("cat /sys/module/nvidia/version") == "580.126.20"
    assert "Open Kernel Module for x86_64  580.126.20" in host.shell("cat /proc/driver/nvidia/version")
    query = "nvidia-smi --query-gpu=index,name,driver_version,memory.total,compute_cap --format=csv,noheader,nounits"
    assert host.shell(query).splitlines()[1] == "1, NVIDIA H100 80GB HBM3, 580.126.20, 81559, 9.0"
    assert len(host.shell("nvidia-smi -L").splitlines()) == 2
    assert host.shell("systemctl is-active nvidia-persistenced; systemctl --failed -q --plain") == "active"


def test_a_stale_initial_ram_disk_brings_the_old_module_back(host: GpuHost, faults: None) -> None:
    set_faults(host, ["stale-initramfs"])
    host.install("580.159.03")
    host.reboot()
    assert host.shell("modinfo -F version nvidia; cat /sys/module/nvidia/version").split() == [
        "580.159.03",
        "580.126.20",
    ]
    assert host.ends("nvidia-smi")[0] == 18


@pytest.mark.parametrize(("old", "driver"), MOVES)
def test_the_module_moves_with_the_reboot_only(host: GpuHost, old: str, driver: str) -> None:
    """Up and down."""
    host.install(driver)
    assert host.versions(SET) == {f"{driver}-1"}
    assert host.shell("modinfo -F version nvidia; cat /sys/module/nvidia/version").split() == [driver, old]
    status, said = host.ends("nvidia-smi")
    assert (status, said.splitlines()) == (18, [MISMATCH, f"NVML library version: {driver.rpartition('.')[0]}"])
    host.reboot()
    assert host.shell("nvidia-smi --query-gpu=driver_version --format=csv,noheader -i 0") == driver


def test_a_hold_keeps(host: GpuHost) -> None:
    host.shell(f"apt-mark -q hold {' '.join(SET)}")
    plan = host.shell("apt-get dist-upgrade -s")
    assert "0 upgraded" in plan
    host.shell(f"apt-mark -q unhold {' '.join(SET)}")
    assert "libcuda1 [580.126.20-1] (620.70.06-1" in host.shell("apt-get dist-upgrade -s")


def test_open_and_proprietary_exclude_each_other(host: GpuHost) -> None:
    plan = host.shell("apt-get install -s nvidia-kernel-dkms=580.126.20-1")
    assert "Remv nvidia-kernel-open-dkms" in plan


def test_the_fabric_manager(host: GpuHost, faults: None) -> None:
    def start() -> str:
        unit = "nvidia-fabricmanager"
        host.ends(f"systemctl reset-failed {unit}; systemctl restart {unit}")
        return host.shell(f"journalctl -u {unit} -o cat --since -3s")

    state = "nvidia-smi --query-gpu=fabric.state,fabric.status --format=csv,noheader -i 0"
    host.shell(f"{INSTALL} nvidia-fabricmanager=580.159.03-1")  # nothing in the archive keeps it at the driver's
    assert "driver interface version 580.159.03 don't match with driver version 580.126.20." in start()
    assert host.shell(state) == "In Progress, [N/A]"
    host.shell(f"{INSTALL} nvidia-fabricmanager=580.126.20-1")
    set_faults(host, ["fabric-down"])
    assert "failed to configure all the available GPUs or NVSwitches" in start()
    set_faults(host, [])
    assert "Successfully configured all the available NVSwitches" in start()
    assert host.shell(state) == "Completed, Success"
    describe_gpus(host, [StubGpu()] * 2)
    host.shell("systemctl stop nvidia-fabricmanager nvidia-persistenced")
    host.shell("rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia; modprobe nvidia")
    assert "[NV_WARN_NOTHING_TO_DO]" in start()
    describe_gpus(host, [StubGpu(fabric="nvlink5", compute_cap="10.0", pci_device="0x2901")] * 2)
    host.reboot()
    assert "[NV_WARN_NOTHING_TO_DO]" in start()
    host.shell(f"{INSTALL} nvlsm")
    said = start()
    assert "Detected NVL5+ system" in said
    assert "Successfully configured" in said
    describe_gpus(host, [StubGpu(fabric="nvswitch")] * 2)


def test_the_toolkit(host: GpuHost) -> None:
    plan = host.shell("apt-get install -s nvidia-container-toolkit=1.19.1-1 nvidia-container-toolkit-base=1.19.1-1")
    assert "libnvidia-container1 (1.20.0-1" in plan, "one version takes all four names"
    host.shell(f"{INSTALL} {' '.join(f'{name}=1.19.1-1' for name in TOOLKIT)}")
    assert host.versions(TOOLKIT) == {"1.19.1-1"}
    host.shell("for i in $(seq 50); do [ -e /var/run/cdi/nvidia.yaml ] && break; sleep 0.1; done")
    assert host.shell("nvidia-ctk cdi list 2>/dev/null | grep -v GPU-").split() == [
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=1",
        "nvidia.com/gpu=all",
    ]
    settings = (
        '{"log-opts": {"max-size": "50m"}, "registry-mirrors": ["http://a"], "runtimes": {"other": {"path": "o"}}}'
    )
    host.shell(f"mkdir -p /etc/docker; echo '{settings}' >/etc/docker/daemon.json")
    host.shell("nvidia-ctk runtime configure --runtime=docker --cdi.enabled")
    assert json.loads(host.shell("cat /etc/docker/daemon.json")) == {
        "log-opts": {"max-size": "50m"},
        "registry-mirrors": ["http://a"],
        "features": {"cdi": True},
        "runtimes": {"other": {"path": "o"}, "nvidia": {"args": [], "path": "nvidia-container-runtime"}},
    }
    assert host.shell("nvidia-ctk --version | head -n 1") == "NVIDIA Container Toolkit CLI version 1.19.1"


def test_settings_of_a_gpu(host: GpuHost) -> None:
    query = "nvidia-smi -i 0 --format=csv,noheader,nounits --query-gpu="
    fields = "power.limit,ecc.mode.current,ecc.mode.pending,mig.mode.current"
    assert host.ends("nvidia-smi -i 0 -pl 9000")[0] == 2
    said = host.shell("nvidia-smi -i 0 -pl 500; nvidia-smi -i 0 -e 0; nvidia-smi -i 0 -mig 1")
    assert "Power limit for GPU 00000000:1B:00.0 was set to 500.00 W from 700.00 W." in said
    assert "Enabled MIG Mode for GPU 00000000:1B:00.0" in said
    host.shell("nvidia-smi mig -i 0 -cgi 3g.40gb,3g.40gb -C")
    assert host.ends("nvidia-smi mig -i 0 -cgi 3g.40gb -C")[0] == 6
    assert host.shell("nvidia-smi -L | grep -c MIG-") == "2"
    assert host.shell(query + fields) == "500.00, Enabled, Disabled, Enabled"
    host.reboot()
    assert host.shell(query + fields) == "700.00, Disabled, Disabled, Disabled"
    host.shell("nvidia-smi -i 0 -e 1")
    assert host.shell(query + fields) == "700.00, Disabled, Enabled, Disabled"
    assert host.ends(query + "cuda_version") == (2, 'Field "cuda_version" is not a valid field to query.')


def test_a_module_in_use_stays(host: GpuHost) -> None:
    status, said = host.ends("systemctl stop nvidia-persistenced; rmmod nvidia")
    assert (status, said) == (1, "rmmod: ERROR: Module nvidia is in use by: nvidia_uvm nvidia_modeset")
    host.shell("rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia")
    assert host.ends("nvidia-smi")[0] == 9
    host.shell("modprobe nvidia; modprobe nvidia-uvm; nvidia-smi")


def test_faults_of_a_boot(host: GpuHost, faults: None) -> None:
    set_faults(host, ["version-mismatch 570.195.03"])
    host.reboot()
    assert host.ends("nvidia-smi") == (18, f"{MISMATCH}\nNVML library version: 580.126")
    set_faults(host, ["module-missing"])
    host.reboot()
    status, said = host.ends("nvidia-smi")
    assert (status, said[: len(NO_DRIVER)]) == (9, NO_DRIVER)
    assert host.shell("systemctl is-failed nvidia-persistenced") == "failed"
    set_faults(host, [])
    host.reboot()
    assert host.ends("nvidia-smi")[0] == 0


def test_a_lost_gpu_and_its_xid(host: GpuHost, faults: None) -> None:
    set_faults(host, ["gpu-lost 1", "xid 79 1 pid=1234, GPU has fallen off the bus."])
    status, said = host.ends("nvidia-smi --query-gpu=index --format=csv,noheader")
    assert status == 255
    assert said.splitlines() == ["Unable to determine the device handle for GPU0000:2B:00.0: Unknown Error", "0"]
    line = "NVRM: Xid (PCI:0000:2b:00): 79, pid=1234, GPU has fallen off the bus."
    assert host.shell("dmesg | tail -n 1").endswith(line)
    assert host.shell("journalctl -k -n 1").endswith(f"kernel: {line}")


def test_faults_of_an_install(host: GpuHost, faults: None) -> None:
    set_faults(host, ["install-fails"])
    status, said = host.ends(
        f"{INSTALL} nvidia-kernel-open-dkms=580.159.03-1 nvidia-kernel-support=580.159.03-1 "
        "firmware-nvidia-gsp=580.159.03-1"
    )
    assert status == 100
    assert "Error! Bad return status for module build on kernel" in said
    assert "post-installation script subprocess returned error exit status 10" in said
    assert host.shell("dpkg-query -W -f '${db:Status-Abbrev}' nvidia-kernel-open-dkms") == "iF"
    set_faults(host, ["install-slow 2"])
    started = time.monotonic()
    host.shell("dpkg --configure -a")
    assert time.monotonic() - started > 2
    set_faults(host, [])
    host.install("580.126.20")


def test_a_reboot_that_hangs(host: GpuHost, faults: None) -> None:
    """It goes on by itself after the seconds given; who waits less long sees the deadline."""
    set_faults(host, ["reboot-hangs 4"])
    before = host.shell("cat /proc/sys/kernel/random/boot_id")
    started = time.monotonic()
    host.reboot()
    assert time.monotonic() - started > 4
    assert host.shell("cat /proc/sys/kernel/random/boot_id") != before


def test_two_archives_do_not_mix(host: GpuHost) -> None:
    host.shell(
        "cat >/etc/apt/sources.list.d/distribution.sources <<'END'\n"
        f"{host.archive.sources('', DISTRIBUTION)}END\napt-get update -q"
    )
    status, said = host.ends("apt-get install -s nvidia-driver=535.261.03-1~deb12u1")
    assert status == 100
    assert "nvidia-driver : Depends: " in said
    status, said = host.ends(f"{INSTALL} nvidia-utils-580-server")
    assert status == 100
    assert "trying to overwrite '/usr/" in said
    host.shell("apt-get purge -qq -y nvidia-utils-580-server libnvidia-compute-580-server || true")
    plan = host.shell("apt-get install -s nvidia-fabricmanager-580 | grep '^Inst'")
    assert "nvidia-kernel-common-580-server (580.159.03" in plan


def test_the_keyring_package(host: GpuHost) -> None:
    host.shell(f"{INSTALL} cuda-keyring")
    assert host.shell("cat /usr/share/keyrings/cuda-archive-keyring.asc") == host.archive.key.strip()


def test_gone_is_gone(host: GpuHost) -> None:
    """A purge leaves the loaded module until the reboot, as it is."""
    host.shell(f"apt-get purge -qq -y {' '.join(SET)} nvidia-fabricmanager; update-initramfs -u")
    assert host.shell("cat /sys/module/nvidia/version") == "580.126.20"
    host.reboot()
    assert host.ends("cat /sys/module/nvidia/version")[0] != 0
