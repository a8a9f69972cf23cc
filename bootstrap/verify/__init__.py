"""Compares what is on a host with what was pinned: passed, failed or not ready, pin by pin.

What could not be read never comes here: `gather` raises before.
"""

from __future__ import annotations

from bootstrap.facts import Facts
from bootstrap.operations import Refusal
from bootstrap.operations.apt import UNATTENDED_PATH, unattended_content
from bootstrap.operations.docker import CONFIG_PATH, present, wanted_config
from bootstrap.operations.wanted import wanted
from bootstrap.verify.check import Check, Drift, equal, rendered
from bootstrap.verify.fitness import Unfit, unfit
from bootstrap.verify.gpu import lost_gpus, verify_gpu
from slipway.desired import HostDesired, Package


def verify(facts: Facts, desired: HostDesired) -> tuple[Check, ...]:
    """Every pin of `desired` against `facts`, the receipt aside."""
    checks = [equal("os", desired.os, facts.system.os)]
    for package in wanted(facts, desired):
        checks += _package(facts, package)
    checks += _docker(facts, desired)
    for image in desired.images:
        found = image.reference if present(facts, image.reference) else "no such image"
        checks.append(equal(f"images.{image.name}", image.reference, found))
    unattended = facts.files.get(UNATTENDED_PATH)
    checks.append(rendered(UNATTENDED_PATH, unattended_content(desired), unattended))
    checks += verify_gpu(facts, desired)
    return tuple(checks)


def drifts(facts: Facts, desired: HostDesired) -> tuple[Drift, ...]:
    """The pins that do not hold, and the release that the host says it carries where it is another."""
    found = [check.drift for check in verify(facts, desired) if check.status != "passed"]
    found += lost_gpus(facts) if desired.gpu else ()
    if facts.hold and desired.serving:
        found.append(Drift("hold", "none", "none of its engines starts"))
    receipt = facts.receipt or {}
    carries = str(receipt.get("release", "none"))
    if carries != desired.release:
        found.insert(0, Drift("release", desired.release, carries, receipt.get("time")))
    elif receipt.get("state") != "converged":
        found.insert(0, Drift("state", "converged", str(receipt.get("state", "none")), receipt.get("time")))
    return tuple(found)


def _package(facts: Facts, package: Package) -> list[Check]:
    pin = f"packages.{package.name}"
    found = facts.packages.get(package.name)
    move = facts.moves.get(package.name)
    since = move.at if move else None
    if found is None:
        return [equal(pin, package.version, "not installed", since)]
    if not found.installed:
        return [equal(pin, package.version, f"{found.version} half done (dpkg says {found.status})", since)]
    hold = equal(f"holds.{package.name}", "held", "held" if found.hold else "not held")
    return [equal(pin, package.version, found.version, since if found.version != package.version else None), hold]


def _docker(facts: Facts, desired: HostDesired) -> list[Check]:
    docker = facts.docker
    waking = docker.active in {"activating", "reloading"}
    active = Check("not_ready", "docker.active", "active", docker.active) if waking else None
    current = facts.files.get(CONFIG_PATH)
    try:
        config = wanted_config(desired, current)
    except Refusal as refusal:
        config = refusal.what
    return [
        active or equal("docker.active", "active", docker.active),
        equal("docker.enabled", "enabled", docker.enabled or "not there"),
        rendered(CONFIG_PATH, config, current),
        equal("docker.settings", "in use", "older than daemon.json" if docker.stale else "in use"),
    ]


__all__ = ["Check", "Drift", "Unfit", "drifts", "unfit", "verify"]
