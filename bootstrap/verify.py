"""Compares what is on a host with what was pinned: passed, failed or not ready, pin by pin.

What could not be read never comes here: `gather` raises before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bootstrap.facts import Facts
from bootstrap.operations import Refusal
from bootstrap.operations.apt import UNATTENDED_PATH, unattended_content
from bootstrap.operations.docker import CONFIG_PATH, present, wanted_config
from slipway.desired import HostDesired, Package

Status = Literal["passed", "failed", "not_ready"]


@dataclass(frozen=True)
class Drift:
    """One pin that no longer holds. `since` is an ISO time, or None where nothing on the host tells it."""

    pin: str
    expected: str
    found: str
    since: str | None = None

    def __str__(self) -> str:
        since = f" since {self.since}" if self.since else ""
        return f"{self.pin}: expected {self.expected}, found {self.found}{since}"


@dataclass(frozen=True)
class Check:
    """One pin and how it stands. `not_ready` may pass by itself in a while."""

    status: Status
    pin: str
    expected: str
    found: str
    since: str | None = None

    @property
    def drift(self) -> Drift:
        return Drift(self.pin, self.expected, self.found, self.since)


def verify(facts: Facts, desired: HostDesired) -> tuple[Check, ...]:
    """Every pin of `desired` against `facts`, the receipt aside."""
    checks = [_equal("os", desired.os, facts.system.os)]
    for package in desired.packages:
        checks += _package(facts, package)
    checks += _docker(facts, desired)
    for image in desired.images:
        found = image.reference if present(facts, image.reference) else "no such image"
        checks.append(_equal(f"images.{image.name}", image.reference, found))
    unattended = facts.files.get(UNATTENDED_PATH)
    checks.append(_file(UNATTENDED_PATH, unattended_content(desired), unattended))
    return tuple(checks)


def drifts(facts: Facts, desired: HostDesired) -> tuple[Drift, ...]:
    """The pins that do not hold, and the release that the host says it carries where it is another."""
    found = [check.drift for check in verify(facts, desired) if check.status != "passed"]
    receipt = facts.receipt or {}
    carries = str(receipt.get("release", "none"))
    if carries != desired.release:
        found.insert(0, Drift("release", desired.release, carries, receipt.get("time")))
    elif receipt.get("state") != "converged":
        found.insert(0, Drift("state", "converged", str(receipt.get("state", "none")), receipt.get("time")))
    return tuple(found)


def _equal(pin: str, expected: str, found: str, since: str | None = None) -> Check:
    return Check("passed" if expected == found else "failed", pin, expected, found, since)


def _package(facts: Facts, package: Package) -> list[Check]:
    pin = f"packages.{package.name}"
    found = facts.packages.get(package.name)
    move = facts.moves.get(package.name)
    since = move.at if move else None
    if found is None:
        return [_equal(pin, package.version, "not installed", since)]
    if not found.installed:
        return [_equal(pin, package.version, f"{found.version} half done (dpkg says {found.status})", since)]
    hold = _equal(f"holds.{package.name}", "held", "held" if found.hold else "not held")
    return [_equal(pin, package.version, found.version, since if found.version != package.version else None), hold]


def _docker(facts: Facts, desired: HostDesired) -> list[Check]:
    docker = facts.docker
    waking = docker.active in {"activating", "reloading"}
    active = Check("not_ready", "docker.active", "active", docker.active) if waking else None
    current = facts.files.get(CONFIG_PATH)
    try:
        wanted = wanted_config(desired, current)
    except Refusal as refusal:
        wanted = refusal.what
    return [
        active or _equal("docker.active", "active", docker.active),
        _equal("docker.enabled", "enabled", docker.enabled or "not there"),
        _file(CONFIG_PATH, wanted, current),
        _equal("docker.settings", "in use", "older than daemon.json" if docker.stale else "in use"),
    ]


def _file(path: str, wanted: str, found: str | None) -> Check:
    said = "not there" if found is None else "as rendered" if found == wanted else "other content"
    return _equal(f"files.{path}", "as rendered", said)
