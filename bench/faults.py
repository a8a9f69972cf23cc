"""The fault table: what strikes a host on its way to another driver, where, and what becomes of the host.

    make bench-faults     or: python -m bench.faults --only 'lost'

A run over a host that serves, with the fault, must end converged, with the old release serving, or with the host
drained and named; a run that was broken off may also leave it serving as it did. The next run, with the fault gone,
must converge. The first table is of a simulated host, the second of a real one: a system container with its own apt,
dpkg, systemd, Docker and reboots, whose GPUs and drivers are stubs. Exits with 1 when one ends otherwise.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence

from bench.report import say
from bench.running import need_root, run_main, workspace
from tests.bootstrap.faults import real, simulated
from tests.bootstrap.faults.outcome import Row
from tests.support.nvidia.serving import serving_machine

SAID = 58
"""characters of what a run said"""
LEAST = 25
"""faults that the table must have at least, and steps of them on real hosts: issue 5"""
LEAST_REAL = 12


def table(rows: Sequence[Row]) -> str:
    """One line a fault."""
    cells = [("strikes in", "fault", "the run said", "after it", "after the next run")]
    for row in rows:
        said = row.said if len(row.said) <= SAID else f"{row.said[: SAID - 1]}…"
        after = row.after if row.right else f"{row.after}  <-- wanted: {row.ends}, {row.says!r}"
        cells.append((row.strikes, row.name, said, after, row.then))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]])
        for line in cells
    )


def on_simulated(only: re.Pattern[str]) -> list[Row]:
    return [simulated.strike(fault)[0] for fault in simulated.FAULTS if only.search(fault.name)]


def on_real(only: re.Pattern[str]) -> list[Row]:
    chosen = [fault for fault in real.FAULTS if only.search(fault.name)]
    rows: list[Row] = []
    if not chosen:
        return rows
    need_root("booting system containers")
    with workspace() as folder, serving_machine(folder / "faults" / "f1") as machine:
        for number, fault in enumerate(chosen, 1):
            say(f"{number} of {len(chosen)} on a real host: {fault.name}")
            rows.append(real.strike(machine, fault))
            say(f"  {rows[-1].after}, then {rows[-1].then}: {rows[-1].said[:160]}")
    return rows


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", metavar="REGEX", help="faults whose name matches (default: all)")
    parser.add_argument("--simulated", action="store_true", help="leave out the real host")
    return parser.parse_args(argv)


def main() -> None:
    asked = parse()
    only = re.compile(asked.only)
    on_one = on_simulated(only)
    on_other = [] if asked.simulated else on_real(only)
    print(f"On a simulated host: {len(on_one)} faults\n\n{table(on_one)}\n")
    if on_other:
        print(f"On a real host: {len(on_other)} faults\n\n{table(on_other)}\n")
    rows = [*on_one, *on_other]
    wrong = [row.name for row in rows if not row.right]
    said = {
        "benchmark": "faults",
        "simulated": len(on_one),
        "real": len(on_other),
        "ends": dict(Counter(row.after for row in rows)),
        "converged_after_the_next_run": sum(row.then == "converged" for row in rows),
        "otherwise": wrong,
    }
    print(json.dumps(said))
    few = not asked.only and (len(on_one) < LEAST or (not asked.simulated and len(on_other) < LEAST_REAL))
    if wrong or few:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
