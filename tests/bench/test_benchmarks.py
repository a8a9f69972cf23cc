"""The benchmarks' own parts: arguments, what they read from others' output, and the report. Nothing is timed here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from bench import advice, bootstrap, cluster, hosts, noop, preview, up
from bench.peers.steps import steps_of
from bench.report import Report
from bench.running import BenchError, run_main, timed
from slipway.artifacts import parse_artifacts
from slipway.plan import make_plan
from slipway.releases import load_lock, load_release
from slipway.settings import settings_from_config

REPORTS = {
    "noop": noop.report(
        {"slipway": [1.0, 3.0, 2.0], "pyinfra": [8.0], "ansible-core": [60.0], "floor": [1.0]}, {}, 20, 15
    ),
    "bootstrap": bootstrap.report({"slipway": [21.0], "script": [20.0]}, 23),
    "preview": preview.report({"slipway": [6.0], "bare": [4.0]}, 200, {"slipway:index:Host": 200}, {"pulumi": "3"}),
    "up": up.report(90.0, [4.0, 5.0, 6.0]),
    "cluster": cluster.report(
        {cluster.FIRST: [20.0], cluster.AGAIN: [5.0], cluster.FLOOR: [10.0], cluster.RENDER: [0.5]}, 200, 100
    ),
}
RATIOS = {
    "noop": {"pyinfra / slipway": 4.0, "ansible-core / slipway": 30.0, "slipway / floor": 2.0},
    "bootstrap": {"slipway / script": 1.05},
    "preview": {"slipway / bare": 1.5},
    "up": {"again / first": 0.06},
    "cluster": {"up / kubectl": 2.0, "up again / up": 0.25},
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_ends_with_one_line_of_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    REPORTS[name].show()
    lines = capsys.readouterr().out.rstrip("\n").split("\n")
    said = json.loads(lines[-1])
    assert said["benchmark"] == name
    assert said["ratios"] == RATIOS[name]
    assert all(contender in said["seconds"] for contender in said["median_seconds"])
    assert said["versions"]["python"]
    assert any("median" in line for line in lines)


def test_a_ratio_needs_both_contenders() -> None:
    assert Report("x", "y", {"a": [1.0], "b": []}, {"a / b": ("a", "b")}).quotients() == {}


@pytest.mark.parametrize(
    ("module", "argv", "expected"),
    [
        (noop, [], {"hosts": 20, "rounds": 3}),
        (noop, ["--hosts", "2", "--rounds", "1"], {"hosts": 2, "rounds": 1}),
        (bootstrap, [], {"rounds": 3}),
        (preview, ["--hosts", "5"], {"hosts": 5, "rounds": 3}),
        (up, ["--rounds", "2"], {"rounds": 2}),
        (cluster, ["--pods", "20"], {"pods": 20, "rounds": 3}),
        (advice, ["--rounds", "2"], {"rounds": 2}),
    ],
)
def test_arguments(module: ModuleType, argv: list[str], expected: dict[str, int]) -> None:
    assert vars(module.parse(argv)) == expected


def test_advice_is_timed_on_every_pair() -> None:
    said = json.loads(advice.run(1, ["Qwen/Qwen3-0.6B", "Qwen/Qwen3-8B"]).json_line())
    assert said["pairs"] == said["models"] * said["offers"] == 2 * said["offers"]
    assert set(said["seconds"]) == {advice.RANKED, advice.ADVISED}


def test_the_steps_of_the_peers_are_those_of_the_release() -> None:
    desired = hosts.desired_host()
    steps = steps_of(desired)
    assert 14 <= steps.count <= 16
    assert steps.packages == {package.name: package.version for package in desired.packages}
    assert {file["path"] for file in steps.files} == {"/etc/docker/daemon.json", "/etc/apt/apt.conf.d/52slipway"}


def test_the_script_makes_the_folders_and_settings_of_a_host() -> None:
    script = bootstrap.SCRIPT.read_text()
    steps = steps_of(hosts.desired_host())
    assert all(folder["path"] in script for folder in steps.folders)
    settings = json.loads(script[script.index('\n{\n  "live') : script.index("\nEND")])
    assert settings == json.loads(next(file["content"] for file in steps.files if file["path"].endswith("daemon.json")))


RECAP = """
PLAY RECAP *****
h1                         : ok=11   changed=0    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
h2                         : ok=11   changed=1    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
h3                         : ok=0    changed=0    unreachable=1    failed=0    skipped=0    rescued=0    ignored=0
"""


def test_ansible_recap() -> None:
    assert noop.ansible_changes(RECAP) == {"h1": 0, "h2": 1, "h3": 1}


def test_pyinfra_results() -> None:
    operations = [
        {"name": "Folder", "success": [], "error": [], "no_change": ["h1", "h2"]},
        {"name": "Holds", "success": ["h2"], "error": ["h3"], "no_change": ["h1"]},
    ]
    output = json.dumps({"plan": [], "results": {"operations": operations, "failed_hosts": ["h3"]}})
    assert noop.pyinfra_changes(output) == {"h1": [], "h2": ["Holds"], "h3": ["failed", "Holds"]}


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"h1": [], "h2": ["files"]}, "changed something"), ({"h1": []}, "1 of 2 hosts"), ({}, "0 of 2 hosts")],
)
def test_a_contender_that_changes_something_is_no_noop(changed: dict[str, object], says: str) -> None:
    with pytest.raises(BenchError, match=says):
        noop.require_no_change("peer", changed, 2)


def test_no_change_is_fine() -> None:
    noop.require_no_change("peer", {"h1": 0, "h2": []}, 2)


def test_who_goes_first_alternates() -> None:
    assert bootstrap.order(1) == bootstrap.order(2)[::-1]


def test_the_stack_of_the_preview_is_a_right_one() -> None:
    config = {key.removeprefix("slipway:"): value for key, value in preview.stack_config(300).items()}
    settings = settings_from_config(config, "bench")
    inventory = settings.ssh.inventory
    assert len({host.address for host in inventory}) == 300
    said = json.dumps(preview.artifacts())
    release = load_release(settings.release)
    plan = make_plan(settings, release, load_lock(release.name), parse_artifacts(said).images)
    assert len(plan.hosts) == 300


def test_resources_from_an_event_log() -> None:
    def event(kind: str, name: str, inputs: dict[str, object]) -> str:
        urn = f"urn:pulumi:test::throwaway::{kind}::{name}"
        metadata = {"type": kind, "urn": urn, "new": {"custom": True, "inputs": inputs}}
        return json.dumps({"resourcePreEvent": {"metadata": metadata}})

    secret = {preview.SIGNATURE: "1b47061264138c4ac30d75fd1eb44270"}
    log = [
        '{"preludeEvent": {}}',
        event("pulumi:pulumi:Stack", "s", {}),
        event("slipway:index:Host", "h1", {"connection": {"private_key": secret, "ports": [1, {"a": secret}]}}),
    ]
    (found,) = preview.registered(log)
    assert (found.kind, found.name, found.custom) == ("slipway:index:Host", "h1", True)
    assert found.inputs == {"connection": {"private_key": "secret", "ports": [1, {"a": "secret"}]}}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Resources:\n    7 unchanged\n\nDuration: 1s\n", {}),
        ("Resources:\n    + 7 created\n", {"created": 7}),
        ("Resources:\n    ~ 1 updated\n    +-2 replaced\n    4 unchanged\n", {"updated": 1, "replaced": 2}),
    ],
)
def test_pulumi_summary(output: str, expected: dict[str, int]) -> None:
    assert up.changes(output) == expected


def test_an_output_without_a_summary_is_no_success() -> None:
    with pytest.raises(BenchError, match="summary"):
        up.changes("make: Nothing to be done\n")


def test_a_failed_contender_shows_its_last_lines(tmp_path: Path) -> None:
    done = timed("peer", [sys.executable, "-c", "print(input())"], cwd=tmp_path, stdin=b"hello\n")
    assert done.stdout == "hello\n"
    assert done.seconds > 0
    with pytest.raises(BenchError, match=r"(?s)peer: exit status 3.*broken"):
        timed("peer", ["sh", "-c", "echo broken >&2; exit 3"])


def test_a_fault_ends_in_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.running.signal.signal", lambda *_: None)

    def main() -> None:
        raise BenchError("nothing works", where="bench", fix="Mend it.")

    with pytest.raises(SystemExit) as ended:
        run_main(main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "bench: nothing works. Mend it.\n"
