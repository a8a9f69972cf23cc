"""Facts, operations, commands, facts again; the second diff must be empty. Alone in holding a session while acting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap.facts import FACTS, Facts, gather
from bootstrap.log import Log
from bootstrap.operations import OPERATIONS, Operation, Put, Refusal, Run, Send, Step, Steps, query
from bootstrap.operations.apt import LISTS_DEADLINE, transaction
from bootstrap.session import NO_SPACE, Command, Result, Session, failure, quote
from bootstrap.waits import APT_LOCK, DPKG_INTERRUPTED, MIRROR, Retry, Waits
from slipway.desired import HostDesired
from slipway.errors import (
    CommandError,
    DeadlineError,
    DiskFullError,
    HostError,
    PackageError,
    VerifyError,
)

# What apt and dpkg 1.20-1.22 / 2.x print under LC_ALL=C.UTF-8.
LOCKED = re.compile(
    r"Could not get lock (\S+?)\.? (?:It is held by process (\d+) \((.+?)\))?|is another process using it|"
    r"dpkg frontend lock was locked by another process(?: with pid (\d+))?|Unable to lock directory"
)
INTERRUPTED = re.compile(r"dpkg was interrupted, you must manually run")
MIRROR_HICCUP = re.compile(
    r"Hash Sum mismatch|File has unexpected size|Mirror sync in progress|\b5\d\d  ?[A-Z]\w+|"
    r"Connection (?:failed|timed out|reset|refused)|Could not connect|Temporary failure resolving|"
    r"Could not resolve|Undetermined Error|Failed to fetch|Unable to connect"
)
NO_VERSION = re.compile(r"E: Version '(.+?)' for '(.+?)' was not found|E: Unable to locate package (\S+)")
BUILD_LOG = re.compile(r"^Consult (/var/lib/dkms/\S+/make\.log) for more information", re.MULTILINE)
NO_FIT = re.compile(r"unmet dependencies|held broken packages|you have requested an impossible situation")


LISTS = Command(
    "apt-get update -q -o Acquire::Retries=2", "read the mirrors' lists again", deadline=LISTS_DEADLINE, stream=True
)


@dataclass
class Runner:
    """Runs operations on one host."""

    session: Session
    desired: HostDesired
    log: Log
    waits: Waits
    operations: Sequence[Operation] = OPERATIONS

    def gather(self) -> Facts:
        """One round trip."""
        return gather(self.session, FACTS, query(self.desired))

    def converge(self, facts: Facts, before: Callable[[Operation, Facts], object]) -> tuple[Facts, tuple[str, ...]]:
        """Brings the host from `facts` to what is desired; returns the facts after it, and which operations acted.

        `before` hears of each operation that is about to act, and the facts it acts on. Raises a `HostError`;
        `VerifyError` for an operation that still wants something after it ran.
        """
        changed: list[str] = []
        for operation in self.operations:
            self.waits.check(self.session.name)
            steps = self._plan(operation, facts)
            if not steps.steps:
                continue
            before(operation, facts)
            self.log.info(f"{self.session.name}: {operation.name}: {steps.why}")
            for step in steps.steps:
                self.act(step)
            changed.append(operation.name)
            if operation.refresh:
                facts = self.gather()
        if changed:
            facts = self.gather()
            self._settled(facts)
        return facts, tuple(changed)

    def _plan(self, operation: Operation, facts: Facts) -> Steps:
        try:
            return operation.plan(facts, self.desired)
        except Refusal as refusal:
            raise refusal.error(refusal.what, where=self.session.name, fix=refusal.fix) from refusal

    def _settled(self, facts: Facts) -> None:
        for operation in self.operations:
            steps = self._plan(operation, facts)
            if steps.steps:
                raise VerifyError(
                    f"{operation.name} ran, and is still not satisfied: {steps.why}",
                    where=self.session.name,
                    fix="Something on the host undoes it (another configuration tool, a person?). Stop that, "
                    "then run `up` again.",
                )

    # ---- acting

    def act(self, step: Step) -> None:
        """One step, with what is known of how it fails."""
        match step:
            case Put(path, content, mode):
                with self._disk_figures():
                    self.session.put(path, content.encode(), mode)
            case Send(local, remote, sha256):
                with self._disk_figures():
                    self._send(Path(local), remote, sha256)
            case Run(command, apt):
                self.run_apt(command) if apt else self._run(command)

    def _send(self, local: Path, remote: str, sha256: str) -> None:
        told = -1

        def tell(done: int, total: int) -> None:
            nonlocal told
            if (tenth := done * 10 // max(total, 1)) > told:
                told = tenth
                self.log.progress(
                    f"{self.session.name}: sending {Path(remote).name}: {done >> 20} of {total >> 20} MiB"
                )

        try:
            self.session.upload(local, remote, sha256, tell)
        except OSError as error:
            raise CommandError(
                f"{local} cannot be read: {error.strerror or error}",
                where=self.session.name,
                fix="It is the image archive that the release names; build or fetch it, then run `up` again.",
            ) from error

    def _run(self, command: Command) -> None:
        self.log.progress(f"{self.session.name}: {command.why}")
        with self._disk_figures():
            self.session.run(command)

    @contextmanager
    def _disk_figures(self) -> Iterator[None]:
        """Adds to "no space left" where it is full."""
        try:
            yield
        except DiskFullError as error:
            raise self._disk_full(error.what) from error

    def run_apt(self, command: Command) -> None:
        """A command of apt or dpkg: locks are waited for, an interrupted dpkg is repaired, a mirror asked again."""
        self.log.progress(f"{self.session.name}: {command.why}")

        def unlocked() -> Result:
            result = self.session.run(_unchecked(command))
            if result.exit != 0 and (held := LOCKED.search(result.output)):
                raise Retry(self._locked(held))
            return result

        def on_lock(error: Exception, waited: float) -> None:
            self.log.progress(f"{self.session.name}: {getattr(error, 'what', error)}; waiting ({waited:.0f} s)")

        def attempt() -> None:
            result = self.waits.until(APT_LOCK, unlocked, on_wait=on_lock)
            if result.exit == 0:
                return
            error = self._apt_error(command, result)
            if isinstance(error, CommandError) and INTERRUPTED.search(result.output):
                self._repair()
                raise Retry(error)
            if isinstance(error, CommandError) and (hiccup := MIRROR_HICCUP.search(result.output)):
                self.log.warning(f"{self.session.name}: the mirror failed ({hiccup[0]}); asking it again")
                # What it answered may be half of a sync: the lists and what they name must be of one state.
                self.session.run(_unchecked(LISTS))
                raise Retry(error)
            raise error

        self.waits.until(MIRROR, attempt)

    def _repair(self) -> None:
        repair = transaction("dpkg --force-confdef --force-confold --configure -a", "finish what dpkg began").command

        def attempt() -> None:
            result = self.session.run(_unchecked(repair))
            if result.exit != 0:
                raise Retry(failure(self.session.name, repair, result))

        self.waits.until(DPKG_INTERRUPTED, attempt)

    def _locked(self, held: re.Match[str]) -> DeadlineError:
        pid, name = held[2] or held[4], held[3]
        holder = f"process {pid}" + (f" ({name})" if name else "") if pid else "another process"
        return DeadlineError(
            f"apt's or dpkg's lock is held by {holder}",
            where=self.session.name,
            fix=f"See what it does there (`ps -fp {pid or 'PID'}`), let it end, then run `up` again.",
        )

    def _apt_error(self, command: Command, result: Result) -> Exception:
        output = result.output
        if NO_SPACE.search(output):
            return self._disk_full(failure(self.session.name, command, result).what)
        if missing := NO_VERSION.search(output):
            what = f"{missing[2]} {missing[1]}" if missing[2] else missing[3]
            return PackageError(
                f"the mirrors do not have {what}",
                where=self.session.name,
                fix="Run `slipway lock` for a set that they have, or name a mirror that keeps it in `apt_sources`.",
            )
        if NO_FIT.search(output):
            tail = "\n".join(output.splitlines()[-12:])
            return PackageError(
                f"the pinned packages do not fit together, or with what is installed:\n{tail}",
                where=self.session.name,
                fix="Pin the package that it names as well, or run `slipway lock` for a set that fits.",
            )
        error = failure(self.session.name, command, result)
        return self._with_build(error, log[1]) if (log := BUILD_LOG.search(output)) else error

    def _with_build(self, error: HostError, log: str) -> HostError:
        """With what DKMS's log says of a build that failed: going back to the old package takes the log away."""
        path = quote(log)
        look = f"{{ grep -m 3 'error:' {path} || tail -n 3 {path}; }} | cut -c 1-200"
        said = self.session.run(Command(look, "see why the module was not built", check=False)).stdout.strip()
        return type(error)(f"{error.what}\nThe build said:\n{said}", where=error.where, fix=error.fix)

    def _disk_full(self, what: str) -> DiskFullError:
        figures = self.session.run(
            Command("df -h -x overlay -x devtmpfs 2>/dev/null || df -h", "see what is full", check=False)
        ).stdout.strip()
        return DiskFullError(
            f"{what}\n{figures}",
            where=self.session.name,
            fix="Free some space where it says 100 %, or give the host a larger disk, then run `up` again.",
        )


def _unchecked(command: Command) -> Command:
    return Command(**{**vars(command), "check": False})
