"""How long advice takes: every offer for every model of the catalogue, and one whole answer. No network, no peer."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from bench.report import Report, say
from bench.running import run_main
from slipway.advice import advise
from slipway.advice.ranking import ranked
from slipway.advice.search import Search, fastest_first, measured_of
from slipway.architectures import catalogue
from slipway.offers import offers
from slipway.workload import Served, Workload, assume

ONE = "Qwen/Qwen3-8B"
ASKED = Workload(requests_per_second=2)

RANKED, ADVISED = "rank every offer for every model", f"one whole advice ({ONE})"


def timed(work: Callable[[], object]) -> float:
    """Seconds. What earlier rounds measured is forgotten first."""
    measured_of.cache_clear()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(rounds: int, names: Sequence[str] | None = None) -> Report:
    """Rank every offer for these models, by default all of the catalogue, `rounds` times; take one advice as often."""
    models = [catalogue.find(name) for name in names or catalogue.names()]
    listed = fastest_first(offers())
    searches = [(model, assume(ASKED, Served(model.task, model.context))) for model in models]
    one = catalogue.find(ONE)
    advise(one, ASKED, listed)
    seconds: dict[str, list[float]] = {RANKED: [], ADVISED: []}
    for number in range(1, rounds + 1):
        seconds[RANKED].append(timed(lambda: [ranked(Search(*search), listed) for search in searches]))
        seconds[ADVISED].append(timed(lambda: advise(one, ASKED, listed)))
        say(f"round {number}: {seconds[RANKED][-1]:.2f} s, {seconds[ADVISED][-1] * 1000:.0f} ms")
    return Report(
        name="advice",
        what=f"{len(models)} models of the catalogue × {len(listed)} offers, one workload",
        seconds=seconds,
        ratios={},
        facts={"models": len(models), "offers": len(listed), "pairs": len(models) * len(listed)},
    )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.advice", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="how often each is done (default: 5)")
    return parser.parse_args(argv)


def main() -> None:
    run(parse().rounds).show()


if __name__ == "__main__":
    run_main(main)
