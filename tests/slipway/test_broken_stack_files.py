"""Broken stack files as data: `broken/NAME.yaml`, and in `NAME.expected` every sentence that a user is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import SettingsError
from slipway.settings import parse_stack_file

BROKEN = Path(__file__).parent / "broken"
CASES = sorted(path.stem for path in BROKEN.glob("*.yaml"))


@pytest.mark.parametrize("name", CASES)
def test_every_problem_is_said(name: str, request: pytest.FixtureRequest) -> None:
    text = (BROKEN / f"{name}.yaml").read_text(encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        parse_stack_file(text, "Pulumi.stack.yaml")
    said = str(caught.value) + "\n"
    expected = BROKEN / f"{name}.expected"
    if request.config.getoption("--update-golden"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8"), f"update with: pytest {__file__} --update-golden"


def test_there_are_fifty_and_more() -> None:
    assert len(CASES) > 50
    assert {path.stem for path in BROKEN.glob("*.expected")} == set(CASES)
