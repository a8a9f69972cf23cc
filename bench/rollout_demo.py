"""Drivers rolled through a fleet, shown: an upgrade in waves under load, then one that fails and rolls back.

    make rollout-demo        or: python -m bench.rollout_demo --hosts 4

What is real in it and what is not is said in its first lines. Whatever ends it takes its machines away again.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
import time
from collections.abc import Sequence

from bench.running import need_root, run_main, workspace
from slipway.errors import SlipwayError
from tests.support.gpu_stack import GpuStack, gpu_stack
from tests.support.rollout import Rolled, roll

DRIVERS = {"demo-580.126": "580.126.20", "demo-580.159": "580.159.03", "demo-620": "620.70.06"}
"""the fleet begins with the first, gets the second, and is refused the third on one host"""
FAULT = f"version-mismatch {DRIVERS['demo-580.159']}"
"""the host's boot loads the module of that version, whatever is installed"""
HEAD = """\
The GPUs, their kernel modules and the content of NVIDIA's packages are STUBS (tests/support/nvidia): no GPU is here.
Real are `pulumi up` with this repository's program, apt, dpkg, systemd and the reboots of {hosts} system containers
with Debian 13, Docker (which hands the stub devices to the engines by CDI), HAProxy, and llama.cpp, which answers on
the CPU."""
COLUMNS = ("wave", "host", "release before → after", "out of traffic", "answered, failed", "what happened")
WIDTH = 42
"""characters of the last column"""


class Stopwatch:
    """Progress with the seconds since the start, on standard error."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {text[:150]}", file=sys.stderr, flush=True)


def happened(rolled: Rolled, name: str) -> str:
    """One host's part in a roll-out, in words."""
    host = next(host for host in rolled.hosts if host.name == name)
    if host.said:
        return re.sub(rf"^{host.name}: |(?<=were put back)\..*$", "", host.said)  # its name is in the row; no advice
    if host.before == host.after:
        return "not begun: a wave before it failed" if rolled.run.exit else "nothing to do"
    longest = sorted(host.steps.items(), key=lambda step: -step[1])[:3]
    return ", ".join(f"{step} {seconds:.0f} s" for step, seconds in longest)


def table(rolled: Rolled) -> str:
    """A line a host, in the order of the waves."""
    rows: list[Sequence[str]] = [COLUMNS]
    for host in rolled.hosts:
        after = host.after if host.after != host.before else "the same"
        out = f"{host.out:.1f} s" if host.out else "never"
        met = f"{host.answered}, {host.failed}" if host.out else ""
        text = textwrap.wrap(happened(rolled, host.name), WIDTH, break_on_hyphens=False) or [""]
        rows.append((str(host.wave), host.name, f"{host.before} → {after}", out, met, text[0]))
        rows += [("", "", "", "", "", more) for more in text[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def shown(title: str, rolled: Rolled) -> str:
    """The table, with what came of all."""
    answered, failed = len(rolled.load.answered), len(rolled.load.failed)
    end = "ended well" if rolled.run.exit == 0 else f"ended with exit status {rolled.run.exit}, as it should"
    return (
        f"\n{title}\n\n{textwrap.indent(table(rolled), '  ')}\n\n"
        f"  `pulumi up` {end}, after {rolled.run.seconds:.0f} s; {answered} requests answered, {failed} failed"
    )


def problems(good: Rolled, bad: Rolled, struck: str, drivers: dict[str, str]) -> list[str]:
    """What did not go as this demonstration says it goes."""
    old, new, last = DRIVERS
    found = [f"{len(rolled.load.failed)} requests failed: {rolled.load.failed[0][1]}" for rolled in (good, bad)
             if rolled.load.failed]  # fmt: skip
    if good.run.exit or any((host.before, host.after) != (old, new) for host in good.hosts):
        found.append(f"the first roll-out did not bring every host to {new}")
    waves = {host.name: host.wave for host in bad.hosts}
    for host in bad.hosts:
        expected = last if host.wave < waves[struck] else new
        if host.wave != waves[struck] or host.name == struck:
            if host.after != expected:
                found.append(f"{host.name} carries {host.after}, not {expected}")
            if drivers[host.name] != DRIVERS[expected]:
                found.append(f"{host.name} runs driver {drivers[host.name]}, not {DRIVERS[expected]}")
    if bad.run.exit == 0:
        found.append("the second roll-out did not fail")
    return found


def run(hosts: int) -> bool:
    """The whole demonstration, printed; whether it went as it says."""
    need_root("make rollout-demo")
    print(HEAD.format(hosts=hosts), flush=True)
    say = Stopwatch()
    with workspace() as folder, gpu_stack(folder / "demo", DRIVERS, hosts, say) as stack:
        good, bad, struck = steps(stack, say)
        drivers = stack.drivers()
        statuses = [stack.ask(index) for index in range(hosts)]
        first, second, third = DRIVERS.values()
        print(shown(f"1. Driver {first} to {second}, in waves, under load", good))
        print(shown(f"2. Driver {second} to {third}, with the stub's fault {FAULT!r} on {struck}", bad))
        found = problems(good, bad, struck, drivers)
        found += [f"host {index} answers {status}" for index, status in enumerate(statuses) if status != 200]
    if found:
        print("\nNOT AS IT SHOULD BE: " + "; ".join(found))
    else:
        print(
            f"\nAs it should be: no request failed, {struck} is back at driver {drivers[struck]}, and all hosts serve."
        )
    return not found


def steps(stack: GpuStack, say: Stopwatch) -> tuple[Rolled, Rolled, str]:
    """The upgrade, the one that fails, and the host that it fails on."""
    old, new, last = DRIVERS
    say(f"`pulumi up`, the first: every host gets release {old}")
    stack.install()
    say(f"`pulumi up`: from {old} to {new}, while clients ask")
    good = roll(stack, new, say)
    if good.run.exit:
        raise SlipwayError(f"the upgrade failed: {good.run.diagnostics()}", where="make rollout-demo", fix="See above")
    struck = next(host.name for host in good.hosts if host.wave == 1)
    stack.set_faults(struck, FAULT)
    say(f"`pulumi up`: from {new} to {last}, with the stub's fault {FAULT!r} on {struck}")
    return good, roll(stack, last, say), struck


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.rollout_demo", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hosts", type=int, default=4, metavar="N", help="machines (default: 4)")
    return parser.parse_args(argv)


def main() -> None:
    if not run(parse().hosts):
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
