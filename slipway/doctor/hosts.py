"""What a host is and how fast, held against what a plan needs of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from slipway.doctor.bounds import (
    CPU_FLAGS,
    OFFSET,
    POWERSAVE_SCALES,
    READ_LATENCY,
    STEAL,
    load_seconds,
    mapped_seconds,
    steal_cost,
)
from slipway.doctor.gpus import judge_gpus
from slipway.doctor.measured import Cpu, HostMeasured
from slipway.doctor.network import judge_network
from slipway.doctor.types import Check, NoAnswer, judged
from slipway.gates import READ_RATE
from slipway.hosting import IMAGES_CPU_GB, IMAGES_GPU_GB
from slipway.plan_types import Plan
from slipway.settings.rules import SYSTEM_MEMORY
from slipway.units import GB, about_bytes


def judge_host(plan: Plan, host: HostMeasured, *, made: bool) -> Iterator[Check]:
    """Every check of one host; `made` where it carries a release already."""
    yield from _fits(plan, host, made=made)
    yield from _cpu(plan, host)
    yield from _disk(plan, host, made=made)
    yield from judge_gpus(plan, host)
    yield from judge_network(plan, host)
    yield _time(host)


def _fits(plan: Plan, host: HostMeasured, *, made: bool) -> Iterator[Check]:
    yield judged(
        host.name,
        "system",
        (host.os, host.arch) == (plan.host.os, "amd64"),
        found=f"{host.os} {host.arch}",
        wanted=f"{plan.host.os} amd64",
        fix="Install that system, or take a release of this one: slipway releases",
    )
    if not plan.engine.gpus_per_replica:
        need = plan.model.size + SYSTEM_MEMORY
        yield judged(
            host.name,
            "memory",
            host.memory >= need,
            found=about_bytes(host.memory),
            wanted=f"{about_bytes(need)}: weights, and {about_bytes(SYSTEM_MEMORY)} for all else",
            fix="Take a smaller model or quantization, or a host with more memory",
        )
    images = IMAGES_GPU_GB if plan.engine.gpus_per_replica else IMAGES_CPU_GB
    room = plan.model.size + (0 if made else images * GB)
    yield judged(
        host.name,
        "room on disk",
        host.disk_available >= room,
        found=f"{about_bytes(host.disk_available)} of {about_bytes(host.disk_size)} free",
        wanted=f"{about_bytes(room)}: " + ("another model's weights of this size" if made else "images and weights"),
        fix="Free some, or give it a larger disk: without it no change of the model has room",
    )


def _cpu(plan: Plan, host: HostMeasured) -> Iterator[Check]:
    cpu, on_cpu = host.cpu, not plan.engine.gpus_per_replica
    if on_cpu and host.arch == "amd64":
        lacking = [flag for flag in CPU_FLAGS if flag not in cpu.flags]
        yield judged(
            host.name,
            "CPU instructions",
            not lacking,
            found=f"no {', '.join(lacking)} ({cpu.model})" if lacking else f"all there ({cpu.model or 'no name'})",
            wanted=", ".join(CPU_FLAGS),
            fix="Let the hypervisor pass the CPU through (`host` in QEMU), or take another host",
            cost="prompts take several times as long" if lacking else "",
        )
    longer = f"what runs on the CPU takes {steal_cost(cpu.steal):.0%} longer"
    yield judged(
        host.name,
        "CPU steal",
        cpu.steal <= STEAL,
        found=f"{cpu.steal:.1%} of a second in which it was {cpu.busy:.0%} busy",
        wanted=f"at most {STEAL:.0%}",
        fix="Look again in a minute; if it stays, move the host: others on its machine take the time",
        cost=longer if cpu.steal > STEAL else "",
    )
    if cpu.throttled is None:
        yield Check(host.name, "CPU heat", "not asked", "the machine does not say, as virtual ones do not")
    else:
        times = f"slowed {cpu.throttled} times in a second" + (f", {cpu.mhz:.0f} MHz" if cpu.mhz else "")
        yield judged(
            host.name,
            "CPU heat",
            not cpu.throttled,
            found=times,
            wanted="never",
            fix="Look after its cooling",
            cost=_slower(cpu.max_mhz, cpu.mhz) if cpu.throttled else "",
        )
    yield _cpu_clock(host.name, cpu)
    if on_cpu:
        told = "--numa" in plan.engine.argv
        yield judged(
            host.name,
            "NUMA",
            cpu.nodes == 1 or told,
            found=f"{cpu.nodes} node{'s' if cpu.nodes > 1 else ''}",
            wanted="1, or an engine that is told",
            fix="Add --numa and distribute to slipway:engine.args",
            cost="half of the weights are read from the other socket" if cpu.nodes > 1 and not told else "",
        )


def _cpu_clock(host: str, cpu: Cpu) -> Check:
    """What the clock may be: at this moment it says more of the load than of the CPU."""
    if not cpu.max_mhz or not cpu.limit_mhz:
        return Check(host, "CPU clock", "not asked", "the machine does not say, as virtual ones do not")
    held = cpu.governor == "powersave" and cpu.driver not in POWERSAVE_SCALES
    most = (cpu.min_mhz or cpu.limit_mhz) if held else cpu.limit_mhz
    well = most >= cpu.max_mhz
    return judged(
        host,
        "CPU clock",
        well,
        found=f"up to {most:.0f} MHz, governor {cpu.governor or 'not said'}",
        wanted=f"up to {cpu.max_mhz:.0f} MHz, all that it can",
        fix="Set the governor to performance there, and scaling_max_freq to cpuinfo_max_freq",
        cost="" if well else _slower(cpu.max_mhz, most),
    )


def _slower(best: float | None, now: float | None) -> str:
    return f"what runs on the CPU takes up to {best / now:.1f} times as long" if best and now else ""


def _disk(plan: Plan, host: HostMeasured, *, made: bool) -> Iterator[Check]:
    """What loading needs: the rate that the deadline of the health gate is made of."""
    disk, replicas = host.disk, len(plan.replicas)
    names = ("disk throughput", "disk latency")
    if disk.state != "read" or not disk.seconds or not disk.latencies:
        missing = disk.state == "missing"
        why = (
            "the model's file is not there yet" if missing else f"no read without caches: {disk.said or 'nothing read'}"
        )
        direct = "Its file system may not read past the cache (O_DIRECT), as some do not: measure it by hand"
        fix = "Ask again after `pulumi up`" if missing else direct
        verdict: NoAnswer = NoAnswer(why, fix, "no answer" if made or not missing else "not asked")
        yield from (verdict.check(host.name, name) for name in names)
        return
    weights = plan.model.size * replicas
    now, planned = load_seconds(weights, disk.rate), load_seconds(weights, READ_RATE)
    slow = disk.rate < READ_RATE
    times = f"{replicas} × " if replicas > 1 else ""
    yield judged(
        host.name,
        names[0],
        not slow,
        found=f"{disk.rate / 1e6:.0f} MB/s ({about_bytes(disk.read)} read)",
        wanted=f"at least {READ_RATE / 1e6:.0f} MB/s",
        fix="Give it a faster disk (or tier), or set slipway:gate.health to what it takes",
        cost=f"{times}{about_bytes(plan.model.size)} load in {now:.1f} s"
        + (f", and {planned:.0f} s are planned" if slow else ""),
    )
    single = median(disk.latencies)
    late = single > READ_LATENCY
    yield judged(
        host.name,
        names[1],
        not late,
        found=f"{single * 1e3:.2f} ms a read, {max(disk.latencies) * 1e3:.2f} ms at most",
        wanted=f"at most {READ_LATENCY * 1e3:.1f} ms",
        fix="Give it a disk that is nearer (local NVMe, a faster tier)",
        cost=f"weights that are mapped load in {mapped_seconds(weights, single):.0f} s" if late else "",
    )


def _time(host: HostMeasured) -> Check:
    if isinstance(host.offset, NoAnswer):
        return host.offset.check(host.name, "time")
    well = abs(host.offset) - host.offset_error <= OFFSET
    keeper = {True: "kept by NTP", False: "nothing keeps it", None: "who keeps it is not known"}
    return judged(
        host.name,
        "time",
        well,
        found=f"{host.offset:+.2f} s ± {host.offset_error:.2f} s to here; {keeper[host.clock.synchronized]}",
        wanted=f"within {OFFSET:.0f} s",
        fix="Let systemd-timesyncd or chrony run there; see also this computer's own clock",
        cost="" if well else "logs and metrics of hosts do not line up",
    )


@dataclass(frozen=True)
class Unmeasured:
    """A host that could not be asked."""

    name: str
    answer: NoAnswer


def judge_fleet(plan: Plan, hosts: tuple[HostMeasured | Unmeasured, ...], *, made: bool) -> Iterator[Check]:
    """Every check of every host, in the order given."""
    for host in hosts:
        if isinstance(host, Unmeasured):
            yield host.answer.check(host.name, "reached")
        else:
            yield from judge_host(plan, host, made=made)
