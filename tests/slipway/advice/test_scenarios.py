"""The field's scenarios as data: `scenarios.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from slipway.advice import advise
from slipway.advice.types import Advice
from slipway.architectures import catalogue
from slipway.offers import offers
from slipway.workload import Workload

SCENARIOS = tomllib.loads((Path(__file__).parent / "scenarios.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    wanted = SCENARIOS[name]
    found = advise(
        catalogue.find(wanted["model"]),
        Workload.model_validate(wanted["workload"]),
        offers(),
        providers=wanted.get("providers"),
        gpus=wanted.get("gpus"),
    )
    assert found.chosen is not None, found.summary
    assert (found.device.verdict, found.chosen.setup.gpus > 0) == (wanted["device"], wanted["device"] == "gpu")
    for problem in problems(found, wanted):
        pytest.fail(f"{problem}\n{found.summary}\n{found.device}")


def problems(found: Advice, wanted: dict[str, Any]) -> list[str]:
    chosen = found.chosen
    assert chosen is not None
    leans = {item.name: item.leans for item in found.device.criteria}
    wrong = [f"{name} leans {leans[name]}" for name, side in wanted.get("leans", {}).items() if leans[name] != side]
    decisive = {item.name for item in found.device.criteria if item.decisive}
    checks = {
        "decisive": lambda value: value in decisive,
        "constraint": lambda value: found.several is not None and found.several.constraint == value,
        "gpus_per_replica": lambda value: chosen.setup.gpus >= value,
        "replicas": lambda value: chosen.replicas.count >= value,
        "hosts": lambda value: chosen.hosts == value,
        "first": lambda value: chosen.offer.gpu == value,
        "spot": lambda value: (chosen.costs.spot_per_month or chosen.costs.per_month) < chosen.costs.per_month,
        "burst": lambda value: (chosen.costs.burst_per_month or chosen.costs.per_month) < chosen.costs.per_month,
        "kv_share": lambda value: chosen.fit.kv_bytes_per_token * 32768 > value * chosen.fit.weights.mid,
    }
    return wrong + [
        f"{name} is not {wanted[name]}" for name, check in checks.items() if name in wanted and not check(wanted[name])
    ]
