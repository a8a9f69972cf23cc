"""Facts against pins: passed, failed, not ready, and since when."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap.facts import Facts
from bootstrap.operations.apt import unattended_content
from bootstrap.operations.docker import wanted_config
from bootstrap.verify import Drift, drifts, verify
from slipway.desired import HostDesired

SYSTEM = {"os": "debian:12", "arch": "amd64", "kernel": "6.1.0", "boot_id": "b1", "clock": "2026-11-24T10:00:00Z"}


@pytest.fixture
def whole(desired: HostDesired) -> dict[str, Any]:
    """Facts of a host where every pin holds."""
    return {
        "system": SYSTEM,
        "packages": {package.name: {"version": package.version, "hold": True} for package in desired.packages},
        "docker": {"active": "active", "enabled": "enabled"},
        "images": [{"id": "sha256:aa"}],
        "files": {
            "/etc/docker/daemon.json": wanted_config(desired, None),
            "/etc/apt/apt.conf.d/52slipway": unattended_content(desired),
        },
        "receipt": {"release": "2026.10", "state": "converged", "time": "2026-11-01T00:00:00Z"},
    }


def test_a_whole_host_has_no_drift(whole: dict[str, Any], desired: HostDesired) -> None:
    facts = Facts.model_validate(whole)
    assert {check.status for check in verify(facts, desired)} == {"passed"}
    assert drifts(facts, desired) == ()


@pytest.mark.parametrize(
    ("change", "drift"),
    [
        (
            {"packages": {"docker.io": {"version": "20.10", "hold": True}, "curl": {"version": "8.5", "hold": True}},
             "moves": {"curl": {"at": "2026-11-20T06:31:09", "version": "8.5"}}},
            Drift("packages.curl", "7.88", "8.5", "2026-11-20T06:31:09"),
        ),
        (
            {"packages": {"docker.io": {"version": "20.10", "hold": True}}},
            Drift("packages.curl", "7.88", "not installed"),
        ),
        (
            {"packages": {"docker.io": {"version": "20.10", "hold": True},
                          "curl": {"version": "7.88", "status": "iF", "hold": True}}},
            Drift("packages.curl", "7.88", "7.88 half done (dpkg says iF)"),
        ),
        (
            {"packages": {"docker.io": {"version": "20.10", "hold": True}, "curl": {"version": "7.88"}}},
            Drift("holds.curl", "held", "not held"),
        ),
        ({"images": []}, Drift("images.engine", "sha256:aa", "no such image")),
        ({"docker": {"active": "failed", "enabled": "enabled"}}, Drift("docker.active", "active", "failed")),
        ({"docker": {"active": "active", "enabled": ""}}, Drift("docker.enabled", "enabled", "not there")),
        (
            {"docker": {"active": "active", "enabled": "enabled", "stale": True}},
            Drift("docker.settings", "in use", "older than daemon.json"),
        ),
        ({"system": SYSTEM | {"os": "debian:13"}}, Drift("os", "debian:12", "debian:13")),
        (
            {"receipt": {"release": "2026.09", "state": "converged", "time": "2026-10-01T00:00:00Z"}},
            Drift("release", "2026.10", "2026.09", "2026-10-01T00:00:00Z"),
        ),
        (
            {"receipt": {"release": "2026.10", "state": "updating", "time": "2026-10-01T00:00:00Z"}},
            Drift("state", "converged", "updating", "2026-10-01T00:00:00Z"),
        ),
        ({"receipt": None}, Drift("release", "2026.10", "none")),
    ],
    ids=lambda value: value.pin if isinstance(value, Drift) else "",
)  # fmt: skip
def test_each_pin_drifts_alone(
    change: dict[str, Any], drift: Drift, whole: dict[str, Any], desired: HostDesired
) -> None:
    assert drifts(Facts.model_validate(whole | change), desired) == (drift,)


def test_a_daemon_that_wakes_up_is_not_ready(whole: dict[str, Any], desired: HostDesired) -> None:
    facts = Facts.model_validate(whole | {"docker": {"active": "activating", "enabled": "enabled"}})
    assert [check.status for check in verify(facts, desired) if check.status != "passed"] == ["not_ready"]


def test_files_that_others_changed(whole: dict[str, Any], desired: HostDesired) -> None:
    facts = Facts.model_validate(whole | {"files": {"/etc/docker/daemon.json": "{half"}})
    assert [str(drift) for drift in drifts(facts, desired)] == [
        "files./etc/docker/daemon.json: expected as rendered, found other content",
        "files./etc/apt/apt.conf.d/52slipway: expected as rendered, found not there",
    ]
