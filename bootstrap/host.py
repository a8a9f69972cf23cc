"""One host, from whatever it is to the release that was asked for; back to the old release when that fails."""

from __future__ import annotations

import shlex
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bootstrap import receipts, serving
from bootstrap.facts import FACTS, Facts, gather
from bootstrap.facts.runtime import RECEIPT_PATH
from bootstrap.log import Log
from bootstrap.operations import GPU_FILES, Operation, Put, Run, query
from bootstrap.operations.apt import SOURCES_PATH, UNATTENDED_PATH, install
from bootstrap.operations.docker import ARCHIVES, CONFIG_PATH
from bootstrap.operations.gpu import settings
from bootstrap.operations.gpu.archive import PREFERENCES_PATH
from bootstrap.operations.gpu.driver import reboot_reason
from bootstrap.operations.step import SAVED
from bootstrap.operations.wanted import held, newcomers
from bootstrap.receipts import Receipt
from bootstrap.runner import LISTS, Runner
from bootstrap.session import Command, Session
from bootstrap.spare import Others, require_spare
from bootstrap.verify import Drift, drifts, unfit, verify
from bootstrap.waits import REBOOT, UNIT_START, Retry, Waits
from slipway.desired import HostDesired, Package
from slipway.errors import (
    AuthenticationError,
    DiskFullError,
    HostError,
    HostKeyError,
    UnreachableError,
    VerifyError,
)

GONE = (UnreachableError, HostKeyError, AuthenticationError)
"""after these nothing can be done on the host, and its receipt says where the next run goes on"""


@dataclass(frozen=True)
class HostReport:
    """What a converge did: facts after it, the operations that acted, the release, the boot, the receipt, and how many
    seconds each step took."""

    facts: dict[str, Any]
    changed: tuple[str, ...]
    release: str
    boot_id: str
    receipt: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def converge_host(
    session: Session,
    desired: HostDesired,
    log: Log,
    cancel: threading.Event,
    *,
    waits: Waits | None = None,
    others: Others | None = None,
) -> HostReport:
    """Brings the host to `desired` and verifies it. A host that is there already costs one round trip.

    Where only a reboot makes a GPU driver the one that was installed, the host is rebooted, once. Before anything that
    stops containers the host lets go of its traffic, if the `others` can carry it, and its engines are stopped; they
    start again once every pin holds, and the call waits until the host serves.

    An update that fails puts the packages recorded before it back and raises; the host then keeps its old release, and
    serves. One that cannot be put back stays without traffic. Raises a `HostError` or `CancelledError`; the next call
    goes on from there.
    """
    runner = Runner(session, desired, log, waits or Waits(cancel))
    facts = runner.gather()
    _check_fitness(session, facts, desired)
    update = _Update(runner, receipts.begin(facts, desired.release), others)
    if facts.receipt and receipts.read(facts) is None:
        log.warning(f"{session.name}: its receipt cannot be read; the host is taken for one without")
    # Held, and the receipt does not say what: a person did it, or the receipt of the run that did is lost.
    stopped = dict.fromkeys((*update.receipt.stopped, *serving.held_units(facts)))
    update.receipt = update.receipt.moved(stopped=tuple(stopped))
    try:
        facts, changed = runner.converge(facts, update.before)
        if reason := reboot_reason(facts, desired):
            update.let_go(facts)
            update.note(step="reboot", reboot=reason)
            facts, more = _rebooted(update, reason)
            changed = (*changed, "reboot", *more)
        update.at("verify")
        facts = _verified(runner, facts)
        update.take_up()
        update.at("")
    except GONE:
        raise
    except HostError as error:
        if not update.receipt.step and not update.receipt.stopped:
            raise  # nothing was touched, and it serves
        if update.receipt.state == "updating":
            raise _put_back(update, error) from error
        with suppress(DiskFullError):
            update.note(state="failed")
        if update.receipt.stopped:
            raise type(error)(f"{error.what}. Its engines stay stopped", where=error.where, fix=error.fix) from error
        raise
    last = receipts.read(facts)
    holds = held(facts, desired)
    gpus = tuple(sorted(gpu.uuid for gpu in facts.smi.gpus))
    now = ("converged", desired.release, holds, gpus)
    if changed or update.receipt.step or last is None or (last.state, last.release, last.held, last.gpus) != now:
        last = receipts.finish(update.receipt, facts, holds, gpus)
        receipts.write(session, last)
        changed = changed or ("receipt",)
    said = last.model_dump(mode="json")
    facts = facts.model_copy(update={"receipt": said})
    return HostReport(
        facts.model_dump(mode="json"), changed, desired.release, facts.system.boot_id, said, update.seconds
    )


@dataclass
class _Update:
    """One run over one host: where its receipt stands, whether this run has let its traffic go, and how long its steps
    took, in seconds."""

    runner: Runner
    receipt: Receipt
    others: Others | None = None
    gone: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    under_way: tuple[str, float] = ("", 0.0)
    """the step that runs, and when it began"""

    def at(self, step: str) -> None:
        """The time from here on is that step's; "" ends the last one."""
        now, (name, began) = self.runner.waits.clock(), self.under_way
        if name:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + now - began, 3)
        self.under_way = (step, now)

    def note(self, **changes: Any) -> None:
        self.at(changes.get("step", self.under_way[0]))
        self.receipt = self.receipt.moved(**changes)
        receipts.write(self.runner.session, self.receipt)

    def before(self, operation: Operation, facts: Facts) -> None:
        if operation.stops_service and operation.stops_service(facts, self.runner.desired):
            self.let_go(facts)
        self.note(step=operation.name)

    def let_go(self, facts: Facts) -> None:
        """Once a run. The receipt says first what will be stopped: a run that dies in between starts it again."""
        how = self.runner.desired.serving
        units = tuple(dict.fromkeys((*self.receipt.stopped, *serving.serving_units(facts))))
        if self.gone or how is None or not units:
            return
        if not self.receipt.stopped:
            require_spare(self.runner.session, how.ready, self.others, self.runner.log, self.runner.waits)
        self.note(step="drain", stopped=units)
        serving.let_go(self.runner.session, how, units, self.runner.log)
        self.gone = True

    def take_up(self) -> None:
        how, units = self.runner.desired.serving, self.receipt.stopped
        if how is not None and units:
            self.note(step="serve")
            serving.take_up(self.runner.session, how, units, self.runner.log, self.runner.waits)


def _rebooted(update: _Update, reason: str) -> tuple[Facts, tuple[str, ...]]:
    """Reboots, then does what waited for it. A reason that the reboot did not take away is an error."""
    runner = update.runner
    session = runner.session
    runner.log.info(f"{session.name}: a reboot is needed: {reason}")
    reboot_host(session, runner.log, runner.waits)
    facts, changed = runner.converge(runner.gather(), update.before)
    if left := reboot_reason(facts, runner.desired):
        raise VerifyError(
            f"it was rebooted ({reason}), and would need it again: {left}",
            where=session.name,
            fix="See what the boot took its module from (`lsinitramfs`, `dkms status`, /etc/modprobe.d) and what "
            "`journalctl -b -k` says of it, then run `up` again.",
        )
    return facts, changed


def read_host(session: Session, desired: HostDesired) -> tuple[Drift, ...]:
    """What on the host is no longer what was pinned; one round trip, nothing changed."""
    return drifts(gather(session, FACTS, query(desired)), desired)


def remove_host(session: Session, desired: HostDesired, log: Log, cancel: threading.Event) -> None:
    """Takes Slipway off the host: its units, holds, files and receipt. Packages, Docker and model files stay."""
    waits = Waits(cancel)
    runner = Runner(session, desired, log, waits)
    facts = runner.gather()
    receipt = receipts.read(facts)
    ours = receipt.held if receipt else held(facts, desired)
    holds = sorted(name for name in ours if name in facts.packages and facts.packages[name].hold)
    if holds:
        runner.run_apt(Command(f"apt-mark -q unhold {shlex.join(holds)}", "let apt move the packages again"))
    units = [name for name in sorted(facts.units) if name.startswith("slipway-")]
    lines = [f"systemctl disable --now {shlex.quote(unit)} || true" for unit in units]
    lines += [f"docker rm -f {shlex.quote(unit.removesuffix('.service'))} || true" for unit in units]
    lines += [f"rm -f /etc/systemd/system/{shlex.quote(unit)}" for unit in units]
    lines += [
        f"rm -f {serving.HOLD} {UNATTENDED_PATH} {SOURCES_PATH}.sources {SOURCES_PATH}.list {' '.join(GPU_FILES)}",
        "systemctl daemon-reload",
        f"for path in /etc/apt/sources.list{SAVED} /etc/apt/*.d/*{SAVED}; do",
        f'  [ ! -e "$path" ] || mv "$path" "${{path%{SAVED}}}"',
        "done",
        f"rm -rf {ARCHIVES}",
        f"rm -f {RECEIPT_PATH}",
    ]
    session.run(Command("\n".join(lines), "take Slipway's units, files and receipt away", deadline=300))
    log.info(f"{session.name}: Slipway is off the host; its packages stay")


def reboot_host(session: Session, log: Log, waits: Waits, *, deadline: float = REBOOT.deadline) -> str:
    """Reboots the host and returns its new boot id, which proves that it did."""
    read = Command("cat /proc/sys/kernel/random/boot_id", "see which boot this is")
    old = session.run(read).stdout.strip()
    log.info(f"{session.name}: rebooting")
    # In a second, so that the answer to this command still comes; a timer is up to a minute late unless told not to be.
    later = "systemd-run --quiet --on-active=1 --timer-property=AccuracySec=100ms"
    session.run(Command(f"{later} systemctl reboot", "reboot the host"))
    # A new connection before the old one is gone would hang in the old boot.
    session.until_lost(min(deadline, SHUTDOWN))

    def attempt() -> str:
        try:
            session.reconnect(deadline=min(deadline, 30))
            new = session.run(read).stdout.strip()
        except UnreachableError as error:
            raise Retry(error) from error
        if new == old:
            raise Retry(VerifyError("it still runs the old boot", where=session.name, fix="Reboot it by hand."))
        return new

    return waits.until(REBOOT, attempt, deadline=deadline)


SHUTDOWN = 150.0
"""seconds that services get to stop: systemd gives each 90 by default"""


def _check_fitness(session: Session, facts: Facts, desired: HostDesired) -> None:
    found = unfit(facts, desired)
    if found:
        raise VerifyError(
            "; ".join(one.what for one in found), where=session.name, fix=f"{found[0].fix}. Nothing was changed."
        )


def _verified(runner: Runner, facts: Facts) -> Facts:
    """Facts whose every pin holds; a daemon that is still waking up gets a while."""
    latest = facts

    def attempt() -> Facts:
        nonlocal latest
        checks = [check for check in verify(latest, runner.desired) if check.status != "passed"]
        if not checks:
            return latest
        error = VerifyError(
            "; ".join(str(check.drift) for check in checks),
            where=runner.session.name,
            fix="See what changed it on the host, then run `up` again.",
        )
        if any(check.status == "failed" for check in checks):
            raise error
        latest = runner.gather()
        raise Retry(error)

    return runner.waits.until(UNIT_START, attempt)


def _put_back(update: _Update, error: HostError) -> HostError:
    """After a failed update: puts back what was recorded before it. Returns the error to raise, with how that went."""
    old = update.receipt.release
    kind = type(error)
    try:
        update.note(state="restoring")
        moved = _restore(update.runner, update.receipt)
        update.take_up()
    except GONE:
        raise
    except HostError as second:
        with suppress(DiskFullError):
            update.note(state="failed")
        stands = "is between two releases" + (" and must get no traffic" if update.receipt.stopped else "")
        return kind(
            f"{error.what}. Putting release {old} back failed too: {second.what}",
            where=error.where,
            fix=f"The host {stands}. {second.fix}",
        )
    update.note(state="converged", target=old, step="", stopped=(), packages_before={}, files_before={})
    back = f"its {moved} moved packages were put back" if moved else "no package had moved"
    return kind(f"{error.what.rstrip('.')}. The host keeps release {old}: {back}", where=error.where, fix=error.fix)


def _restore(runner: Runner, receipt: Receipt) -> int:
    """Packages, holds and files as recorded before the update. Packages that only the new release has stay, save a
    driver's. Returns how many packages had moved."""
    facts = runner.gather()
    now = facts.packages
    moved = tuple(
        Package(name=name, version=version)
        for name, version in sorted(receipt.packages_before.items())
        if name not in now or now[name].version != version or not now[name].installed
    )
    # Sources and pins first: apt must know, and be allowed to take, what was there.
    apt = {path: text for path, text in receipt.files_before.items() if path.startswith("/etc/apt/")}
    changed = [Put(path, text) for path, text in apt.items() if facts.files.get(path) != text]
    for put in changed:
        runner.act(put)
    # Pins choose among what the lists have: for them alone no mirror has to be up.
    if moved and any(put.path not in (PREFERENCES_PATH, UNATTENDED_PATH) for put in changed):
        runner.run_apt(LISTS)
    if moved:
        name = runner.session.name
        runner.log.warning(f"{name}: the update failed; putting {len(moved)} packages of {receipt.release} back")
        besides = tuple(f"{name}-" for name in newcomers(facts, receipt.packages_before))
        runner.act(install(moved, f"put the packages of release {receipt.release} back", besides=besides))
    if receipt.held:
        runner.run_apt(Command(f"apt-mark -q hold {shlex.join(receipt.held)}", "hold what was held"))
    files, gpus = settings.put_back(receipt.files_before, facts.files)
    for step in files:
        runner.act(step)
    for path, content in receipt.files_before.items():
        if path not in (*apt, *settings.FILES) and facts.files.get(path) != content:
            runner.act(Put(path, content))
            if path == CONFIG_PATH:
                runner.act(
                    Run(Command("systemctl restart docker.service", "give Docker its old settings", deadline=120))
                )
    reason = reboot_reason(runner.gather(), runner.desired) if moved and runner.desired.gpu else None
    if reason or receipt.reboot:
        # What a boot sets (power limits, MIG, CDI) the boot with the failed driver did not.
        reason = reason or f"the update that failed rebooted it ({receipt.reboot})"
        runner.log.info(f"{runner.session.name}: a reboot is needed: {reason}")
        reboot_host(runner.session, runner.log, runner.waits)
    if (moved or reason) and receipt.gpus:
        _as_before(runner)
    for step in gpus:
        runner.act(step)
    return len(moved)


def _as_before(runner: Runner) -> None:
    """Raises VerifyError when the driver that was put back does not run: whatever serves then, its GPUs do not."""
    facts = runner.gather()
    if facts.driver.loaded and reboot_reason(facts, runner.desired) is None:
        return
    raise VerifyError(
        f"module {facts.driver.loaded or 'none'} is loaded, {facts.driver.installed or 'none'} is installed",
        where=runner.session.name,
        fix="See what `journalctl -b -k` says of it there, then run `up` again.",
    )
