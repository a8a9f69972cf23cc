"""The page of advice: whole, escaped, and needing nothing else; and the geometry of its plots."""

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.cli import plots
from slipway.cli.page import cost_plot, distinct, hosts_at, latency_plots, memory_bars, monthly_at, page
from tests.slipway.advised import NASTY, advice

ALL = ("chat", "cpu", "batch", "nothing", "tuning", "day", "free", "nasty", "embed")
VOID = {"meta"}


class Outline(HTMLParser):
    """Checks that tags close in order, and notes what is in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title", "desc"):
            self.text += data + " "


@pytest.mark.parametrize("name", ALL)
def test_the_page_is_well_formed_and_refers_to_nothing_outside(name: str) -> None:
    text = page(advice(name))
    outline = Outline(text)
    tags = {tag for tag, _ in outline.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form"}
    for _, attributes in outline.tags:
        assert not {"src", "href", "onload", "onclick"} & set(attributes)
        assert str(attributes.get("clip-path", "url(#")).startswith("url(#")
    assert not re.search(r"@import|@font-face|url\((?!#)", text)
    identities = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    for word in ("nan", "inf", "None(?! of)", "Undefined"):
        assert not re.search(rf"\b{word}\b", outline.text), word


@pytest.mark.parametrize("name", ALL)
def test_every_figure_has_a_title_a_description_and_a_table(name: str) -> None:
    text = page(advice(name))
    outline = Outline(text)
    for attributes in [attributes for tag, attributes in outline.tags if tag == "svg" and "role" in attributes]:
        title, description = str(attributes["aria-labelledby"]).split()
        assert f'<title id="{title}">' in text
        assert len(text.split(f'<desc id="{description}">')[1].split("</desc>")[0]) > 20
    figures = [str(attributes["id"]) for tag, attributes in outline.tags if tag == "figure"]
    kinds = {figure.split("-")[1] for figure in figures}
    assert text.count("The same as a table") == len(kinds), "one for both of latency"


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("chat", ["figure-memory", "figure-cost", "figure-latency-token", "figure-latency-first"]),
        ("cpu", ["figure-memory", "figure-cost", "figure-latency-token", "figure-latency-first"]),
        ("free", ["figure-memory", "figure-latency-token", "figure-latency-first"]),
        ("embed", ["figure-memory", "figure-cost", "figure-latency-first"]),
        ("tuning", ["figure-memory"]),
        ("nothing", []),
    ],
)
def test_figures(name: str, figures: list[str]) -> None:
    outline = Outline(page(advice(name)))
    assert [attributes["id"] for tag, attributes in outline.tags if tag == "figure"] == figures


def test_names_are_escaped() -> None:
    text = page(advice("nasty"))
    assert NASTY not in text
    assert "&lt;script&gt;" in text


def test_what_is_said_is_in_it() -> None:
    found = advice("chat")
    text = Outline(page(found)).text
    chosen = found.chosen
    assert chosen is not None
    assert chosen.offer.instance in text
    for item in found.workload.assumed:
        assert item.why in text
    for criterion in found.device.criteria:
        assert criterion.figure in text
    for rejection in found.rejections:
        assert rejection.why in text
    for why in chosen.choice.why.values():
        assert why in text


def test_cost_follows_the_load() -> None:
    found = advice("day")
    for option in found.options:
        costs = [monthly_at(option, found.workload, rate) for rate in (0.0, 0.1, 1.0, 12.0, 40.0)]
        assert costs == sorted(costs)
        assert hosts_at(option, found.workload, found.workload.peak) == option.hosts
    plot = cost_plot(found)
    assert plot is not None
    assert plot.upright[0].at == plot.x.at(12.0)


def test_the_first_of_each_kind_of_hardware_is_compared() -> None:
    options = advice("chat").options
    assert distinct((*options, *options)) == distinct(options)
    assert len(distinct(options, 2)) == 2


def test_a_target_that_is_near_is_drawn() -> None:
    token, first = latency_plots(advice("chat"))
    assert [mark.text for mark in token.across] == ["target 0.1 s"]
    assert token.y.high >= 100
    assert first.across == ()
    assert token.upright[0].text.startswith("most within targets: ")


def test_bars_end_where_the_memory_does() -> None:
    bars = memory_bars(advice("chat"))
    assert bars is not None
    for bar, option in zip(bars.bars, distinct(advice("chat").options), strict=True):
        last = bar.parts[-1]
        device = option.setup.device
        assert last.x + last.width == pytest.approx(bars.x.at(device.usable / 2**30), abs=2)  # type: ignore[union-attr]


bounded = st.floats(1e-6, 1e9)


@given(st.floats(0, 1e6), bounded, st.integers(2, 12))
def test_ticks_reach_from_end_to_end(low: float, span: float, most: int) -> None:
    found = plots.ticks(low, low + span, most)
    slack = 1e-6 * (low + span)
    assert found[0] <= low + slack
    assert found[-1] >= low + span - slack
    assert 2 <= len(found) <= most + 3
    assert list(found) == sorted(set(found))


@given(bounded, st.floats(0, 1))
def test_an_axis_places_values_between_its_ends(high: float, share: float) -> None:
    for axis in (plots.x_axis("x", 0, high), plots.y_axis("y", high)):
        at = axis.at(share * high)
        assert min(axis.start, axis.end) <= at <= max(axis.start, axis.end)
    doubling = plots.doubling_axis("x", max(high, 1.0))
    assert doubling.high >= high
    assert len(doubling.ticks) <= 11
    assert math.isfinite(doubling.at(1.0 + share))
