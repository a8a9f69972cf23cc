"""A driver rolled through six hosts under load: requests that failed, and the time against the sum of its parts.

    make bench-rollout       or: python -m bench.rollout --hosts 6 --rounds 1 --build 60

The parts of a host are drain, install (everything that changes what is on it), reboot and load (from the start of its
engines until it serves), as the provider plugin measured them. The hosts of a wave change side by side and waves one
after the other, so the sum is over the waves, of the slowest host in each. What the roll-out takes besides is printed:

    start     of Pulumi, the program and the plugin, until the first host begins
    hosts     their time in none of the parts: connecting, the first facts, verification
    services  sending the bundle, restarting what has the release's name in it, the health gate with its completions
    gates     between the waves; they do not bake here
    rest      what Pulumi does between these and at its end

Of hosts and services it is that of the host whose service was done last in its wave.

System containers; GPUs and NVIDIA's packages are stubs (tests/support/nvidia). Building the driver's modules, which
took 6 minutes on 2 cores (`slipway plan --to`), is a wait of `--build` seconds in them; with 0 the parts are so short
that what a roll-out takes besides shows most.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from bench.report import Report, say
from bench.running import BenchError, need_root, run_main, workspace
from tests.support.gpu_stack import gpu_stack
from tests.support.rollout import HostRolled, Rolled, roll

DRIVERS = {"bench-580": "580.159.03", "bench-620": "620.70.06"}
AIM = 1.2
"""times the sum of its parts that a roll-out takes at most"""
POLICY = {"canary": 1, "wave": "50%", "bake": "0s"}
ROLLOUT, PARTS = "roll-out", "sum of its parts"
NAMES = ("drain", "install", "reboot", "load")


def parts(steps: Mapping[str, float]) -> dict[str, float]:
    """The parts of one host's update, in seconds; verification is none of them."""
    named = {"drain": "drain", "reboot": "reboot", "load": "serve"}
    found = {part: steps.get(step, 0.0) for part, step in named.items()}
    found["install"] = sum(seconds for step, seconds in steps.items() if step not in (*named.values(), "verify"))
    return {name: round(found[name], 3) for name in NAMES}


def critical(hosts: Sequence[HostRolled]) -> float:
    """Seconds that the waves take at least: each as long as its slowest host."""
    slowest: dict[int, float] = {}
    for host in hosts:
        slowest[host.wave] = max(slowest.get(host.wave, 0.0), sum(parts(host.steps).values()))
    return sum(slowest.values())


def besides(rolled: Rolled) -> dict[str, float]:
    """What a roll-out took besides the sum of its parts, in seconds."""

    def took(kind: str, name: str) -> float:
        begin, end = rolled.spans.get((kind, name), (0.0, 0.0))
        return end - begin

    last: dict[int, HostRolled] = {}
    for host in rolled.hosts:
        before = last.get(host.wave)
        if before is None or _done(rolled, host) > _done(rolled, before):
            last[host.wave] = host
    found = {
        "start": min((begin for (kind, _), (begin, _) in rolled.spans.items() if kind == "Host"), default=0.0),
        "hosts": sum(took("Host", host.name) - sum(parts(host.steps).values()) for host in last.values()),
        "services": sum(took("Service", host.name) for host in last.values()),
        "gates": sum(took(kind, name) for kind, name in rolled.spans if kind == "Gate"),
    }
    found["rest"] = rolled.run.seconds - critical(rolled.hosts) - sum(found.values())
    return {name: round(seconds, 1) for name, seconds in found.items()}


def _done(rolled: Rolled, host: HostRolled) -> float:
    return max(rolled.spans.get((kind, host.name), (0.0, 0.0))[1] for kind in ("Host", "Service"))


def table(rolled: Rolled) -> str:
    lines = [f"  {'wave':4}  {'host':9}" + "".join(f"{name:>10}" for name in (*NAMES, "sum", "out"))]
    for host in rolled.hosts:
        figures = [*parts(host.steps).values(), sum(parts(host.steps).values()), host.out]
        lines.append(f"  {host.wave:<4}  {host.name:9}" + "".join(f"{seconds:8.1f} s" for seconds in figures))
    lines.append("  besides     " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in besides(rolled).items()))
    return "\n".join(lines)


def report(rounds: Sequence[Rolled], hosts: int, build: int) -> Report:
    return Report(
        name="rollout",
        what=f"a driver rolled through {hosts} hosts under load",
        seconds={
            ROLLOUT: [rolled.run.seconds for rolled in rounds],
            PARTS: [critical(rolled.hosts) for rolled in rounds],
        },
        ratios={f"{ROLLOUT} / {PARTS}": (ROLLOUT, PARTS)},
        facts={
            "hosts": hosts,
            "build_seconds": build,
            "requests_answered": sum(len(rolled.load.answered) for rolled in rounds),
            "requests_failed": sum(len(rolled.load.failed) for rolled in rounds),
            "parts": [{host.name: parts(host.steps) for host in rolled.hosts} for rolled in rounds],
            "besides": [besides(rolled) for rolled in rounds],
            "aim": {"ratio": AIM, "requests_failed": 0},
        },
    )


def run(hosts: int, rounds: int, build: int) -> Report:
    """There and back again, `rounds` ways in all."""
    need_root("bench-rollout")
    done: list[Rolled] = []
    with (
        workspace() as folder,
        gpu_stack(folder / "bench", DRIVERS, hosts, say, rollout=POLICY) as stack,
    ):
        say("the first `pulumi up`")
        stack.install()
        for host in stack.hosts:
            stack.set_faults(host.name, f"install-slow {build}")
        for number in range(rounds):
            release = list(DRIVERS)[(number + 1) % 2]
            say(f"round {number + 1}: to {release}")
            rolled = roll(stack, release, say)
            if rolled.run.exit:
                raise BenchError(rolled.run.diagnostics(), where="pulumi up", fix="Put that right.")
            done.append(rolled)
            failed = len(rolled.load.failed)
            print(
                f"round {number + 1}, {rolled.run.seconds:.1f} s, {failed} requests failed\n{table(rolled)}", flush=True
            )
            for _, what in rolled.load.failed[:5]:
                say(f"failed: {what}")
    return report(done, hosts, build)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.rollout", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hosts", type=int, default=6, metavar="N", help="machines (default: 6)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="roll-outs, there and back (default: 1)")
    parser.add_argument("--build", type=int, default=60, metavar="S", help="seconds of a module's build (default: 60)")
    return parser.parse_args(argv)


def main() -> None:
    asked = parse()
    run(asked.hosts, asked.rounds, asked.build).show()


if __name__ == "__main__":
    run_main(main)
