"""What the gates between the waves of a plan are told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.stacks.conftest import HOST_KEY, built
from tests.support.mocks import Graph, run_program

INVENTORY = [{"name": f"h{i}", "address": f"192.0.2.{i}", "host_key": HOST_KEY} for i in range(1, 13)]


def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **config: object) -> Graph:
    built(tmp_path)
    settings = {
        "provider": "ssh",
        "release": "local-2026.11",
        "model": {"name": "smollm2-135m-instruct", "context": 1024},
        "ssh": {"inventory": INVENTORY},
        "rollout": {"canary": 1, "wave": 2, "bake": "1m"},
        **config,
    }
    text = yaml.safe_dump({"config": {f"slipway:{name}": value for name, value in settings.items()}})
    return run_program(text, tmp_path, monkeypatch)


def test_a_gate_watches_its_wave_and_compares_with_later_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = {asked.name: asked.inputs for asked in graph(tmp_path, monkeypatch).of("slipway:index:Gate")}
    canary, last = gates["wave-0"], gates["wave-5"]
    assert [host["name"] for host in canary["connections"]] == ["h1"]
    assert [host["name"] for host in canary["peers"]] == ["h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9"]
    assert [host["name"] for host in last["peers"]] == ["h12"]
    assert canary["engines"] == ["http://127.0.0.1:9000/metrics"]
    assert canary["limits"] == {
        "errors": 0.01, "latency": 1.5, "first_token": 1.5, "per_token": 1.25, "min_requests": 20,
    }  # fmt: skip
    limits = {"errors": "5%", "per_token": 3}
    rollout = {"canary": 1, "wave": 2, "limits": limits}
    told = graph(tmp_path, monkeypatch, rollout=rollout).of("slipway:index:Gate")[0].inputs["limits"]
    assert (told["errors"], told["per_token"], told["latency"]) == (0.05, 3, 1.5)


def test_a_gate_asks_again_when_only_what_is_below_the_service_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def triggers(**config: object) -> object:
        return graph(tmp_path, monkeypatch, **config).of("slipway:index:Gate")[0].inputs["triggers"]

    before = triggers()
    assert triggers() == before
    assert triggers(container={"registry_mirrors": ["https://mirror.invalid"]}) != before


def test_hosts_and_services_know_whom_to_ask_before_a_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other waves, without the key that opens them, which is that of the host itself."""
    rollout = {"canary": 1, "wave": 2, "max_unavailable": 3}
    made = graph(tmp_path, monkeypatch, rollout=rollout)
    for kind in ("Host", "Service"):
        told = {asked.name: asked.inputs for asked in made.of(f"slipway:index:{kind}")}
        assert [peer["name"] for peer in told["h2"]["peers"]] == ["h1", *(f"h{index}" for index in range(4, 13))]
        assert told["h2"]["peers_out"] == 1
        assert told["h1"]["peers_out"] == 2
        peer = told["h2"]["peers"][0]
        assert (peer["address"], peer["host_key"]) == ("192.0.2.1", HOST_KEY)
        assert "private_key" not in peer


def test_a_host_alone_has_nobody_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = graph(tmp_path, monkeypatch, ssh={"inventory": INVENTORY[:1]}, rollout={"canary": 1})
    assert "peers" not in made.of("slipway:index:Host")[0].inputs
