"""`make up` when everything is up already: how long it takes to say that nothing changed.

    make bench-up            or: python -m bench.up --rounds 3

Brings the local stack up in a state folder of its own, once, then again, and takes it down. The first run is shown for
scale; what it takes depends on what the cache has.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from bench.report import Report, say
from bench.running import BenchError, need_root, run_main, timed, workspace
from bootstrap.log import NullLog
from bootstrap.machines import remove
from slipway.errors import SlipwayError

AIM_SECONDS = 10.0
SUMMARY = re.compile(r"^\s*(?:[+~-]|\+-|±)?\s*(\d+) (created|updated|deleted|replaced|same|unchanged)\b", re.MULTILINE)
"""Pulumi's counts at the end of an update"""


def changes(output: str) -> dict[str, int]:
    """What Pulumi counted, without what stayed as it was. Raises BenchError when it counted nothing at all."""
    counts = {what: int(number) for number, what in SUMMARY.findall(output)}
    if not counts:
        raise BenchError("Pulumi's summary is not in the output", where="make up", fix="See bench/up.py.")
    return {what: number for what, number in counts.items() if what not in ("same", "unchanged")}


def up(environment: Mapping[str, str]) -> tuple[float, dict[str, int]]:
    done = timed("make up", ["make", "up"], env=environment)
    return done.seconds, changes(done.stdout + done.stderr)


def down(state: Path, environment: Mapping[str, str]) -> None:
    """Takes the stack away; where Pulumi cannot any more, its machines at least."""
    say("make down")
    try:
        timed("make down", ["make", "down"], env=environment)
    except SlipwayError as error:
        say(f"{error}")
    finally:
        for machine in state.glob("machines/*/*"):
            if machine.is_dir():
                remove(machine, NullLog())


def report(first: float, again: list[float]) -> Report:
    return Report(
        name="up",
        what="make up: the first, and again with everything up already",
        seconds={"first": [first], "again": again},
        ratios={"again / first": ("again", "first")},
        facts={"hosts": 1, "aim_seconds": {"again": AIM_SECONDS}},
    )


def run(rounds: int) -> Report:
    """Brings the stack up and takes it down."""
    need_root("make up")
    with workspace() as folder:
        state = folder / "state"
        environment = {"SLIPWAY_STATE": str(state)}
        try:
            first, made = up(environment)
            say(f"first: {first:.1f} s: {made}")
            again = []
            for number in range(1, rounds + 1):
                seconds, changed = up(environment)
                if changed:
                    raise BenchError(f"it changed something: {changed}", where="make up", fix="See `pulumi up --diff`.")
                again.append(seconds)
                say(f"round {number}: {seconds:.2f} s, nothing changed")
        finally:
            down(state, environment)
    return report(first, again)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.up", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs after the first (default: 3)")
    return parser.parse_args(argv)


def main() -> None:
    run(parse().rounds).show()


if __name__ == "__main__":
    run_main(main)
