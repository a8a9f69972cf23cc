"""Advice as one HTML page that needs nothing else: no script, no font, no request to anywhere.

The figures are inline SVG, each with a title, a description and a table of the same values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from slipway import speed
from slipway.advice.texts import count, euro, gib, seconds, share
from slipway.advice.types import Advice, Option, TuningOption
from slipway.cli import advice_rows as rows
from slipway.cli import plots
from slipway.cli.plots import Bars, Mark, Plot, Series, band, doubling_axis, line, stacked, stairs, x_axis, y_axis
from slipway.estimates import Range
from slipway.offers import HOURS_PER_MONTH
from slipway.speed.types import Point
from slipway.units import GIB
from slipway.workload import FullWorkload

COMPARED = 5
"""kinds of hardware in one figure; more lines could not be told apart"""

DEAR = 5.0
"""times the first option: what costs or takes more would press all other lines flat"""

LOADS = 160
"""loads at which the cost is computed"""

REACH = 2.0
"""the load axis ends at this many times the busiest hour"""


def page(advice: Advice) -> str:
    """The page. Every text in it is escaped, whatever a model or an offer is called."""
    context: dict[str, Any] = {
        "advice": advice,
        "chosen": advice.chosen,
        "rows": rows,
        "memory": memory_bars(advice),
        "memory_table": memory_table(advice),
        "cost": cost_plot(advice),
        "cost_table": cost_table(advice),
        "latency": latency_plots(advice),
        "latency_table": latency_table(advice),
        "plots": plots,
        "seconds": seconds,
        "share": share,
        "count": count,
        "euro": euro,
    }
    return _template().render(context)


@cache
def _template() -> jinja2.Template:
    text = resources.files("slipway.cli").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)


def distinct(options: Iterable[Option], most: int = COMPARED) -> tuple[Option, ...]:
    """The first option of each kind of hardware, in their order: the same GPU in two regions is one line."""
    kinds: dict[tuple[object, ...], Option] = {}
    for option in options:
        offer = option.offer
        kinds.setdefault((offer.gpu or offer.cpu, option.choice.gpus or offer.vcpus), option)
    return tuple(kinds.values())[:most]


def distinct_tuning(options: Iterable[TuningOption], most: int = COMPARED) -> tuple[TuningOption, ...]:
    """The same of a fine-tuning."""
    kinds: dict[tuple[object, ...], TuningOption] = {}
    for option in options:
        kinds.setdefault((option.offer.gpu, option.gpus), option)
    return tuple(kinds.values())[:most]


def memory_bars(advice: Advice) -> Bars | None:
    """What fills one GPU of each kind of hardware, all on one scale; None where nothing holds the model."""
    shown = _memory(advice)
    if not shown:
        return None
    parts = [
        (label, detail, [(part.kind, part.name, part.size.mid / GIB) for part in found])
        for label, detail, found in shown
    ]
    first = ", ".join(f"{part.name} {gib(part.size.mid)}" for part in shown[0][2])
    return stacked("What fills one GPU", f"On {shown[0][0]}: {first}.", "GiB", parts)


def memory_table(advice: Advice) -> tuple[tuple[str, ...], ...]:
    """The bars' values with their bounds: a head, then a row a part."""
    return (
        ("runs on", "part", "size"),
        *((label, part.name, rows.spread(part.size)) for label, _, found in _memory(advice) for part in found),
    )


def _memory(advice: Advice) -> list[tuple[str, str, tuple[rows.Segment, ...]]]:
    """Label, detail and parts of each bar."""
    found = [
        (
            rows.hardware(option.offer, option.choice.gpus),
            gib(rows.total_memory(option)) + (" a GPU" if option.choice.gpus else ""),
            rows.segments(option),
        )
        for option in distinct(advice.options)
    ]
    return found or [
        (rows.hardware(option.offer, option.gpus), f"{gib(option.fit.usable.mid)} a GPU", rows.tuning_segments(option))
        for option in distinct_tuning(advice.tuning)
    ]


def hosts_at(option: Option, workload: FullWorkload, rate: float) -> int:
    """Hosts that carry `rate` requests a second in every hour; none for no requests."""
    if rate <= 0:
        return 0
    needed = speed.replicas(option.capacity, dataclasses.replace(workload, profile=(rate,)))
    return math.ceil(needed.count / option.choice.replicas)


def monthly_at(option: Option, workload: FullWorkload, rate: float) -> float:
    """Euro a month for hosts that carry `rate` requests a second; one host at least."""
    each = option.costs.per_hour / option.hosts * HOURS_PER_MONTH
    return max(1, hosts_at(option, workload, rate)) * each


def cost_plot(advice: Advice) -> Plot | None:
    """Euro a month against requests a second; None where nothing was chosen, or nothing costs anything."""
    shown, peak = _priced(advice), _asked(advice.workload)
    if not shown or not peak:
        return None
    when = "on average" if advice.workload.mode == "batch" else "in the busiest hour"
    x = x_axis(f"requests a second {when}", 0, REACH * peak)
    loads = [x.high * index / LOADS for index in range(LOADS + 1)]
    points = [[(rate, monthly_at(option, advice.workload, rate)) for rate in loads] for option in shown]
    y = y_axis("€ a month", max(cost for costs in points for _, cost in costs))
    lines = tuple(
        Series(rows.hardware(option.offer, option.choice.gpus), style, stairs(x, y, costs))
        for style, (option, costs) in enumerate(zip(shown, points, strict=True))
    )
    description = (
        f"Cost a month of {count(len(shown), 'kind')} of hardware from no load to {x.high:g} requests a second. "
        f"At {peak:.3g}, the expected load, {lines[0].name} costs {euro(shown[0].costs.per_month)}."
    )
    mark = Mark(f"expected: {peak:.3g}", x.at(peak))
    return Plot("cost", "Cost against load", description, x, y, lines, upright=(mark,))


def _priced(advice: Advice) -> tuple[Option, ...]:
    """The options whose cost is compared; none where the first costs nothing."""
    most = advice.options[0].costs.per_month * DEAR if advice.options else 0.0
    return distinct(option for option in advice.options if 0 < option.costs.per_month <= most)


def _asked(workload: FullWorkload) -> float:
    """Requests a second that hosts are counted for: of the busiest hour, on average where nobody waits."""
    return workload.mean if workload.mode == "batch" else workload.peak


def cost_table(advice: Advice) -> tuple[tuple[str, ...], ...]:
    """The cost plot's values: a head, then a row a load."""
    shown, peak = _priced(advice), _asked(advice.workload)
    head = ("requests/s", *(rows.hardware(option.offer, option.choice.gpus) for option in shown))
    loads = [peak * factor for factor in (0.25, 0.5, 1.0, 1.5, 2.0)]
    return (
        head,
        *((f"{rate:.3g}", *(euro(monthly_at(option, advice.workload, rate)) for option in shown)) for rate in loads),
    )


def latency_plots(advice: Advice) -> tuple[Plot, ...]:
    """Time per token and time to the first token against requests at once on one replica."""
    shown = tuple(option for option in distinct(advice.options) if len(option.curve) > 1)
    if not shown:
        return ()
    workload = advice.workload
    found = (
        _latency(shown, "token", "Time per token against concurrency", workload.per_token),
        _latency(shown, "first", "Time to the first token against concurrency", workload.first_token),
    )
    return tuple(plot for plot in found if plot is not None)


def latency_table(advice: Advice) -> tuple[tuple[str, ...], ...]:
    """The latency plots' values: a head, then a row for each number of requests at once on the first option."""
    if not advice.options or not advice.options[0].curve:
        return ()
    head = ("at once", "each token", "low", "high", "first token", "low", "high")
    bounds = ("mid", "low", "high")
    return (
        head,
        *(
            (
                str(point.batch),
                *(seconds(getattr(point.per_token, bound)) for bound in bounds),
                *(seconds(getattr(point.first_token_p95, bound)) for bound in bounds),
            )
            for point in advice.options[0].curve
        ),
    )


def _value(point: Point, name: str) -> Range:
    return point.per_token if name == "token" else point.first_token_p95


def _latency(shown: Sequence[Option], name: str, title: str, target: float) -> Plot | None:
    """None where it takes no time at all: a model that makes embeddings has no second token."""
    chosen = shown[0]
    best = chosen.capacity.best
    slow = DEAR * _value(chosen.curve[0], name).mid
    shown = [option for option in shown if _value(option.curve[0], name).mid <= slow]
    x = doubling_axis("requests at once on one replica", max(option.curve[-1].batch for option in shown))
    values = [_value(point, name).mid for option in shown for point in option.curve]
    values += [_value(point, name).high for point in chosen.curve]
    if not max(values):
        return None
    wanted = [target] if math.isfinite(target) else []
    # A target far above everything would press the lines flat; so would lines that shoot up far beyond it.
    wanted = [value for value in wanted if value < 2 * max(values)]
    most = min(max(values + wanted), 1.6 * max([_value(best, name).high, *wanted])) if best else max(values)
    unit, factor = ("s", 1.0) if most >= 2 else ("ms", 1000.0)
    y = y_axis(unit, most * factor)

    def points(option: Option, bound: str) -> list[tuple[float, float]]:
        return [(float(p.batch), getattr(_value(p, name), bound) * factor) for p in option.curve]

    lines = tuple(
        Series(rows.hardware(option.offer, option.choice.gpus), style, line(x, y, points(option, "mid")))
        for style, option in enumerate(shown)
    )
    area = Series(lines[0].name, 0, band(x, y, points(chosen, "low"), points(chosen, "high")))
    across = tuple(Mark(f"target {seconds(value)}", y.at(value * factor)) for value in wanted)
    upright = (Mark(f"most within targets: {best.batch}", x.at(float(best.batch))),) if best else ()
    described = f"{seconds(_value(chosen.curve[0], name).mid)} alone"
    if best is not None:
        described += f", {seconds(_value(best, name).mid)} with {best.batch} at once"
    description = f"On {lines[0].name}: {described}. The shaded area is the estimate's range."
    return Plot(f"latency-{name}", title, description, x, y, lines, (area,), across, upright)
