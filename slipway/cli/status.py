"""`slipway status`: where every host of a stack stands, read from the hosts themselves."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.app import AsJson, sentences
from slipway.errors import HostError

if TYPE_CHECKING:
    from rich.table import Table

    from slipway.cli.effects import Effects

DRIFT_SHOWN = 3
"""drifted pins of one host in the table; `--json` has all"""


@dataclass(frozen=True)
class HostStatus:
    """What one host says of itself; `problem` is why it says nothing."""

    name: str
    address: str
    wave: int
    release: str = ""
    """the one that it carries, or last carried whole"""
    target: str = ""
    """the one that a run brings it to"""
    state: str = "none"
    """as in docs/rollouts.md; none where no run was there yet"""
    step: str = ""
    """what a run does there, or did when it ended"""
    stopped: bool = False
    """whether its engines are stopped until it is what it should be"""
    engines: int = 0
    engines_up: int = 0
    drift: dict[str, str] = field(default_factory=dict)
    """pin to what was expected and what was found"""
    problem: str = ""

    @property
    def well(self) -> bool:
        """Whether nothing is to be done about it."""
        return not self.problem and self.state == "converged" and not self.drift and self.engines_up == self.engines

    @property
    def traffic(self) -> str:
        """What it does for clients."""
        if self.problem:
            return "unknown"
        if self.stopped:
            return "none: let go"
        if not self.engines:
            return "none: no engine yet"
        return f"{self.engines_up} of {self.engines} engines up"


def rows(hosts: Sequence[HostStatus]) -> list[tuple[str, str, str, str, str, str]]:
    """Wave, host, release, state, traffic and what is off, as the table shows them."""
    return [
        (str(host.wave), f"{host.name} {host.address}", _release(host), _state(host), host.traffic, _off(host))
        for host in sorted(hosts, key=lambda host: host.wave)
    ]


def _release(host: HostStatus) -> str:
    if host.target in ("", host.release):
        return host.release or "none"
    return f"{host.release or 'none'} → {host.target}"


def _state(host: HostStatus) -> str:
    return "no answer" if host.problem else host.state + (f" ({host.step})" if host.step else "")


def _off(host: HostStatus) -> str:
    if host.problem:
        return host.problem
    if host.state not in ("converged", "failed"):
        return ""  # a run is under way; what differs is what it is about to change
    lines = [f"{pin}: {what}" for pin, what in host.drift.items()]
    more = len(lines) - DRIFT_SHOWN
    return "\n".join([*lines[:DRIFT_SHOWN], *([f"and {more} more"] if more > 0 else [])])


def table_of(hosts: Sequence[HostStatus]) -> Table:
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("wave", "host", "release", "state", "traffic"):
        table.add_column(name, no_wrap=name != "state")
    table.add_column("off", overflow="fold")
    for row in rows(hosts):
        table.add_row(*map(escape, row))
    return table


def data_of(hosts: Sequence[HostStatus]) -> list[dict[str, Any]]:
    """Every field of every host, and `well`."""
    return [{**dataclasses.asdict(host), "well": host.well} for host in hosts]


def add_status(app: typer.Typer, effects: Effects) -> None:
    @app.command()
    @sentences
    def status(
        stack: Annotated[str, typer.Option("--stack", metavar="STACK", help="Name of the stack.")],
        watch: Annotated[
            float | None, typer.Option("--watch", metavar="SECONDS", help="Look again so often, until Ctrl-C.", min=1)
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Say where each host of a stack stands: release, wave, state, traffic, drift. Exit code 4: not all is well."""
        from rich.console import Console  # noqa: PLC0415

        looks = effects.host_statuses(stack, watch)
        console = Console(highlight=False)
        found: Sequence[HostStatus] = ()
        if as_json:
            for found in looks:
                typer.echo(json.dumps(data_of(found), indent=None if watch else 2, ensure_ascii=False))
        elif watch is None:
            with Console(stderr=True).status(f"asking the hosts of {stack}"):
                found = next(iter(looks))
            console.print(table_of(found))
        else:
            from rich.live import Live  # noqa: PLC0415

            with Live(console=console, auto_refresh=False) as live:
                for found in looks:
                    live.update(table_of(found), refresh=True)
        if not all(host.well for host in found):
            raise typer.Exit(HostError.exit_code)
