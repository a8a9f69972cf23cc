"""Advice for a terminal: verdict, criteria, memory as bars, ranking, settings, and what was assumed."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from slipway.advice.texts import count, gib
from slipway.advice.types import Advice, Option, TuningOption
from slipway.cli import advice_rows as rows

BAR = 40
"""characters of the longest bar"""
WIDE = 125
"""columns of a terminal from which on a ranking is a table; a narrower one would break names of offers in pieces"""


def show_advice(advice: Advice, limit: int, console: Console | None = None) -> None:
    """Print it on standard output, the three lines that sum it up last."""
    console = console or Console(highlight=False)
    _heading(console, f"{advice.device.verdict.upper()}: {advice.device.why}")
    _print(console, ("", "leans to", "", ""), (
        (found.name, found.leans + (" (decisive)" if found.decisive else ""), found.figure, found.why)
        for found in advice.device.criteria
    ))  # fmt: skip
    if advice.several is not None:
        console.print(f"{count(advice.several.gpus, 'GPU')} a replica: {escape(advice.several.why)}")
    if advice.options:
        _options(console, advice.options, limit)
    elif advice.tuning:
        _tuning(console, advice.tuning, limit)
    if advice.rejections:
        console.print()
        miss = "misses" if len(advice.rejections) == 1 else "miss"
        console.print(f"{count(len(advice.rejections), 'offer')} {miss} something, such as:")
        _print(console, (), ((rows.place(found.offer), found.why) for found in advice.rejections[:limit]))
    _heading(console, "sized for")
    _print(console, (), rows.workload(advice))
    console.print()
    for index, line in enumerate(advice.summary):
        console.print(escape(line), style="" if index else "bold")


def _options(console: Console, options: tuple[Option, ...], limit: int) -> None:
    chosen = options[0]
    unit = "a GPU" if chosen.choice.gpus else "the instance"
    _heading(console, f"memory of {unit}: {gib(rows.total_memory(chosen))}")
    _bars(console, rows.segments(chosen))
    _heading(console, "meets every target, cheapest first")
    _ranking(console, rows.RANKING, [rows.ranking(option) for option in options[:limit]])
    _more(console, len(options) - limit)
    console.print()
    for line in (*chosen.costs.why, *chosen.notes):
        console.print(f"· {escape(line)}")
    _heading(console, "settings")
    _print(console, (), rows.settings(chosen.choice))


def _tuning(console: Console, options: tuple[TuningOption, ...], limit: int) -> None:
    _heading(console, f"memory of a GPU: {gib(options[0].fit.usable.mid)}")
    _bars(console, rows.tuning_segments(options[0]))
    _heading(console, "holds the fine-tuning, cheapest first")
    _ranking(console, rows.TUNING, [rows.tuning(option) for option in options[:limit]])
    _more(console, len(options) - limit)
    for note in options[0].fit.notes:
        console.print(f"· {escape(note)}")


def _ranking(console: Console, head: tuple[str, ...], ranked: list[tuple[str, ...]]) -> None:
    """Offer, hardware and figures, a line each; on a narrow terminal the figures stand below the offer."""
    if console.width >= WIDE:
        _print(console, head, ranked, numbers=range(2, len(head)))
        return
    for place, hardware, *figures in ranked:
        console.print(f"{escape(place)}: {escape(hardware)}")
        said = ", ".join(f"{name} {figure}" for name, figure in zip(head[2:], figures, strict=True))
        console.print(Padding(escape(said), (0, 0, 0, 4)))


def _more(console: Console, number: int) -> None:
    if number > 0:
        console.print(f"and {number} more; --limit shows them", style="dim")


def _bars(console: Console, segments: tuple[rows.Segment, ...]) -> None:
    most = sum(segment.size.mid for segment in segments) or 1.0
    table = _table(head=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    start = 0.0
    for segment in segments:
        left, right = round(start / most * BAR), round((start + segment.size.mid) / most * BAR)
        start += segment.size.mid
        fill = "░" if segment.kind == "spare" else "█"
        bar = " " * left + (fill * (right - left) or "▏")
        table.add_row(segment.name, bar.ljust(BAR), rows.spread(segment.size))
    console.print(table)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(escape(text), style="bold")


def _table(*, head: bool) -> Table:
    return Table(box=None, show_header=head, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def _print(console: Console, head: tuple[str, ...], body: Iterable[tuple[str, ...]], numbers: range = range(0)) -> None:
    """A table; `numbers` are the columns that stand on the right."""
    lines = list(body)
    if not lines:
        return
    table = _table(head=bool(head))
    for index in range(len(lines[0])):
        right = index in numbers
        title = head[index] if head else ""
        table.add_column(title, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    console.print(table)
