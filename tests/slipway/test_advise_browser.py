"""The page of advice in a real browser: it draws what it should, asks for nothing, and no text lies on a plot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.cli.page import page
from tests.slipway.advised import advice

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--no-default-browser-check",
]  # fmt: skip

pytestmark = [
    pytest.mark.net,
    pytest.mark.slow,
]

OVERLAPS = """() => {
  const within = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const found = [];
  for (const svg of document.querySelectorAll("svg[role=img]")) {
    const area = svg.querySelector("rect.area").getBoundingClientRect();
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")];
    texts.forEach((text, index) => {
      const box = text.getBoundingClientRect();
      if (within(box, area)) found.push("on the plot: " + text.textContent);
      if (box.left < frame.left - 1 || box.right > frame.right + 1) found.push("cut off: " + text.textContent);
      if (box.top < frame.top - 1 || box.bottom > frame.bottom + 1) found.push("cut off: " + text.textContent);
      for (const other of texts.slice(index + 1)) {
        if (within(box, other.getBoundingClientRect())) found.push(text.textContent + " on " + other.textContent);
      }
    });
  }
  return found;
}"""

DRAWN = """() => [...document.querySelectorAll("svg[role=img]")].map(svg => {
  const area = svg.querySelector("rect.area").getBoundingClientRect();
  const shapes = [...svg.querySelectorAll("path.line, rect[class]:not(.area)")];
  const inside = shapes.filter(shape => {
    const box = shape.getBoundingClientRect();
    return box.left >= area.left - 2 && box.right <= area.right + 2 && (box.width > 0 || box.height > 0);
  });
  return [shapes.length, inside.length];
})"""

CONTRAST = """() => {
  const light = color => {
    const parts = color.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratio = color => (Math.max(light(color), paper) + 0.05) / (Math.min(light(color), paper) + 0.05);
  const texts = [...document.querySelectorAll("p, td, th, li, summary, h1, h2")].map(it => getComputedStyle(it).color);
  const marks = [...document.querySelectorAll("svg text")].map(it => getComputedStyle(it).fill);
  const lines = [...document.querySelectorAll("path.line")].map(it => getComputedStyle(it).stroke);
  return [Math.min(...[...texts, ...marks].map(ratio)), Math.min(...lines.map(ratio), 21)];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
@pytest.mark.parametrize("name", ["chat", "cpu", "batch", "nothing", "tuning", "day", "nasty"])
def test_the_page(browser: Any, tmp_path: Path, name: str, width: int, scheme: str) -> None:
    file = tmp_path / "advice.html"
    file.write_text(page(advice(name)), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(file.as_uri())
    tab.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    assert said == []
    assert asked == [file.as_uri()]
    assert tab.evaluate(OVERLAPS) == []
    for shapes, inside in tab.evaluate(DRAWN):
        assert shapes == inside > 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    text, line = tab.evaluate(CONTRAST)
    assert text >= 4.5, "WCAG 2.2, 1.4.3"
    assert line >= 3, "WCAG 2.2, 1.4.11"
    tab.close()


def test_a_table_opens_beside_each_figure(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "advice.html"
    file.write_text(page(advice("chat")), encoding="utf-8")
    tab = browser.new_page()
    tab.goto(file.as_uri())
    for summary in tab.locator("summary").all():
        summary.press("Enter")
    assert all(tab.locator("details table").nth(index).is_visible() for index in range(4))
    tab.close()
