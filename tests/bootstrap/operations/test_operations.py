"""Operations as data: fixtures/OPERATION/CASE/{facts,desired}.json → expected.json. A new path is a new folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bootstrap.facts import Facts
from bootstrap.facts.model import Package
from bootstrap.operations import OPERATIONS, Put, Refusal, query
from bootstrap.operations.apt import unattended_content
from slipway.desired import HostDesired

FIXTURES = Path(__file__).parent / "fixtures"
BY_NAME = {operation.name: operation for operation in OPERATIONS}
SYSTEM = {"os": "debian:12", "arch": "amd64", "kernel": "6.1.0", "boot_id": "b1", "clock": "2026-11-24T10:00:00Z"}
DESIRED = {"release": "2026.10", "os": "debian:12", "packages": []}
CASES = sorted(path.parent.relative_to(FIXTURES) for path in FIXTURES.glob("*/*/facts.json"))


def outcome(case: Path) -> dict[str, Any]:
    facts = Facts.model_validate({"system": SYSTEM} | json.loads((FIXTURES / case / "facts.json").read_text()))
    desired = HostDesired.model_validate(DESIRED | json.loads((FIXTURES / case / "desired.json").read_text()))
    try:
        steps = BY_NAME[case.parent.name].plan(facts, desired)
    except Refusal as refusal:
        return {"refused": refusal.error.__name__, "what": refusal.what, "fix": refusal.fix}
    return {"why": steps.why, "steps": [step.as_data() for step in steps.steps]}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_operation(case: Path, pytestconfig: pytest.Config) -> None:
    found, golden = outcome(case), FIXTURES / case / "expected.json"
    if pytestconfig.getoption("--update-golden"):
        golden.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(golden.read_text()), "pytest --update-golden writes it anew"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_outcome_says_why(case: Path) -> None:
    found = outcome(case)
    assert found.get("why") or (found["what"] and found["fix"])


def test_every_operation_has_fixtures() -> None:
    assert {case.parent.name for case in CASES} == set(BY_NAME)


def test_unattended_upgrades_file_settles() -> None:
    desired = HostDesired.model_validate(DESIRED | {"packages": [{"name": "libc++1-x", "version": "1"}]})
    plan = BY_NAME["unattended-upgrades"].plan
    facts = Facts.model_validate({"system": SYSTEM})
    (put,) = plan(facts, desired).steps
    assert isinstance(put, Put)
    assert '"^libc\\+\\+1-x$";' in put.content
    after = facts.model_copy(update={"files": {put.path: put.content}})
    assert plan(after, desired).steps == ()
    assert put.content == unattended_content(desired)


def test_query_asks_for_what_operations_read() -> None:
    desired = HostDesired.model_validate(DESIRED | {"packages": [{"name": "curl", "version": "1"}]})
    asked = query(desired)
    assert asked.packages == (("curl", "1"),)
    assert "/etc/docker/daemon.json" in asked.files
    assert "/var/lib/slipway/archives" in asked.directories


def test_an_installed_package_is_ii_only() -> None:
    assert Package(version="1").installed
    assert not Package(version="1", status="iF").installed
