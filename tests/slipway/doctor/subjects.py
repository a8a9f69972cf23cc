"""Plans and hosts that the checks are made of, and a host that is well in everything."""

from __future__ import annotations

from dataclasses import replace

from slipway.doctor.measured import (
    Clock,
    Cpu,
    DiskReads,
    GpuState,
    GpuStates,
    HostMeasured,
    PcieLink,
    Ping,
    Pings,
    Throughput,
)
from slipway.plan import make_plan, with_placeholders
from slipway.plan_types import Plan
from slipway.releases import load_lock, load_release
from slipway.settings import parse_stack_file
from slipway.units import GIB
from tests.slipway.stack_files import BUILT, LOCAL, settings
from tests.slipway.test_forecast import FLEET, R580, gpu_lock

PAIR = FLEET.replace("{name: vllm, gpus: 2, replicas: 2}", "{name: vllm, gpus: 2, tensor_parallel: 2}")
"""six hosts of two GPUs, over which one replica with 27 GB of weights is spread"""


def cpu_plan(more: str = "") -> Plan:
    chosen = settings(more, LOCAL)
    release = load_release(chosen.release)
    return make_plan(chosen, release, load_lock(release.name), BUILT)


def gpu_plan() -> Plan:
    release = load_release(R580)
    made = make_plan(
        parse_stack_file(PAIR, "Pulumi.pair.yaml"), release, gpu_lock(R580), with_placeholders(release, {})
    )
    assert made.host.gpu is not None
    expected = made.host.gpu.expected.model_copy(update={"name": "L40S"})
    return replace(
        made, host=made.host.model_copy(update={"gpu": made.host.gpu.model_copy(update={"expected": expected})})
    )


LINK = PcieLink(
    address="0000:17:00.0", speed=16, max_speed=16, width=16, max_width=16, port_speed=32, port_width=16, node=0
)
STATE = GpuState(index=0, pstate="P0", temperature=60, clock=2400, max_clock=2520, reasons=0x4, utilization=80)
CPU_HOST = HostMeasured(
    name="h1",
    os="debian:12",
    arch="amd64",
    memory=2 * GIB,
    memory_available=GIB,
    disk_available=20 * GIB,
    disk_size=30 * GIB,
    cpu=Cpu(model="EPYC", cores=2, flags=("avx2", "f16c", "fma"), busy=0.5, steal=0.01),
    disk=DiskReads(
        path="/m", state="read", size=98_362_432, read=98_362_432, seconds=0.2, latencies=(0.0001, 0.0002, 0.0009)
    ),
    network=Pings(pings=(Ping(address="10.0.0.2", sent=10, received=10, mean=0.0003, jitter=0.0001),)),
    throughput=Throughput(peer="h2", state="measured", received=256 * 2**20, seconds=0.25),
    clock=Clock(synchronized=True),
    offset=0.01,
    offset_error=0.02,
)
GPU_HOST = CPU_HOST.model_copy(
    update={
        "os": "ubuntu:24.04",
        "disk_available": 200 * GIB,
        "links": (LINK, LINK.model_copy(update={"address": "0000:65:00.0"})),
        "states": GpuStates(gpus=(STATE, STATE.model_copy(update={"index": 1}))),
        "gpu_names": ("NVIDIA L40S", "NVIDIA L40S"),
        "gpu_devices": 2,
    }
)
