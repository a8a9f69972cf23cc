"""`slipway doctor`: what a stack needs, asked where it is to be had, before and after `pulumi up`."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.app import AsJson, planned, sentences, write
from slipway.doctor.types import Check, Made, NoAnswer, exit_code
from slipway.errors import PlanError

if TYPE_CHECKING:
    from datetime import date

    from rich.table import Table

    from slipway.advice.types import Advice
    from slipway.cli.effects import Doctor, Effects
    from slipway.desired import Connection
    from slipway.plan_types import Plan
    from slipway.settings import Settings

Tell = Callable[[str], None]

COLUMNS = ("check", "verdict", "found", "wanted", "what to do")


@dataclass(frozen=True)
class _Subject:
    """What is examined, with what, and who hears how far it is."""

    stack: str
    plan: Plan
    settings: Settings
    made: Made
    doctor: Doctor
    tell: Tell


@dataclass(frozen=True)
class Found:
    """Every check, and the type of servers to pin: the first that the stack would take and that can be had."""

    checks: tuple[Check, ...]
    pin: Pin | None = None


@dataclass(frozen=True)
class Pin:
    """A setting of a cloud's section, and its value."""

    section: str
    name: str
    value: str


def examine(effects: Effects, stack: str, tell: Tell) -> Found:
    """Every check of a stack. Raises SlipwayError where the stack file leads to no plan."""
    plan, settings, advice = planned(effects, f"stacks/Pulumi.{stack}.yaml")
    doctor = effects.doctor()
    tell("reading the stack's state")
    made = doctor.made(stack)
    subject = _Subject(stack, plan, settings, Made() if isinstance(made, NoAnswer) else made, doctor, tell)
    checks = [_state(stack, plan, made), *_computer(subject)]
    cloud, pin = _cloud(subject, _types(settings, advice), effects.now().date())
    return Found((*checks, *cloud, *_cluster(subject), *_hosts(subject)), pin)


def _state(stack: str, plan: Plan, made: Made | NoAnswer) -> Check:
    group = f"stack {stack}"
    if isinstance(made, NoAnswer):
        return made.check(group, "state")
    if plan.cluster is not None:
        return Check(group, "state", "ok", f"read; {'its' if made.pool else 'no'} node pool was made")
    hosts = f"{len(made.hosts)} of {len(plan.hosts)} hosts made" if made.hosts else "nothing made yet"
    return Check(group, "state", "ok", hosts)


def _types(settings: Settings, advice: Advice | None) -> tuple[str, ...]:
    """Types of servers that would do, in the region of the chosen one, as advice ranks them; none where nobody asked
    for it."""
    if advice is None or advice.chosen is None:
        return ()
    region = advice.chosen.offer.region
    options = (option.offer for option in advice.options)
    return tuple(offer.instance for offer in options if (offer.provider, offer.region) == (settings.provider, region))


def _computer(subject: _Subject) -> Iterator[Check]:
    if subject.settings.provider != "local":
        return
    from slipway.doctor.computer import judge_computer  # noqa: PLC0415

    subject.tell("looking at this computer")
    yield from judge_computer(subject.settings, subject.doctor.computer(), len(subject.made.hosts))


def _cloud(subject: _Subject, types: tuple[str, ...], today: date) -> tuple[list[Check], Pin | None]:
    """What has to be there before servers can be made, and which of them can be had."""
    from slipway.doctor.cloud import judge_cloud, pin  # noqa: PLC0415
    from slipway.doctor.needs import cloud_wanted  # noqa: PLC0415
    from slipway.settings.resolving import cloud_of  # noqa: PLC0415

    wanted, section = cloud_wanted(subject.settings, subject.plan, types, subject.made), cloud_of(subject.settings)
    if wanted is None or section is None:
        return [], None
    subject.tell(f"asking {wanted.provider}")
    said = subject.doctor.cloud(wanted)
    chosen = pin(wanted, said)
    found = Pin(wanted.provider, section.INSTANCE, chosen) if chosen is not None else None
    return list(judge_cloud(wanted, said, today)), found


def _cluster(subject: _Subject) -> Iterator[Check]:
    """A cluster that exists. One that the stack makes is asked for by its cloud alone."""
    from slipway.doctor.cluster import cluster_wanted, judge_cluster  # noqa: PLC0415

    cluster = subject.plan.cluster
    wanted = cluster_wanted(cluster) if cluster is not None else None
    if cluster is not None and wanted is not None:
        subject.tell(f"asking the cluster {wanted.context}")
        yield from judge_cluster(subject.plan, cluster, wanted, subject.doctor.cluster(wanted))


def _hosts(subject: _Subject) -> Iterator[Check]:
    """What hosts are and do: those of the state, or those that exist before the stack."""
    from slipway.doctor.hosts import judge_fleet  # noqa: PLC0415

    connections, plan, doctor = subject.made.hosts, subject.plan, subject.doctor
    if not connections and subject.settings.provider == "ssh":
        key = doctor.private_key(subject.stack)
        if isinstance(key, NoAnswer):
            yield from (key.check(host.name, "reached") for host in plan.hosts)
            return
        connections = tuple(_inventory(subject.settings, plan, key))
    if connections:
        subject.tell(f"measuring {len(connections)} hosts")
        found = doctor.measure(connections, plan.model.path, subject.settings.engine.gpus > 0, subject.tell)
        yield from judge_fleet(plan, found, made=bool(subject.made.hosts))


def _inventory(settings: Settings, plan: Plan, key: str) -> Iterator[Connection]:
    from slipway.desired import Connection  # noqa: PLC0415

    for host in plan.hosts:
        yield Connection(
            name=host.name,
            address=host.address or host.name,
            port=host.ssh_port,
            user=host.ssh_user,
            private_key=key,
            host_key=host.host_key,
            host_key_policy=settings.ssh.host_key_policy,
        )


def _pinned(effects: Effects, stack: str, pin: Pin | None) -> str:
    """Write the pin into the stack file; says what was done. Raises PlanError where there is nothing to pin."""
    from slipway.doctor.pin import pinned  # noqa: PLC0415

    file = f"stacks/Pulumi.{stack}.yaml"
    if pin is None:
        what = "no type of servers that this stack would take is known to be in stock"
        raise PlanError(what, where=file, fix="See the checks above; nothing was written")
    before = effects.read_text(file)
    after = pinned(before, file, pin.section, pin.name, pin.value)
    said = f"slipway:{pin.section}.{pin.name}: {pin.value}"
    if after == before:
        return f"{file} says {said} already"
    write(effects, file, after)
    return f"{file} now says {said}; run doctor again before `pulumi up`"


def data_of(stack: str, checks: Sequence[Check]) -> dict[str, Any]:
    """Every check, and how many have which verdict."""
    counts = Counter(check.verdict for check in checks)
    return {"stack": stack, "verdicts": counts, "checks": [dataclasses.asdict(check) for check in checks]}


def tables(checks: Sequence[Check]) -> Iterator[tuple[str, Table]]:
    """A table a group, in the order of the checks."""
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    for group in dict.fromkeys(check.group for check in checks):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        rows = [
            (
                check.name,
                check.verdict,
                check.found + (f" → {check.cost}" if check.cost else ""),
                check.wanted,
                check.fix,
            )
            for check in checks
            if check.group == group
        ]
        # A column that would be empty takes room from the others.
        shown = [index for index, name in enumerate(COLUMNS) if index < 3 or any(row[index] for row in rows)]
        for index in shown:
            table.add_column(COLUMNS[index], no_wrap=index < 2, overflow="fold")
        for row in rows:
            table.add_row(*(escape(row[index]) for index in shown))
        yield group, table


def summary(checks: Sequence[Check]) -> str:
    """One line: how many are off, and how many gave no answer.

    >>> summary([Check("g", "a", "ok", ""), Check("g", "b", "off", "")])
    '1 of 2 checks is off'
    """
    parts = []
    for verdict, one, many in (("off", "is off", "are off"), ("no answer", "gave no answer", "gave no answer")):
        count = sum(check.verdict == verdict for check in checks)
        if count:
            parts.append(f"{count} of {len(checks)} checks {one if count == 1 else many}")
    return "; ".join(parts) or f"all {len(checks)} checks are well, or not asked"


def add_doctor(app: typer.Typer, effects: Effects) -> None:
    @app.command()
    @sentences
    def doctor(
        stack: Annotated[str, typer.Option("--stack", metavar="STACK", help="Name of the stack.")],
        pin: Annotated[
            bool,
            typer.Option("--pin", help="Write the first type of servers that would do and can be had into the file."),
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Say whether what a stack needs is there, and its hosts do what was planned. Exit code 4: something is off;
        1: something gave no answer."""
        from rich.console import Console  # noqa: PLC0415

        with Console(stderr=True).status(f"examining {stack}") as shown:
            found = examine(effects, stack, lambda text: shown.update(f"{stack}: {text}"))
        checks = found.checks
        if as_json:
            typer.echo(json.dumps(data_of(stack, checks), indent=2, ensure_ascii=False))
        else:
            console = Console(highlight=False)
            for group, table in tables(checks):
                console.print(f"{group}", style="bold", markup=False)
                console.print(table)
                console.print()
            console.print(summary(checks))
        if pin:
            typer.echo(_pinned(effects, stack, found.pin), err=True)
        code = exit_code(checks)
        if code:
            raise typer.Exit(code)
