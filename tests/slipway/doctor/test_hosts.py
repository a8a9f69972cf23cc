"""What is said of a host, by what was measured on it."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.doctor import bounds
from slipway.doctor.hosts import Unmeasured, judge_fleet, judge_host
from slipway.doctor.measured import Clock, DiskReads, GpuStates, HostMeasured, Ping, Pings
from slipway.doctor.types import Check, NoAnswer, exit_code
from slipway.plan_types import Plan
from slipway.units import GIB
from tests.slipway.doctor.subjects import CPU_HOST, GPU_HOST, LINK, STATE, cpu_plan, gpu_plan

CPU, GPU = cpu_plan(), gpu_plan()
GPU_DISK = CPU_HOST.disk.model_copy(update={"size": 27 * 10**9, "read": 256 * 2**20, "seconds": 0.25})


def checks(plan: Plan, host: HostMeasured, *, made: bool = True) -> dict[str, Check]:
    return {check.name: check for check in judge_host(plan, host, made=made)}


def test_a_host_that_is_well() -> None:
    found = checks(CPU, CPU_HOST)
    assert {name: check.verdict for name, check in found.items()} == {
        "system": "ok",
        "memory": "ok",
        "room on disk": "ok",
        "CPU instructions": "ok",
        "CPU steal": "ok",
        "CPU heat": "not asked",
        "CPU clock": "not asked",
        "NUMA": "ok",
        "disk throughput": "ok",
        "disk latency": "ok",
        "jitter to 10.0.0.2": "ok",
        "throughput to h2": "ok",
        "time": "ok",
    }
    assert found["disk throughput"].cost == "93.8 MiB load in 0.2 s"
    assert found["throughput to h2"].found == "1074 MB/s (256.0 MiB in 0.2 s)"
    assert found["throughput to h2"].cost == "weights from a mirror there take 0.1 s"
    assert exit_code(found.values()) == 0


def test_a_host_with_gpus_that_is_well() -> None:
    found = checks(GPU, GPU_HOST.model_copy(update={"disk": GPU_DISK}))
    assert {check.verdict for check in found.values()} == {"ok", "not asked"}
    assert {"GPUs", "kind of GPU", "PCIe of GPU 0", "PCIe of GPU 1", "clocks of GPU 0", "NUMA"} <= set(found)
    assert not {"memory", "CPU instructions"} & set(found)
    assert found["disk throughput"].cost == "25.1 GiB load in 25.1 s"


SLOWER = "what runs on the CPU takes up to 3.0 times as long"
HELD = {"min_mhz": 1200, "max_mhz": 3600, "limit_mhz": 3600, "governor": "powersave"}
CPU_CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"os": "debian:13"}, "system", "off", ""),
    ({"memory": 300 * 2**20}, "memory", "off", ""),
    ({"disk_available": 10 * 2**20}, "room on disk", "off", ""),
    ({"cpu": {"flags": ("avx",)}}, "CPU instructions", "off", "prompts take several times as long"),
    ({"cpu": {"steal": 0.2}}, "CPU steal", "off", "what runs on the CPU takes 25% longer"),
    ({"cpu": {"throttled": 0}}, "CPU heat", "ok", ""),
    ({"cpu": {"throttled": 3}}, "CPU heat", "off", ""),
    ({"cpu": {"throttled": 3, "mhz": 1200, "max_mhz": 3600}}, "CPU heat", "off", SLOWER),
    ({"cpu": {"max_mhz": 3600, "limit_mhz": 3600, "governor": "schedutil"}}, "CPU clock", "ok", ""),
    ({"cpu": {"max_mhz": 3600, "limit_mhz": 1200, "governor": "performance"}}, "CPU clock", "off", SLOWER),
    ({"cpu": HELD | {"driver": "acpi-cpufreq"}}, "CPU clock", "off", SLOWER),
    ({"cpu": HELD | {"driver": "intel_pstate"}}, "CPU clock", "ok", ""),
    ({"cpu": {"nodes": 2}}, "NUMA", "off", "half of the weights are read from the other socket"),
    ({"disk": {"seconds": 10.0}}, "disk throughput", "off", "93.8 MiB load in 10.0 s, and 2 s are planned"),
    ({"disk": {"latencies": (0.01, 0.02, 0.01)}}, "disk latency", "off", "weights that are mapped load in 8 s"),
    ({"disk": {"state": "failed", "said": "dd: Invalid argument"}}, "disk throughput", "no answer", ""),
    ({"disk": {"state": "missing"}}, "disk latency", "no answer", ""),
    ({"network": Pings(state="absent")}, "network jitter", "not asked", ""),
    ({"offset": -3.0}, "time", "off", "logs and metrics of hosts do not line up"),
    ({"offset": -3.0, "offset_error": 2.5}, "time", "ok", ""),
    ({"offset": NoAnswer("date does not tell", "See `date`")}, "time", "no answer", ""),
    ({"clock": Clock()}, "time", "ok", ""),
]


def changed(host: HostMeasured, update: dict[str, Any]) -> HostMeasured:
    """The host with fields replaced; those of `cpu` and `disk` one by one."""
    whole = {
        name: getattr(host, name).model_copy(update=value) if isinstance(value, dict) else value
        for name, value in update.items()
    }
    return host.model_copy(update=whole)


@pytest.mark.parametrize(("update", "name", "verdict", "cost"), CPU_CASES)
def test_what_is_off(update: dict[str, Any], name: str, verdict: str, cost: str) -> None:
    found = checks(CPU, changed(CPU_HOST, update))[name]
    assert (found.verdict, found.cost) == (verdict, cost)
    assert bool(found.fix) == (verdict != "ok")


@pytest.mark.parametrize(
    ("ping", "verdict"),
    [
        (Ping(address="p", sent=10, received=10, mean=0.001, jitter=0.004), "ok"),
        (Ping(address="p", sent=10, received=10, mean=0.001, jitter=0.006), "off"),
        (Ping(address="p", sent=10, received=9, mean=0.001, jitter=0.001), "off"),
        (Ping(address="p", sent=10, received=0), "no answer"),
    ],
)
def test_jitter_and_loss(ping: Ping, verdict: str) -> None:
    host = CPU_HOST.model_copy(update={"network": Pings(pings=(ping,))})
    assert checks(CPU, host)["jitter to p"].verdict == verdict


@pytest.mark.parametrize(
    ("update", "verdict", "said", "cost"),
    [
        (
            {"seconds": 10.0},
            "off",
            "27 MB/s (256.0 MiB in 10.0 s)",
            "weights from a mirror there take 3.7 s, and 2 s at the bound",
        ),
        ({"state": "closed"}, "not asked", "nothing comes through", ""),
        ({"state": "absent"}, "not asked", "h2 has no perl", ""),
        ({"state": "failed", "said": "Address already in use"}, "no answer", "no figure came back: Address", ""),
        ({"received": 0}, "no answer", "no figure came back: nothing was received", ""),
    ],
)
def test_throughput(update: dict[str, Any], verdict: str, said: str, cost: str) -> None:
    found = checks(CPU, changed(CPU_HOST, {"throughput": update}))["throughput to h2"]
    assert (found.verdict, found.found.startswith(said), found.cost) == (verdict, True, cost)


def test_a_host_that_was_not_asked_to_send() -> None:
    assert not any("throughput to" in name for name in checks(CPU, CPU_HOST.model_copy(update={"throughput": None})))


def test_an_engine_that_is_told_of_its_nodes() -> None:
    plan = cpu_plan("  slipway:engine: {name: llama.cpp, args: [--numa, distribute]}\n")
    assert checks(plan, changed(CPU_HOST, {"cpu": {"nodes": 2}}))["NUMA"].verdict == "ok"


def test_before_anything_is_there() -> None:
    """A host that exists: no model to read yet, and room for images as well."""
    host = CPU_HOST.model_copy(update={"disk": DiskReads(path="/m"), "disk_available": 4 * GIB})
    found = checks(CPU, host, made=False)
    assert (found["disk throughput"].verdict, found["disk throughput"].fix) == (
        "not asked",
        "Ask again after `pulumi up`",
    )
    assert found["room on disk"].verdict == "off"
    assert "images and weights" in found["room on disk"].wanted


def gpu_host(**update: Any) -> HostMeasured:
    return GPU_HOST.model_copy(update={"disk": GPU_DISK, **update})


def links(**first: Any) -> dict[str, Any]:
    return {"links": (LINK.model_copy(update=first), *GPU_HOST.links[1:])}


def states(**first: Any) -> dict[str, Any]:
    return {"states": GpuStates(gpus=(STATE.model_copy(update=first), *GPU_HOST.states.gpus[1:]))}


SLOW_LINK = "15.8 of 31.5 GB/s: weights take 0.4 s more to load"
GPU_CASES: list[tuple[dict[str, Any], str, str, str]] = [
    ({"gpu_devices": 1}, "GPUs", "off", ""),
    ({"gpu_names": ("NVIDIA L4", "NVIDIA L40S")}, "kind of GPU", "off", ""),
    (links(width=8), "PCIe of GPU 0", "off", SLOW_LINK),
    (links(speed=8), "PCIe of GPU 0", "off", SLOW_LINK),
    (links(speed=2.5) | states(utilization=0, reasons=1), "PCIe of GPU 0", "ok", ""),
    (links(speed=2.5, port_speed=8) | states(utilization=0), "PCIe of GPU 0", "off", SLOW_LINK),
    (links(width=None), "PCIe of GPU 0", "not asked", ""),
    (states(reasons=0x40 | 0x4, clock=840), "clocks of GPU 0", "off", "prompts take up to 3.0 times as long"),
    (states(reasons=0x1, clock=210), "clocks of GPU 0", "ok", ""),
    (states(reasons=None), "clocks of GPU 0", "not asked", ""),
    ({"states": GpuStates(said="there is no nvidia-smi")}, "GPU clocks", "no answer", ""),
    (
        links(node=1),
        "NUMA",
        "off",
        "without NVLink, what its GPUs tell each other crosses the sockets; no figure is known",
    ),
    ({"links": ()}, "NUMA", "ok", ""),
]


@pytest.mark.parametrize(("update", "name", "verdict", "cost"), GPU_CASES)
def test_gpus(update: dict[str, Any], name: str, verdict: str, cost: str) -> None:
    found = checks(GPU, gpu_host(**update))[name]
    assert (found.verdict, found.cost) == (verdict, cost)


def test_a_host_that_is_not_reached_is_not_well() -> None:
    found = list(
        judge_fleet(CPU, (CPU_HOST, Unmeasured("h2", NoAnswer("no SSH at 10.0.0.2:22", "Start it"))), made=True)
    )
    assert found[-1] == Check("h2", "reached", "no answer", "no SSH at 10.0.0.2:22", "", "Start it")
    assert exit_code(found) == 1
    assert exit_code([*found, Check("h3", "x", "off", "")]) == 4


def test_a_read_ahead_at_the_bound_takes_as_long_as_the_planned_rate() -> None:
    assert bounds.mapped_seconds(1e9, bounds.READ_LATENCY) == pytest.approx(bounds.load_seconds(1e9, 50e6))


def test_a_disk_that_gives_nothing_never_loads() -> None:
    assert bounds.load_seconds(1, 0) == bounds.steal_cost(1.0) == float("inf")
