"""Sizing against what was published: memory beside KAITO's, gpu_poor's and a napkin's, and speed. Nothing is timed.

`python -m bench.sizing` prints a line for every row, the errors by kind and by split, and one line of JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from bench.running import run_main
from bench.sizing_peers import PEERS
from bench.sizing_results import (
    AIMS,
    DECODE_AIM,
    Figure,
    Measure,
    Result,
    Skipped,
    SpeedResult,
    judge,
    judge_speed,
    middle,
)
from bench.sizing_rows import SPLITS, Case, Speed, Split, load_cases, load_speeds

MEASURES: tuple[Measure, ...] = ("weights", "kv", "tokens", "concurrency")
SPEED_SPLITS: tuple[Split, ...] = SPLITS[:2]
"""no speed was found later"""
Summary = dict[str, float]
"""rows, and their median and largest error without sign, and how many are within the aim, or within our own range"""
NAME = 44
"""characters of a model's name"""


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", metavar="ID,ID", default="", help="only these rows of cases.csv")
    return parser.parse_args(argv)


def percent(error: float) -> str:
    return f"{100 * error:+.0f}%" if abs(error) < 9.995 else "far off"


def cell(figure: Figure | None) -> str:
    """Published, ours, and the error."""
    if figure is None:
        return ""
    digits = 0 if figure.published >= 1000 else 2
    return f"{figure.published:,.{digits}f} → {figure.ours:,.{digits}f} {percent(figure.error)}"


def case_table(results: Sequence[Result]) -> str:
    head = ["id", "split", "model", "on", "weights", "cache GiB", "tokens", "concurrency", *PEERS, "fits"]
    rows = [head]
    for result in results:
        case = result.case
        kv = result.figures.get("kv")
        peers = [percent(kv.peer_error(peer)) if kv and kv.peers else "" for peer in PEERS]
        on = f"{case.gpus}×{case.gpu} {case.engine_version or case.engine}"
        answer = f"{'yes' if case.fits else 'no'} → {result.fit.verdict}" if result.sized else ""
        figures = [cell(result.figures.get(measure)) for measure in MEASURES]
        rows.append([str(case.id), case.split, case.model[:NAME], on, *figures, *peers, answer])
    return columns(rows)


def speed_table(results: Sequence[SpeedResult]) -> str:
    rows = [
        [
            "id",
            "split",
            "model",
            "on",
            "batch",
            "prompt",
            "output",
            "metric",
            "published",
            "ours",
            "low to high",
            "error",
        ]
    ]
    for result in results:
        row = result.row
        on = f"{row.count}×{row.device} {row.engine} {row.quant}"
        shape = [str(row.batch or ""), str(row.prompt or ""), str(row.output or ""), row.metric]
        ours = [
            f"{row.value:,.1f}",
            f"{result.ours:,.1f}",
            f"{result.low:,.1f} to {result.high:,.1f}",
            percent(result.error),
        ]
        rows.append([str(row.id), row.split, row.model[:NAME], on, *shape, *ours])
    return columns(rows)


def columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def summary(of: Iterable[float], aim: float) -> Summary:
    sizes = [abs(error) for error in of]
    if not sizes:
        return {"rows": 0}
    within = sum(size <= aim for size in sizes)
    return {"rows": len(sizes), "median": round(middle(sizes), 4), "max": round(max(sizes), 4), "within": within}


def ours(figure: Figure) -> float:
    return figure.error


def peers_error(peer: str) -> Callable[[Figure], float]:
    return lambda figure: figure.peer_error(peer)


def errors(results: Iterable[Result], measure: Measure, of: Callable[[Figure], float] = ours) -> list[float]:
    return [of(figure) for result in results if (figure := result.figures.get(measure)) is not None]


def by_kind(results: Sequence[Result]) -> dict[str, dict[str, Summary]]:
    """Measure and kind → contender or split → summary."""
    found: dict[str, dict[str, Summary]] = {}
    for (measure, kind), aim in AIMS.items():
        chosen = [result for result in results if result.case.group == kind and measure in result.figures]
        if not chosen:
            continue
        said: dict[str, Summary] = {
            split: summary(errors([one for one in chosen if one.case.split == split], measure), aim) for split in SPLITS
        }
        said["range"] = {"rows": len(chosen), "within": sum(one.figures[measure].inside for one in chosen)}
        compared = [one for one in chosen if one.figures[measure].peers]
        said |= {peer: summary(errors(compared, measure, peers_error(peer)), aim) for peer in PEERS}
        found[f"{measure} {kind}"] = said
    return found


def by_split(results: Sequence[SpeedResult]) -> dict[str, Summary]:
    return {
        split: summary((one.error for one in results if one.row.split == split), DECODE_AIM) for split in SPEED_SPLITS
    }


@dataclass(frozen=True)
class Facts:
    """The summary, as it is printed and as JSON."""

    memory: dict[str, dict[str, Summary]]
    refusals: int
    """rows whose engine refused to start, and that say enough to be asked about"""
    false_fits: list[int]
    missed_fits: list[int]
    decode: dict[str, Summary]
    other_speed: dict[str, Summary]
    """of the first token, of prefill, of whole requests"""
    fitted_rows: list[int]
    held_out_rows: list[int]
    later_rows: list[int]
    skipped: dict[str, str]


def facts(results: Sequence[Result], speeds: Sequence[SpeedResult], skipped: Sequence[Skipped]) -> Facts:
    return Facts(
        memory=by_kind(results),
        refusals=sum(result.sized and not result.case.fits for result in results),
        false_fits=[result.case.id for result in results if result.false_fit],
        missed_fits=[result.case.id for result in results if result.missed_fit],
        decode=by_split([one for one in speeds if one.decode]),
        other_speed=by_split([one for one in speeds if not one.decode]),
        fitted_rows=[result.case.id for result in results if result.case.split == "fit"],
        held_out_rows=[result.case.id for result in results if result.case.split == "held-out"],
        later_rows=[result.case.id for result in results if result.case.split == "later"],
        skipped={f"{type(one.row).__name__.lower()} {one.row.id}": one.why for one in skipped},
    )


def summary_table(said: dict[str, dict[str, Summary]]) -> str:
    rows = [["rows, median, largest, within the aim", "fitted", "held out", "later", "in our range", *PEERS]]
    for name, entry in said.items():
        fitted, held_out, later, *peers = (one_line(entry[part]) for part in (*SPLITS, *PEERS))
        ours_too = f"{entry['range']['within']:.0f} of {entry['range']['rows']:.0f}"
        rows.append([name, fitted, held_out, later, ours_too, *peers])
    return columns(rows)


def one_line(said: Summary) -> str:
    if not said["rows"]:
        return "none"
    return f"{said['rows']:.0f}, {100 * said['median']:.1f}%, {100 * said['max']:.0f}%, {said['within']:.0f}"


def show(results: Sequence[Result], speeds: Sequence[SpeedResult], skipped: Sequence[Skipped]) -> None:
    said = facts(results, speeds, skipped)
    print("Memory: published → ours, error. KAITO, gpu_poor and plain are their errors of the cache.\n")
    print(case_table(results))
    print("\nThe constants were fitted on the rows marked fit, and on no other; rows marked later came after that.\n")
    print(summary_table(said.memory))
    print(f"\n{said.refusals} refusals, of which promised to fit: {said.false_fits or 'none'}")
    print(f"boots that were denied: {said.missed_fits or 'none'}")
    print("\nSpeed: published, ours\n")
    print(speed_table(speeds))
    print("\nRows, median, largest error, within 25%:")
    for name, parts in (("decode", said.decode), ("first token, prefill, whole requests", said.other_speed)):
        print(f"  {name}: fitted {one_line(parts['fit'])}; held out {one_line(parts['held-out'])}")
    if skipped:
        print("\nNot asked about:")
        named = [(f"  {type(one.row).__name__.lower()} {one.row.id}", one) for one in skipped]
        print(columns([[name, one.row.model[:NAME], one.why] for name, one in named]))
    print(json.dumps({"benchmark": "sizing", **asdict(said)}), flush=True)


def run(cases: Sequence[Case], rows: Sequence[Speed]) -> tuple[list[Result], list[SpeedResult], list[Skipped]]:
    judged: list[Result | SpeedResult | Skipped] = [*map(judge, cases), *map(judge_speed, rows)]
    return (
        [one for one in judged if isinstance(one, Result)],
        [one for one in judged if isinstance(one, SpeedResult)],
        [one for one in judged if isinstance(one, Skipped)],
    )


def main() -> None:
    arguments = parse()
    chosen = {int(number) for number in arguments.rows.split(",") if number}
    cases = [case for case in load_cases() if not chosen or case.id in chosen]
    show(*run(cases, load_speeds() if not chosen else []))


if __name__ == "__main__":
    run_main(main)
