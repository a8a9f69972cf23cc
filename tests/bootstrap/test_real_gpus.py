"""The GPU stack on a real host with real apt, systemd and reboots; NVIDIA's packages and GPUs are stubs.

The tests share one host, which goes from nothing to one driver, and to the next one. Its GPUs, its kernel's module and
NVIDIA's packages are `tests/support/nvidia`: no figure of a GPU is proven here, the way to it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bootstrap.host import HostReport, converge_host, read_host, reboot_host
from bootstrap.serving import HOLD
from bootstrap.testing import RecordingLog
from bootstrap.waits import Waits
from slipway.desired import ExpectedGpus, HostDesired, Image, Package, Serving
from slipway.errors import CommandError, PackageError, VerifyError
from tests.bootstrap.conftest import RealHost, booted
from tests.support.nvidia.archive import CUDA, DISTRIBUTION, NvidiaArchive
from tests.support.nvidia.machine import StubGpu, describe_gpus, set_faults
from tests.support.nvidia.serving import NEW, OLD, gpu_release, mirrored

pytestmark = [pytest.mark.hosts, pytest.mark.slow]
SETTINGS: dict[str, object] = {"ecc": False, "power_limit": 500, "mig": "1g.10gb", "mig_slices": 7}
TOOLS = "sh awk grep sed cut cat tr head ls seq sort readlink mkdir rm wc"
"""what the stub of nvidia-smi, which is a script, needs in a container"""
IMAGE = f"""set -e
new=$(mktemp -d); mkdir -p $new/usr/bin $new/usr/lib $new/lib64 $new/tmp; ln -s usr/bin $new/bin; ln -s usr/lib $new/lib
for tool in {TOOLS}; do cp -L "$(command -v $tool)" $new/usr/bin/$tool; done
for file in $(ldd $new/usr/bin/* | tr -s ' \\t' '\\n' | grep '^/.*[.]so' | sort -u); do
  mkdir -p $new${{file%/*}}; cp -L $file $new$file
done
tar -C $new -c . | docker import - slipway-test-engine; rm -r $new"""
"""a small image, from what the host has"""


@dataclass(frozen=True)
class GpuHost:
    """The host, and what its apt reads."""

    host: RealHost
    archive: NvidiaArchive
    plain: tuple[Package, ...]

    def desired(self, driver: str, **gpu: object) -> HostDesired:
        return gpu_release(self.archive, driver, self.plain, Serving(), **gpu)

    def converge(self, desired: HostDesired, log: RecordingLog | None = None) -> HostReport:
        with self.host.connect(deadline=60) as session:
            return converge_host(session, desired, log or RecordingLog(), threading.Event())

    def drift(self, desired: HostDesired) -> dict[str, str]:
        with self.host.connect(deadline=60) as session:
            return {drift.pin: drift.found for drift in read_host(session, desired)}


@pytest.fixture(scope="module")
def gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuHost]:
    archive = NvidiaArchive(tmp_path_factory.mktemp("archive"))
    with booted(tmp_path_factory.mktemp("gpus") / "test" / "g1") as host:
        gateway = host.shell("ip -4 route show default | awk '{print $3}'")
        with archive.serve(gateway):
            describe_gpus(host, [StubGpu(), StubGpu()])
            yield GpuHost(host, archive, mirrored(host.shell, "docker.io", "curl"))


def test_a_wrong_count_is_refused_before_anything_changes(gpus: GpuHost) -> None:
    desired = gpus.desired(OLD, expected=ExpectedGpus(count=8))
    with pytest.raises(VerifyError, match="the PCI bus has 2 GPUs of NVIDIA's, the plan expects 8"):
        gpus.converge(desired)
    assert gpus.host.shell("ls /var/lib/slipway 2>/dev/null || true") == ""


def test_another_key_is_refused_before_anything_changes(gpus: GpuHost) -> None:
    with pytest.raises(PackageError, match="the key of NVIDIA's archive is"):
        gpus.converge(gpus.desired(OLD, key_fingerprint="0" * 40))
    assert gpus.host.shell("ls /etc/apt/keyrings") == ""


def test_first_install_over_another_archive(gpus: GpuHost) -> None:
    """The host has Debian's own driver, and NVIDIA's archive set up by hand."""
    sources = "/etc/apt/sources.list.d"
    for name, path in (("distribution", DISTRIBUTION), ("cuda-by-hand", CUDA)):
        gpus.host.shell(f"cat > {sources}/{name}.sources <<'END'\n{gpus.archive.sources('', path)}END")
    gpus.host.shell(
        "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y nvidia-driver=535.261.03-1~deb12u1 "
        "nvidia-kernel-dkms=535.261.03-1~deb12u1 nvidia-smi=535.261.03-1~deb12u1 libcuda1=535.261.03-1~deb12u1 "
        "libnvidia-ml1=535.261.03-1~deb12u1 cuda-keyring"
    )
    log = RecordingLog()
    report = gpus.converge(gpus.desired(OLD), log)
    assert "put aside /etc/apt/sources.list.d/cuda-by-hand.sources" in log.text
    assert "put aside /etc/apt/sources.list.d/cuda-debian12-x86_64.list" in log.text
    removed = (
        "of another driver, and removed in the same transaction: cuda-keyring, nvidia-driver, nvidia-kernel-dkms, "
    )
    assert removed + "nvidia-smi" in log.text
    assert (
        gpus.host.shell("dpkg-query -W -f '${Status} ${Package} ${Version}\n' | grep '^install ok.* 535' || true") == ""
    )
    assert report.receipt["state"] == "converged"
    assert report.receipt["reboot"] == "nouveau is loaded and has the GPUs"
    assert len(report.receipt["gpus"]) == 2
    assert gpus.drift(gpus.desired(OLD)) == {}
    assert gpus.host.shell("nvidia-smi --query-gpu=driver_version --format=csv,noheader | sort -u") == OLD


def test_second_run_does_nothing_in_one_round_trip(gpus: GpuHost) -> None:
    before = gpus.host.shell("stat -c %Y.%i /var/lib/slipway/receipt.json")
    report = gpus.converge(gpus.desired(OLD))
    assert report.changed == ()
    assert gpus.host.shell("stat -c %Y.%i /var/lib/slipway/receipt.json") == before


def test_a_container_sees_the_gpus(gpus: GpuHost) -> None:
    """With the engine's rights, once a boot; what cannot be run is an error."""
    image = Image(name="engine-test", reference=gpus.host.shell(IMAGE))
    desired = gpus.desired(OLD).model_copy(update={"images": (image,)})
    assert gpus.converge(desired).changed == ("gpu-container",)
    assert gpus.host.shell("cut -d' ' -f3-6 /run/slipway/gpu-seen") == "and 0 slices by"
    assert gpus.converge(desired).changed == ()
    runtime = "/usr/bin/nvidia-container-runtime"
    gpus.host.shell(f"rm /run/slipway/gpu-seen; mv {runtime} {runtime}.away")
    try:
        with pytest.raises(CommandError, match="a container of engine-test cannot look for GPUs"):
            gpus.converge(desired)
    finally:
        gpus.host.shell(f"mv {runtime}.away {runtime}")
    # As a runtime that gives a container half of what it should.
    gpus.host.shell(f"sed -i.whole 's/nvidia.0-9../nvidia0/' {runtime}")
    try:
        with pytest.raises(CommandError, match=r"engine-test sees GPU-[-0-9a-f]+ and 0 slices; the host"):
            gpus.converge(desired)
    finally:
        gpus.host.shell(f"mv {runtime}.whole {runtime}")
    assert gpus.converge(desired).receipt["state"] == "converged"
    assert gpus.drift(desired) == {}


def test_drift_is_found_and_put_back(gpus: GpuHost) -> None:
    desired, before = gpus.desired(OLD), gpus.host.shell("date +%Y-%m-%dT%H:%M:%S")
    gpus.host.shell(
        "apt-mark -q unhold libcuda1; dpkg --force-all -r nvidia-modprobe; rm /var/run/cdi/nvidia.yaml; "
        "systemctl disable -q --now nvidia-persistenced.service"
    )
    drift = gpus.drift(desired)
    assert drift["holds.libcuda1"] == "not held"
    assert drift["packages.nvidia-modprobe"] == "not installed"
    assert drift["gpu.cdi"] == "there is no CDI specification"
    assert drift["gpu.nvidia-persistenced.service"] == "inactive"
    with gpus.host.connect(deadline=60) as session:
        since = {drift.pin: drift.since for drift in read_host(session, desired)}
    assert (since["packages.nvidia-modprobe"] or "") >= before, "when it went, not when it came"
    report = gpus.converge(desired)
    assert {"packages", "holds", "gpu-persistence", "gpu-cdi"} <= set(report.changed)
    assert "reboot" not in report.changed
    assert gpus.drift(desired) == {}


ENGINE = f"""[Unit]
ConditionPathExists=!{HOLD}
[Service]
ExecStartPre=/bin/sh -c 'echo starts with $(cat /sys/module/nvidia/version) >> /root/engine'
ExecStart=/bin/sleep infinity
ExecStopPost=/bin/sh -c 'echo stops with $(cat /sys/module/nvidia/version) >> /root/engine'
[Install]
WantedBy=multi-user.target
"""
"""in the place of an engine: it has the GPUs while it runs"""


def test_a_new_driver_takes_one_reboot(gpus: GpuHost) -> None:
    """And an engine that runs is stopped before it, and started behind it: once, with the new driver."""
    unit = "slipway-engine-0.service"
    gpus.host.shell(f"cat > /etc/systemd/system/{unit} <<'END'\n{ENGINE}END")
    gpus.host.shell(f"systemctl daemon-reload; systemctl enable -q --now {unit}")
    old = gpus.host.shell("cat /proc/sys/kernel/random/boot_id")
    log = RecordingLog()
    report = gpus.converge(gpus.desired(NEW), log)
    assert "reboot" in report.changed
    assert report.receipt["reboot"] == f"module {OLD} is loaded, {NEW} is installed"
    assert (report.receipt["release"], report.receipt["previous"]) == (f"r{NEW}", f"r{OLD}")
    assert report.boot_id != old
    assert log.text.count("rebooting") == 1
    assert gpus.drift(gpus.desired(NEW)) == {}
    assert gpus.converge(gpus.desired(NEW)).changed == ()
    assert gpus.host.shell("cat /root/engine").splitlines() == [
        f"starts with {OLD}", f"stops with {OLD}", f"starts with {NEW}",
    ]  # fmt: skip
    assert gpus.host.shell(f"systemctl is-active {unit}; ls {HOLD} 2>&1 | grep -c 'No such file'").split() == [
        "active",
        "1",
    ]
    gpus.host.shell(f"systemctl disable -q --now {unit}; rm /etc/systemd/system/{unit}; systemctl daemon-reload")


def test_settings_of_the_gpus(gpus: GpuHost) -> None:
    desired = gpus.desired(NEW, **SETTINGS)
    report = gpus.converge(desired)
    assert "gpu-settings" in report.changed
    assert "ECC of GPU 0" in report.receipt["reboot"]
    query = "nvidia-smi --query-gpu=ecc.mode.current,power.limit --format=csv,noheader,nounits | sort -u"
    assert gpus.host.shell(query) == "Disabled, 500.00"
    # The reboot undid the cut that came before it.
    assert gpus.host.shell("nvidia-smi -L | grep -c 'MIG 1g.10gb'") == "14"
    assert gpus.converge(desired).changed == ()


def test_a_lost_gpu_is_named(gpus: GpuHost) -> None:
    desired = gpus.desired(NEW, **SETTINGS)
    set_faults(gpus.host, ["gpu-lost 1"])
    try:
        drift = gpus.drift(desired)
    finally:
        set_faults(gpus.host, [])
    assert drift["gpu.count"] == "1"
    assert drift["gpu.nvidia-smi"].startswith("lost: Unable to determine the device handle")
    assert gpus.drift(desired) == {}


def test_an_error_in_the_kernel_log_is_named(gpus: GpuHost) -> None:
    """It stays until the next boot, which the next test brings."""
    desired = gpus.desired(NEW, **SETTINGS)
    said = "pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
    set_faults(gpus.host, [f"xid 79 1 {said}", "xid 31 0 pid=7, name=python3, MMU Fault"])
    set_faults(gpus.host, [])
    gpus.host.shell("journalctl --sync")
    assert gpus.drift(desired) == {"gpu.1.xid": f"79 {said}"}


def test_a_boot_into_the_wrong_module_goes_back(gpus: GpuHost) -> None:
    """The reboot brings another module than the one installed: the update fails, and what was there before serves."""
    before = gpus.desired(NEW, **SETTINGS)
    log = RecordingLog()
    set_faults(gpus.host, [f"version-mismatch {NEW}"])
    try:
        with pytest.raises(VerifyError, match=rf"would need it again: module {NEW} is loaded, {OLD} is installed"):
            gpus.converge(gpus.desired(OLD), log)
    finally:
        set_faults(gpus.host, [])
    assert log.text.count("rebooting") == 2
    gpus.host.shell("systemctl is-system-running --wait || true")
    assert gpus.drift(before) == {}


def test_a_fabric_gets_its_manager(gpus: GpuHost) -> None:
    """The same host with NVSwitch: what only such a host needs comes, at the driver's version, and runs."""
    describe_gpus(gpus.host, [StubGpu(fabric="nvswitch"), StubGpu(fabric="nvswitch")])
    with gpus.host.connect(deadline=60) as session:
        reboot_host(session, RecordingLog(), Waits())
    manager = Package(name="nvidia-fabricmanager", version=f"{NEW}-1")
    desired = gpus.desired(NEW, **SETTINGS, nvswitch_packages=[manager])
    before = gpus.drift(desired)
    assert before["packages.nvidia-fabricmanager"] == "not installed"
    assert before["gpu.0.fabric"] == "In Progress, no status"
    report = gpus.converge(desired)
    assert {"packages", "holds", "gpu-fabric"} <= set(report.changed)
    assert gpus.drift(desired) == {}
    assert gpus.converge(desired).changed == ()


def test_what_is_no_longer_asked_of_the_gpus_goes(gpus: GpuHost) -> None:
    manager = Package(name="nvidia-fabricmanager", version=f"{NEW}-1")
    desired = gpus.desired(NEW, nvswitch_packages=[manager])
    assert gpus.drift(desired)["gpu.slipway-gpu.service"] == "there"
    assert "gpu-settings" in gpus.converge(desired).changed
    query = "nvidia-smi --query-gpu=mig.mode.current,power.limit --format=csv,noheader,nounits | sort -u"
    assert gpus.host.shell(query) == "Disabled, 700.00"
    assert gpus.host.shell("systemctl is-enabled slipway-gpu.service 2>&1 || true").startswith(
        "Failed to get unit file"
    )
    assert gpus.drift(desired) == {}
    assert gpus.converge(desired).changed == ()
