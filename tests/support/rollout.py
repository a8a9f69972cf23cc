"""One roll-out of a fleet under load: what `pulumi up` says while it runs, and what it did to each host."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.gpu_stack import GpuStack
from tests.support.pulumi import Run, Started
from tests.support.traffic import Load, load

Spans = dict[tuple[str, str], tuple[float, float]]
"""(kind, name) of a resource that was changed → when Pulumi began with it and was done, in seconds since its start"""


@dataclass(frozen=True)
class HostRolled:
    """What a roll-out did to one host, as its clients and its receipt saw it."""

    name: str
    wave: int
    before: str
    after: str
    """releases that its receipt names"""
    out: float
    """seconds without traffic"""
    answered: int
    failed: int
    """requests to the fleet while it was without"""
    steps: dict[str, float]
    """seconds of each step, of a host that got there"""
    said: str
    """the error that the run ended with on it"""


@dataclass(frozen=True)
class Rolled:
    """One `pulumi up` under load."""

    run: Run
    load: Load
    hosts: tuple[HostRolled, ...]
    spans: Spans = field(default_factory=dict)


def roll(stack: GpuStack, release: str, tell: Callable[[str], object]) -> Rolled:
    """Brings the fleet to `release` while clients ask it; `tell` hears what the run says."""
    before, (steps_before, _) = stack.releases(), stack.seconds_and_waves()
    stack.write(release=release)
    with load(stack.endpoints()) as met:
        run, spans = follow(stack.project.start("up"), tell)
    after, (steps, waves) = stack.releases(), stack.seconds_and_waves()
    errors = _errors(run)
    hosts = []
    for name in before:
        out = met.out.get(name, [])
        counts = [met.between(*interval) for interval in out]
        hosts.append(
            HostRolled(
                name=name,
                wave=waves[name],
                before=before[name],
                after=after[name],
                out=sum(end - begin for begin, end in out),
                answered=sum(answered for answered, _ in counts),
                failed=sum(failed for _, failed in counts),
                steps=steps[name] if steps[name] != steps_before[name] else {},
                said=errors.get(name, ""),
            )
        )
    return Rolled(run, met, tuple(sorted(hosts, key=lambda host: (host.wave, host.name))), spans)


def follow(started: Started, tell: Callable[[str], object]) -> tuple[Run, Spans]:
    """To the end of a run; `tell` hears each sentence as it is said. An interrupt lets the run end first."""
    spans: Spans = {}
    try:
        position = 0
        while started.process.poll() is None:
            if started.events.exists():
                with started.events.open() as events:
                    events.seek(position)
                    for line in iter(events.readline, ""):
                        if not line.endswith("\n"):
                            break  # the rest of it comes
                        position += len(line.encode())
                        event = json.loads(line)
                        _tell(event, tell)
                        _note(event, time.monotonic() - started.begun, spans)
            time.sleep(0.2)
    except BaseException:
        started.interrupt()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.process.wait(60)
        raise
    finally:
        done = started.wait()
    return done, spans


def _note(event: dict[str, Any], now: float, spans: Spans) -> None:
    begins = "resourcePreEvent" in event
    metadata = (event.get("resourcePreEvent") or event.get("resOutputsEvent") or {}).get("metadata")
    if metadata is None or metadata["op"] == "same":
        return
    key = (metadata["type"].rpartition(":")[2], metadata["urn"].rpartition("::")[2])
    spans[key] = (now, now) if begins else (spans.get(key, (now, now))[0], now)


def _tell(event: dict[str, Any], tell: Callable[[str], object]) -> None:
    said = event.get("diagnosticEvent") or {}
    if said.get("severity") in ("info", "warning", "error", "info#err") and not said.get("ephemeral"):
        for line in _plain_text(said["message"]).splitlines():
            tell(line)


def _errors(run: Run) -> dict[str, str]:
    """Host → the sentence that its resource failed with."""
    found: dict[str, str] = {}
    for event in run.events:
        said = event.get("diagnosticEvent") or {}
        if said.get("severity") == "error" and ":Host::" in said.get("urn", ""):
            text = _plain_text(said["message"])
            found[said["urn"].rsplit("::", 1)[-1]] = " ".join(text.replace("1 error occurred:", "").split()).strip("* ")
    return found


def _plain_text(message: str) -> str:
    return re.sub(r"<\{%[^%]*%\}>", "", message)
