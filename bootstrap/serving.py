"""Lets a host's traffic go before the host changes under it, and takes it back once the change is proven.

    drain → hold → engines stopped → (packages, reboot, verification) → hold away → units started → ready → undrain

The hold is a file that the engines' units look for: while it is there none starts, so a host that reboots in the middle
of a change comes up with its proxy saying "no engine is up" and nothing else. What was stopped is in the receipt, so a
run that died is taken up by the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from bootstrap.drain import cut_off, drain_script, drain_seconds, undrain_script
from bootstrap.facts import Facts
from bootstrap.facts.runtime import HOLD_PATH
from bootstrap.log import Log
from bootstrap.session import Command, Session, quote
from bootstrap.waits import READY, Retry, Waits
from slipway.desired import Serving
from slipway.errors import CommandError, DeadlineError, VerifyError

HOLD = HOLD_PATH
ENGINES = "slipway-engine-"
CA_CERTIFICATE = "/etc/slipway/tls/ca.pem"
"""what is trusted when the proxy is asked on its host"""
STOP_DEADLINE = 150.0
"""seconds: an engine's own time to stop, and systemd's patience behind it"""
START_DEADLINE = 300.0
"""seconds: a unit has 60 to create and start its container, and a busy daemon makes eight of them one by one"""

_UNITS = re.compile(r"slipway-(?:engine-\d+|proxy|collector)\.service$")


def serving_units(facts: Facts) -> tuple[str, ...]:
    """Units of the service that run or are about to, in the order in which they start."""
    return _in_order(name for name, unit in facts.units.items() if unit.active not in ("inactive", "failed"))


def held_units(facts: Facts) -> tuple[str, ...]:
    """Units of the service that would run if the host were not held, in the order in which they start."""
    return _in_order(name for name, unit in facts.units.items() if unit.enabled == "enabled") if facts.hold else ()


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    ours = filter(_UNITS.match, names)
    return tuple(sorted(ours, key=lambda name: (not name.startswith(ENGINES), name != "slipway-proxy.service")))


def let_go(session: Session, serving: Serving, units: Sequence[str], log: Log) -> None:
    """Drains the host and stops its engines, in one command: a cancel undrains, or finds them stopped. Idempotent."""
    engines = [unit for unit in units if unit.startswith(ENGINES)]
    log.info(f"{session.name}: letting its traffic go")
    lines = [drain_script(serving.drain), f"mkdir -p {HOLD.rsplit('/', 1)[0]} && : > {HOLD} || exit 1"]
    if engines:
        lines.append(f"systemctl stop {quote(*engines)}")
    command = Command(
        "\n".join(lines),
        "drain, and stop the engines",
        deadline=drain_seconds(serving.drain) + STOP_DEADLINE,
        stream=True,
    )
    if cut := cut_off(session.run(command).stdout):
        log.warning(f"{session.name}: {cut} requests were cut off after {serving.drain.deadline:.0f} s")


def take_up(session: Session, serving: Serving, units: Sequence[str], log: Log, waits: Waits) -> None:
    """Starts what was stopped, and waits until the proxy says that the host is ready. Idempotent.

    Raises a `HostError`, with the host held and drained again, when it does not get ready within `serving.deadline`.
    """
    log.info(f"{session.name}: starting {', '.join(units)}")
    names = quote(*units)
    start = f"rm -f {HOLD}\nsystemctl reset-failed {names} 2>/dev/null\nsystemctl start {names} || exit 1"
    try:
        session.run(
            Command(f"{start}\n{undrain_script(serving.drain)}", "start what was stopped", deadline=START_DEADLINE)
        )
        if "slipway-proxy.service" in units:
            _until_ready(session, serving, units, log, waits)
    except (VerifyError, CommandError, DeadlineError):
        hold = [f": > {HOLD}", f"[ ! -x {quote(serving.drain.command)} ] || {quote(serving.drain.command)} on"]
        engines = [unit for unit in units if unit.startswith(ENGINES)]
        hold += [f"systemctl stop {quote(*engines)}"] if engines else []
        session.run(Command("\n".join(hold), "keep traffic away from the host", deadline=STOP_DEADLINE, check=False))
        raise


def _until_ready(session: Session, serving: Serving, units: Sequence[str], log: Log, waits: Waits) -> None:
    look = (
        f"curl -q -s -o /dev/null -m 5 -w '%{{http_code}}\\n' --cacert {CA_CERTIFICATE} {quote(serving.ready)}\n"
        f"systemctl list-units --failed --plain --no-legend {quote(*units)} | cut -d' ' -f1"
    )

    def attempt() -> None:
        status, *failed = session.run(Command(look, "see whether the host serves", check=False)).stdout.split() or [""]
        if failed:
            _failed(session, failed[0])
        if status != "200":
            raise Retry(
                VerifyError(
                    f"it does not serve {serving.deadline:.0f} s after its engines were started ({serving.ready} says "
                    f"{status or 'nothing'})",
                    where=session.name,
                    fix=f"See `journalctl -u '{ENGINES}*'` and `docker logs` there, then run `up` again.",
                )
            )

    def tell(_: Exception, waited: float) -> None:
        log.progress(f"{session.name}: waiting until it serves ({waited:.0f} s of at most {serving.deadline:.0f} s)")

    waits.until(READY, attempt, deadline=serving.deadline, on_wait=tell)


def _failed(session: Session, unit: str) -> NoReturn:
    journal = f"journalctl -u {quote(unit)} -n 8 -o cat --no-pager"
    said = session.run(Command(journal, f"read the last lines of {unit}", check=False)).stdout.strip()
    raise VerifyError(
        f"{unit} does not start: {said.splitlines()[-1] if said else 'its journal is empty'}",
        where=session.name,
        fix=f"See `journalctl -u {unit}` there, then run `up` again.",
    )
