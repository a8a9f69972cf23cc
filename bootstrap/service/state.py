"""What a host has of a service, read in one round trip."""

from __future__ import annotations

import json
import posixpath
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from bootstrap.facts.runtime import properties_of
from bootstrap.service import model_files
from bootstrap.service.bundle import Manifest
from bootstrap.service.layout import SERVICES, bundles_path, part, parts, record_path
from bootstrap.session import Command, Session, quote
from slipway.desired import HostFile, ServiceDesired

Position = Literal["installing", "updating", "restoring", "serving", "failed"]

SHOWN = "Id,ActiveState,SubState,UnitFileState,NeedDaemonReload,NRestarts,Result,ExecMainStatus"


@dataclass(frozen=True)
class Record:
    """Where a service stands on its host: `hash` is the bundle last worked on, `serving` the last one that passed its
    gate. A run that died anywhere left a position from which the next one goes on."""

    name: str
    release: str
    hash: str
    position: Position
    serving: str | None = None
    completion: str = ""
    """what the engine answered when it passed its gate"""

    @classmethod
    def parse(cls, text: str) -> Record | None:
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def at(self, position: Position) -> Record:
        return replace(self, position=position)

    def script(self) -> str:
        path = quote(record_path(self.name))
        return (
            f"mkdir -p {SERVICES}; printf '%s\\n' {quote(json.dumps(asdict(self), sort_keys=True))} > {path}.new; "
            f"mv -f {path}.new {path}"
        )


@dataclass(frozen=True)
class LiveFile:
    """A file as it is on the host. `changed` is its time of change, in seconds since 1970."""

    mode: int
    owners: frozenset[str]
    """`user:group`, in names and in numbers"""
    changed: int
    digest: str

    def matches(self, file: HostFile, digest: str) -> bool:
        return self.digest == digest and self.mode == file.mode and file.owner in self.owners


@dataclass(frozen=True)
class LiveUnit:
    """A unit as systemd shows it."""

    name: str
    active: str = "inactive"
    sub: str = ""
    enabled: str = ""
    reload: bool = False
    restarts: int = 0
    result: str = ""
    status: int = 0
    """exit status of its main process"""

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading")

    @property
    def starts_by_itself(self) -> bool:
        return self.enabled in ("enabled", "enabled-runtime", "static", "alias", "generated")


@dataclass(frozen=True)
class ServiceState:
    """The answer of a probe. `health` is the HTTP status of each engine, where it was asked for."""

    record: Record | None = None
    current: Manifest | None = None
    previous: Manifest | None = None
    started: dict[str, str] = field(default_factory=dict)
    """digest of what each unit was last started with"""
    files: dict[str, LiveFile] = field(default_factory=dict)
    units: dict[str, LiveUnit] = field(default_factory=dict)
    directories: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    model: model_files.ModelStatus = field(default_factory=model_files.ModelStatus)
    health: dict[str, int] = field(default_factory=dict)
    recorded: int = 0
    """when the record was written, in seconds since 1970"""

    def unit(self, name: str) -> LiveUnit:
        return self.units.get(name, LiveUnit(name))

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        return tuple(manifest for manifest in (self.current, self.previous) if manifest)


def probe_script(desired: ServiceDesired, *, health: bool = False) -> str:
    """Reads and changes nothing."""
    bundles, record = quote(bundles_path(desired.name)), quote(record_path(desired.name))
    paths = quote(*(file.path for file in desired.files)) or "/nonexistent"
    units = quote(*(unit.name for unit in desired.units))
    lines = [
        part("record"),
        f"cat {record} 2>/dev/null",
        part("recorded"),
        f"stat -c %Y {record} 2>/dev/null",
        part("current"),
        f"cat {bundles}/current/manifest.json 2>/dev/null",
        part("previous"),
        f"cat {bundles}/previous/manifest.json 2>/dev/null",
        part("started"),
        f"grep -H . {bundles}/started/* /dev/null 2>/dev/null",
        part("stat"),
        f"stat -L -c '%a %U:%G %u:%g %Y %n' -- {paths} 2>/dev/null",
        part("digests"),
        f"sha256sum -- {paths} 2>/dev/null",
        part("units"),
        f"systemctl show -p {SHOWN} {units} 2>/dev/null" if units else ":",
        part("directories"),
        *(f"[ -d {quote(path)} ] && echo {quote(path)}" for path in desired.directories),
        part("images"),
        *(f"docker image inspect {quote(i)} >/dev/null 2>&1 && echo {quote(i)}" for i in desired.images),
        part("model"),
        model_files.status_script(desired.model) if desired.model else ":",
    ]
    if health:
        lines.append(part("health"))
        for url in desired.gate.engines:
            target = quote(url + desired.gate.health_path)
            lines.append(f"curl -q -s -o /dev/null -m 5 -w '%{{http_code}} ' {target}; echo {quote(url)}")
    return "\n".join([*lines, "exit 0"])


def read_state(session: Session, desired: ServiceDesired, *, health: bool = False) -> ServiceState:
    """One round trip. Raises `HostError` when the host cannot be asked."""
    why = f"read the state of service {desired.name}"
    return parse_state(session.run(Command(probe_script(desired, health=health), why, deadline=120)).stdout)


def parse_state(text: str) -> ServiceState:
    found = parts(text)
    return ServiceState(
        record=Record.parse(found.get("record", "")),
        current=Manifest.parse(found.get("current", "")),
        previous=Manifest.parse(found.get("previous", "")),
        started=_started(found.get("started", "")),
        files=_files(found.get("stat", ""), found.get("digests", "")),
        units=parse_units(found.get("units", "")),
        directories=frozenset(found.get("directories", "").split("\n")),
        images=frozenset(found.get("images", "").split()),
        model=model_files.parse_status(found.get("model", "")),
        health={
            words[1]: int(words[0]) for line in found.get("health", "").splitlines() if len(words := line.split()) == 2
        },
        recorded=int(found.get("recorded", "") or 0),
    )


def _started(text: str) -> dict[str, str]:
    pairs = (line.rsplit(":", 1) for line in text.splitlines() if ":" in line)
    return {posixpath.basename(path): digest for path, digest in pairs}


def _files(stats: str, digests: str) -> dict[str, LiveFile]:
    by_path = {line[66:]: line[:64] for line in digests.splitlines()}
    files = {}
    for line in stats.splitlines():
        mode, names, numbers, changed, path = line.split(" ", 4)
        user, group = names.split(":")
        uid, gid = numbers.split(":")
        owners = frozenset(f"{u}:{g}" for u in (user, uid) for g in (group, gid))
        files[path] = LiveFile(int(mode, 8), owners, int(changed), by_path.get(path, ""))
    return files


def parse_units(text: str) -> dict[str, LiveUnit]:
    """The output of `systemctl show` for several units, by name."""
    units = {}
    for block in text.split("\n\n"):
        shown = properties_of(block)
        if name := shown.get("Id"):
            units[name] = LiveUnit(
                name,
                active=shown.get("ActiveState", ""),
                sub=shown.get("SubState", ""),
                enabled=shown.get("UnitFileState", ""),
                reload=shown.get("NeedDaemonReload") == "yes",
                restarts=int(shown.get("NRestarts") or 0),
                result=shown.get("Result", ""),
                status=int(shown.get("ExecMainStatus") or 0),
            )
    return units


def iso(seconds: int) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC; None for none."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else None
