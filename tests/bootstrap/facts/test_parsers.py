"""Each fact's parser on what hosts really print. A new path is a new pair of files: fixtures/FACT/CASE.txt, .json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.facts import FACTS, MEASURES, Facts

FIXTURES = Path(__file__).parent / "fixtures"
BY_NAME = {fact.name: fact for fact in (*FACTS, *MEASURES)}
SYSTEM = {"os": "debian:12", "arch": "amd64", "kernel": "6.1.0", "boot_id": "b1", "clock": "2026-11-24T10:00:00Z"}
CASES = sorted(path.relative_to(FIXTURES).with_suffix("") for path in FIXTURES.glob("*/*.txt"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parser(case: Path, pytestconfig: pytest.Config) -> None:
    text = (FIXTURES / case).with_suffix(".txt").read_text()
    fields = BY_NAME[case.parent.name].parse(text)
    facts = Facts.model_validate({"system": SYSTEM} | fields)
    found = json.loads(facts.model_dump_json(include=set(fields)))
    golden = (FIXTURES / case).with_suffix(".json")
    if pytestconfig.getoption("--update-golden"):
        golden.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(golden.read_text()), "pytest --update-golden writes it anew"


def test_every_fact_has_fixtures() -> None:
    assert {case.parent.name for case in CASES} == set(BY_NAME)


@pytest.mark.parametrize(
    ("name", "text"),
    [("system", "ID=debian\n"), ("packages", "no number\n"), ("docker", "")],
)
def test_what_cannot_be_parsed_raises(name: str, text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        BY_NAME[name].parse(text)
