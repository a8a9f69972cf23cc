"""One look at a host for a gate, in one round trip: metrics of the proxy and the engines, units, Xids."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bootstrap.facts import gpus
from bootstrap.facts.fact import Fact, Query, compose, split
from bootstrap.facts.gpu_model import Xid
from bootstrap.facts.runtime import properties_of
from bootstrap.plugin.resources.judgement import Fault, Reading, SystemdUnit
from bootstrap.plugin.resources.traffic import parse_engine, parse_metrics
from bootstrap.session import Command
from bootstrap.verify.gpu import serious
from slipway.errors import CommandError

if TYPE_CHECKING:
    from bootstrap.session import Session

DEADLINE = 120.0
"""seconds for the whole look: ten for each of eight engines that hang, and the proxy"""

_PROXY, _ENGINE, _UNITS, _XIDS = "proxy", "engine-", "units", "xids"
_SHOW = (
    "systemctl show --timestamp=unix -p Id -p LoadState -p ActiveState -p NRestarts -p ExecMainStartTimestamp "
    "'slipway-*.service'"
)


def read_host(session: Session, metrics_url: str, engines: Sequence[str]) -> Reading:
    """Look at the host. Raises `CommandError` where its units or its kernel log cannot be read, and what
    `Session.run` raises; what an HTTP server does not answer is in the reading."""
    parts = {_PROXY: _curl(metrics_url), **{f"{_ENGINE}{index}": _curl(url) for index, url in enumerate(engines)}}
    parts |= {_UNITS: _SHOW, _XIDS: gpus.XIDS.script}
    asked = [Fact(name, script, lambda _: {}) for name, script in parts.items()]
    token = f"--{secrets.token_hex(8)}"
    command = Command(compose(asked, Query(), token), "read metrics, units and Xids", deadline=DEADLINE, check=False)
    result = session.run(command)
    answers = split(result.stdout, result.stderr, token)
    for name in (_UNITS, _XIDS):
        status, _, said = answers.get(name, (-1, "", result.stderr.strip()))
        if status != 0:
            raise CommandError(
                f"the gate could not read its {name} (exit status {status}){': ' + said if said else ''}",
                where=session.name,
                fix="Put right what it says, then run `pulumi up` again.",
            )
    status, text, said = answers.get(_PROXY, (-1, "", ""))
    traffic, unread = None, f"{metrics_url} gives no metrics of the proxy: {said or f'exit status {status}'}"
    if status == 0:
        try:
            traffic, unread = parse_metrics(text), ""
        except ValueError as error:
            unread = str(error)
    return Reading(
        traffic,
        unread,
        {
            url: parse_engine(answers[name][1])
            for index, url in enumerate(engines)
            if answers.get(name := f"{_ENGINE}{index}", (-1, "", ""))[0] == 0
        },
        parse_units(answers[_UNITS][1]),
        parse_faults(answers[_XIDS][1]),
    )


def parse_units(text: str) -> dict[str, SystemdUnit]:
    """The output of `systemctl show` with `--timestamp=unix`, by name; units that are gone are left out."""
    units = {}
    for block in text.split("\n\n"):
        shown = properties_of(block)
        if "Id" in shown and shown.get("LoadState") != "not-found":
            started = shown.get("ExecMainStartTimestamp", "").removeprefix("@")
            units[shown["Id"]] = SystemdUnit(
                shown.get("ActiveState", ""),
                int(shown.get("NRestarts") or 0),
                float(started) if started.isdecimal() else 0.0,
            )
    return units


def parse_faults(text: str) -> tuple[Fault, ...]:
    """The Xids of the kernel log for which no program on the GPU is to blame."""
    xids = [Xid.model_validate(xid) for xid in gpus.XIDS.parse(text)["xids"]]
    return tuple(Fault(xid.at, xid.address, xid.code, xid.said) for xid in xids if serious(xid))


def _curl(url: str) -> str:
    return f"curl -q -fsS --max-time 10 {shlex.quote(url)}"
