"""The examples of docs/sizing.md and of docstrings say what the code does."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs" / "sizing.md"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "slipway").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


def test_the_page_s_examples() -> None:
    # A fence would count as the output of the line before it.
    text = re.sub("^```.*$", "", DOC.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = doctest.DocTestParser().get_doctest(text, {}, DOC.name, str(DOC), 0)
    assert len(found.examples) > 50
    assert doctest.DocTestRunner().run(found).failed == 0


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_docstrings(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0
    assert found.failed == 0
