"""What every benchmark prints: progress, a table, and one line of JSON at the end."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """The result of one benchmark. `seconds` holds every measurement of every contender, in the order taken."""

    name: str
    what: str
    """one sentence: what was timed"""
    seconds: Mapping[str, Sequence[float]]
    ratios: Mapping[str, tuple[str, str]]
    """name of the ratio → (contender above, contender below); of their medians"""
    versions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """sizes that the figures belong to, such as the number of hosts"""

    def medians(self) -> dict[str, float]:
        return {contender: round(statistics.median(times), 3) for contender, times in self.seconds.items() if times}

    def quotients(self) -> dict[str, float]:
        medians = self.medians()
        return {
            name: round(medians[above] / medians[below], 2)
            for name, (above, below) in self.ratios.items()
            if above in medians and medians.get(below)
        }

    def table(self) -> str:
        medians = self.medians()
        width = max(map(len, [*medians, *self.ratios]), default=0)
        lines = [self.what, "", f"  {'':{width}}  {'median':>9}   all rounds"]
        for contender, median in medians.items():
            rounds = ", ".join(f"{seconds:.2f}" for seconds in self.seconds[contender])
            version = f"   ({self.versions[contender]})" if contender in self.versions else ""
            lines.append(f"  {contender:{width}}  {median:7.2f} s   {rounds}{version}")
        lines += ["", *(f"  {name:{width}}  {value:7.2f} x" for name, value in self.quotients().items())]
        return "\n".join(lines)

    def json_line(self) -> str:
        return json.dumps(
            {
                "benchmark": self.name,
                "median_seconds": self.medians(),
                "ratios": self.quotients(),
                **self.facts,
                "seconds": {contender: [round(time, 3) for time in times] for contender, times in self.seconds.items()},
                "versions": {"python": platform.python_version(), **self.versions},
                "processors": os.cpu_count(),
            }
        )

    def show(self) -> None:
        print(f"\n{self.table()}\n\n{self.json_line()}", flush=True)


def say(text: str) -> None:
    """One line of progress. On standard error: standard output is for the result."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
