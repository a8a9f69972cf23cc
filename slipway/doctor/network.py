"""The way from a host to others of its stack: how evenly packets come, and how fast a stream."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.doctor.bounds import JITTER, NETWORK_RATE, load_seconds
from slipway.doctor.measured import HostMeasured, Ping, Throughput
from slipway.doctor.types import Check, NoAnswer, judged
from slipway.plan_types import Plan
from slipway.units import about_bytes


def judge_network(plan: Plan, host: HostMeasured) -> Iterator[Check]:
    """Nothing of a host that was asked to measure no way: the only one of its stack."""
    if host.network.state == "absent":
        yield Check(host.name, "network jitter", "not asked", "the host has no ping", fix="Install iputils-ping there")
    for ping in host.network.pings:
        yield _ping(host.name, ping)
    if host.throughput is not None:
        yield _throughput(host.name, host.throughput, plan.model.size)


def _throughput(host: str, found: Throughput, weights: int) -> Check:
    name, wanted = f"throughput to {found.peer}", f"at least {NETWORK_RATE / 1e6:.0f} MB/s"
    if found.state == "closed":
        why = "nothing comes through: a firewall between them that lets in SSH and clients alone is as it should be"
        return Check(host, name, "not asked", why)
    if found.state == "absent":
        return Check(host, name, "not asked", f"{found.peer} has no perl", fix="Install perl-base there")
    if found.state == "failed" or not found.rate:
        why = f"no figure came back: {found.said or 'nothing was received'}"
        return NoAnswer(why, "Try again; measure it by hand with iperf3").check(host, name, wanted)
    slow = found.rate < NETWORK_RATE
    planned = f", and {load_seconds(weights, NETWORK_RATE):.0f} s at the bound" if slow else ""
    return judged(
        host,
        name,
        not slow,
        found=f"{found.rate / 1e6:.0f} MB/s ({about_bytes(found.received)} in {found.seconds:.1f} s)",
        wanted=wanted,
        fix="Look for what loads the link or the hosts, and at the limit that the cloud sets for this type",
        cost=f"weights from a mirror there take {load_seconds(weights, found.rate):.1f} s{planned}",
    )


def _ping(host: str, ping: Ping) -> Check:
    name = f"jitter to {ping.address}"
    if ping.jitter is None or ping.mean is None:
        why = f"none of {ping.sent} packets came back; something in between may let no ICMP through"
        return NoAnswer(why, f"Try `ping {ping.address}` there").check(host, name)
    lost = ping.sent - ping.received
    return judged(
        host,
        name,
        ping.jitter <= JITTER and not lost,
        found=f"{ping.jitter * 1e3:.2f} ms around {ping.mean * 1e3:.2f} ms, {lost} of {ping.sent} lost",
        wanted=f"at most {JITTER * 1e3:.0f} ms, none lost",
        fix="Look for what loads the link or the host",
        cost=f"tokens arrive {ping.jitter * 1e3:.0f} ms early or late" if ping.jitter > JITTER else "",
    )
