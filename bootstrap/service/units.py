"""systemd units of a service: which must start anew, and how."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from bootstrap.service.bundle import Manifest, is_unit_file
from bootstrap.service.layout import bundles_path, unit_path
from bootstrap.service.logs import tail
from bootstrap.service.state import ServiceState
from bootstrap.session import Command, Session, quote
from slipway.desired import Unit
from slipway.errors import PortInUseError, ServiceError

STOP_DEADLINE = 120.0
"""seconds a unit may take to stop: the longest `docker stop -t` of an engine, and systemd's own patience"""

HELD, NOT_STARTED = 97, 98
"""exit statuses of the start script"""


def units_to_start(manifest: Manifest, state: ServiceState, rewritten: Collection[str]) -> tuple[Unit, ...]:
    """Units that do not run, or run with something older than the bundle, in start order.

    What a unit was last started with is noted on the host, so a run that died between writing files and restarting
    is made good by the next one.
    """
    return tuple(
        unit
        for unit in manifest.units
        if not state.unit(unit.name).running
        or state.started.get(unit.name) != manifest.unit_digest(unit)
        or any(path in rewritten for path in manifest.depends_on(unit))
    )


def must_reload(state: ServiceState, written: Iterable[str], removed: Iterable[str]) -> bool:
    """Whether systemd has to read unit files again."""
    return any(map(is_unit_file, (*written, *removed))) or any(unit.reload for unit in state.units.values())


def forget_script(service: str, units: Iterable[Unit]) -> str:
    """Notes that `units` no longer run with what lies on disk; before the files change."""
    started = bundles_path(service) + "/started"
    return "\n".join(f"rm -f {quote(f'{started}/{unit.name}')}" for unit in units) or ":"


def remove_script(units: Sequence[Unit]) -> str:
    """Stops and disables units, last one first, and removes what their containers left. May be run again."""
    if not units:
        return ":"
    backwards = [unit.name for unit in reversed(units)]
    containers = [unit.container for unit in units if unit.container]
    lines = [
        f"systemctl stop {quote(*backwards)} 2>/dev/null",
        f"systemctl disable -q {quote(*backwards)} 2>/dev/null",
        f"systemctl reset-failed {quote(*backwards)} 2>/dev/null",
    ]
    if containers:
        lines.append(f"command -v docker >/dev/null && docker rm -f {quote(*containers)} >/dev/null 2>&1")
    lines.append(f"rm -f {quote(*(unit_path(name) for name in backwards))}")
    return "\n".join(lines)


def start_script(manifest: Manifest, units: Sequence[Unit], *, reload: bool) -> str:
    """Stops `units`, then starts them in order, each once its ports are free; notes each that started."""
    started = quote(f"{bundles_path(manifest.service.name)}/started")
    lines = [f"mkdir -p {started}"]
    if reload:
        lines.append("systemctl daemon-reload || exit 1")
    lines.append(f"systemctl enable -q {quote(*(unit.name for unit in manifest.units))} || exit 1")
    if units:
        backwards = quote(*(unit.name for unit in reversed(units)))
        lines.append(f"systemctl stop {backwards} 2>/dev/null; systemctl reset-failed {backwards} 2>/dev/null")
    # a container that outlived its unit (its `docker start` was killed) still holds the unit's ports
    lines += [f"docker rm -f {quote(unit.container)} >/dev/null 2>&1" for unit in units if unit.container]
    for unit in units:
        name = quote(unit.name)
        lines += [
            f"holder=$(ss -H -l -t -n -p 'sport = :{port}' | head -n 1); "
            f'[ -z "$holder" ] || {{ echo held {name} {port} "$holder"; exit {HELD}; }}'
            for port in unit.ports
        ]
        lines.append(f"systemctl start {name} || {{ echo failed {name}; exit {NOT_STARTED}; }}")
        lines.append(f"echo {manifest.unit_digest(unit)} > {started}/{name}; echo started {name}")
    return "\n".join(lines)


def start(session: Session, manifest: Manifest, units: Sequence[Unit], *, reload: bool, api_key: str = "") -> None:
    """Brings `units` up with what lies on disk. Raises `PortInUseError` or `ServiceError`."""
    deadline = manifest.service.gate.start_deadline + 60 + STOP_DEADLINE * len(units)
    names = ", ".join(unit.name for unit in units) or "nothing"
    script = start_script(manifest, units, reload=reload)
    result = session.run(Command(script, f"start {names}", deadline=deadline, check=False))
    if result.exit == 0:
        return
    last = (result.stdout.strip().splitlines() or [""])[-1].split(" ", 3)
    if result.exit == HELD and len(last) == 4:
        holder, pid = holder_of(last[3])
        raise PortInUseError(
            f"port {last[2]}, which {last[1]} needs, is held by {holder}",
            where=session.name,
            fix=f"Stop that process there{f' (`kill {pid}`)' if pid else ''}, or give the service another port; then "
            "run `up` again.",
        )
    failed = next((unit for unit in units if len(last) > 1 and unit.name == last[1]), None)
    said = result.stderr.strip().splitlines()
    raise ServiceError(
        f"systemd does not start {failed.name if failed else names}: {said[0] if said else 'no reason given'}",
        where=session.name,
        fix="Put right what its last lines say, then run `up` again."
        + (tail(session, failed, secret=api_key) if failed else ""),
    )


def holder_of(line: str) -> tuple[str, str]:
    """The process in a line of `ss -ltnp`, as "name (pid 12)", and its pid; both empty-handed where ss shows none."""
    match = re.search(r'users:\(\("([^"]+)",pid=(\d+)', line)
    return (f"{match[1]} (pid {match[2]})", match[2]) if match else ("a process that ss does not show", "")
