"""Brings a service on one host to what its plan says, or leaves the one that served before serving.

    model file → bundle sent → drain → swap → start → gate → undrain

Each step asks what is there and does the rest, so a run that died anywhere is taken up by the next one. The record on
the host says where it stood; files, units and the notes of what each unit was started with say what is left to do.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bootstrap.drain import cut_off, drain_script, drain_seconds, undrain_script
from bootstrap.log import Log
from bootstrap.service import bundle, units
from bootstrap.service.bundle import Manifest
from bootstrap.service.files import Changes, is_converged
from bootstrap.service.gate import Gate, GateReport
from bootstrap.service.layout import bundles_path
from bootstrap.service.model_files import ensure_model
from bootstrap.service.state import Record, ServiceState, read_state
from bootstrap.service.waiting import waiting
from bootstrap.session import Command, Session, quote
from bootstrap.spare import Others, require_spare
from bootstrap.waits import Waits
from slipway.desired import ModelFile, ServiceDesired
from slipway.errors import CancelledError, HostError, ServiceError, SlipwayError, UnreachableError, VerifyError
from slipway.model_sources import Credentials
from slipway.windows import AT_ONCE


@dataclass(frozen=True)
class ServiceReport:
    """What a converge did: names of what it changed (empty when all was right), what the model answered, and how many
    seconds each step took."""

    changed: tuple[str, ...] = ()
    completion: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def converge_service(
    session: Session,
    desired: ServiceDesired,
    api_key: str,
    log: Log,
    cancel: threading.Event,
    *,
    credentials: Credentials | None = None,
    waits: Waits | None = None,
    others: Others | None = None,
    closed: str | None = None,
) -> ServiceReport:
    """Converges and returns what changed. One round trip when nothing does. It drains only if the `others` can carry
    what the host lets go of. `closed` says when the next maintenance window opens, where none is open: another model
    or image then waits for it.

    Raises `ServiceError` (the gate; it says whether the old bundle serves again), `ModelError`, `HostError` or
    `CancelledError`. After each of them the next call goes on from there.
    """
    bundle.check_secrets(session.name, desired, api_key)
    session.mask(api_key)
    return _Converge(session, desired, api_key, log, waits or Waits(cancel), credentials, others, closed).run()


@dataclass
class _Converge:
    session: Session
    desired: ServiceDesired
    api_key: str = field(repr=False)
    log: Log
    waits: Waits
    credentials: Credentials | None
    others: Others | None
    closed: str | None
    changed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> ServiceReport:
        manifest = Manifest.of(self.desired)
        with self._timed("state"):
            state = read_state(self.session, self.desired)
        old = state.record
        if old and is_converged(manifest, state):
            return ServiceReport(completion=old.completion, seconds=self.seconds)
        if self.closed and (what := waiting(self.desired, state)):
            raise VerifyError(
                f"{what} is to serve, and {self.closed}",
                where=self.session.name,
                fix=f"Run `pulumi up` again then; or, {AT_ONCE}",
            )
        self._check_images(state)
        self._ensure_model(self.desired.model, state)
        serving = old.serving if old else None
        changes = self._changes(manifest, state)
        drain = serving is not None and changes.touch_traffic
        if drain:
            ready = f"{self.desired.gate.proxy}/ready"
            require_spare(self.session, ready, self.others, self.log, self.waits)
        record = Record(self.desired.name, self.desired.release, manifest.hash, "installing", serving)
        if serving:
            record = record.at("updating")
        try:
            report = self._bring_up(changes, state, record, drain=drain)
        except (CancelledError, UnreachableError):
            raise  # nobody can be asked to put anything back; the next run goes on
        except SlipwayError as error:
            self._put_back(manifest, record, error)
            raise
        self._finish(manifest, record, report)
        return ServiceReport(tuple(self.changed), report.completion, self.seconds)

    # ---- steps

    def _check_images(self, state: ServiceState) -> None:
        missing = [image for image in self.desired.images if image not in state.images]
        if missing:
            raise VerifyError(
                f"the images {', '.join(missing)} of service {self.desired.name} are not on the host",
                where=self.session.name,
                fix="Converge the host to its release first (`up` does), or name images that the release has.",
            )

    def _ensure_model(self, model: ModelFile | None, state: ServiceState) -> None:
        """Before anything stops: a download is no downtime."""
        if model is None:
            return
        with self._timed("model"):
            done = ensure_model(
                self.session, model, self.log, self.waits, credentials=self.credentials, status=state.model
            )
        if done:
            self.changed.append(f"model {model.path}")

    @staticmethod
    def _changes(manifest: Manifest, state: ServiceState) -> Changes:
        # the bundle before matters only while a swap is under way: once one serves, nothing of the other is left
        settled = state.record is not None and state.record.position == "serving"
        known = (state.current,) if settled else (state.current, state.previous)
        return Changes.between(manifest, state, [old for old in known if old])

    def _bring_up(self, changes: Changes, state: ServiceState, record: Record, *, drain: bool) -> GateReport:
        rotate, manifest = "", changes.manifest
        if state.current is None or state.current.hash != manifest.hash:
            with self._timed("bundle"):
                self._send(manifest)
            rotate = bundle.rotate_script(self.desired.name, record.serving)
        self.changed += changes.names
        self._swap(changes, record, rotate, drain=drain)
        return self._start(changes, state)

    def _send(self, manifest: Manifest) -> None:
        script, archive = bundle.unpack_script(self.desired.name), bundle.pack(self.desired, manifest)
        why = f"send the bundle of service {self.desired.name}"
        self.session.run(Command(script, why, stdin=archive, secret=True))

    def _swap(self, changes: Changes, record: Record, rotate: str, *, drain: bool) -> None:
        """Drains, where traffic is touched, and changes what is on disk, in one command that a cancel cannot split."""
        settings = self.desired.drain
        lines = [drain_script(settings)] if drain else []
        script = "\n".join([*lines, record.script(), changes.script(rotate)])
        deadline = 60 + (drain_seconds(settings) if drain else 0) + units.STOP_DEADLINE * len(changes.obsolete_units)
        why = f"{'drain, and ' if drain else ''}swap in the files of service {self.desired.name}"
        with self._timed("swap"):
            # a drain ends itself when interrupted; the swap alone is over in no time
            command = Command(script, why, deadline=deadline, stream=drain, interruptible=drain)
            result = self.session.run(command)
        if cut := cut_off(result.stdout):
            self.log.warning(f"{self.session.name}: {cut} requests were cut off after {settings.deadline:.0f} s")

    def _start(self, changes: Changes, state: ServiceState, *, any_key: bool = False) -> GateReport:
        with self._timed("start"):
            if changes.restart:
                names = ", ".join(unit.name for unit in changes.restart)
                self.log.info(f"{self.session.name}: starting {names}")
            units.start(self.session, changes.manifest, changes.restart, reload=changes.reload, api_key=self.api_key)
        started = {unit.name for unit in changes.restart}
        gate = Gate(
            self.session,
            changes.manifest.service,
            self.api_key,
            self.log,
            self.waits,
            restarts={name: live.restarts for name, live in state.units.items() if name not in started},
            any_key=any_key,
        )
        report = gate.run()
        self.seconds.update({f"gate {stage}": seconds for stage, seconds in report.seconds.items()})
        return report

    def _finish(self, manifest: Manifest, record: Record, report: GateReport) -> None:
        """Takes traffic and notes that this bundle serves."""
        done = replace(
            record, hash=manifest.hash, serving=manifest.hash, position="serving", completion=report.completion
        )
        current = quote(f"{bundles_path(self.desired.name)}/current/hash")
        script = "\n".join(
            ("set -e", undrain_script(manifest.service.drain), f"echo {manifest.hash} > {current}", done.script())
        )
        self.session.run(Command(script, f"note that service {self.desired.name} serves"))

    # ---- when it fails

    def _put_back(self, failed: Manifest, record: Record, error: SlipwayError) -> None:
        """Makes the bundle that served before serve again, and says so. Returns where there is none to put back."""
        serving = record.serving
        if serving is None or serving == failed.hash:
            self._note(record.at("failed"))
            return
        self.log.warning(f"{self.session.name}: {error.what.rstrip('.')}; putting the bundle before it back")
        try:
            with self._timed("put back"):
                self._restore(failed, record, serving)
        except CancelledError:
            raise
        except SlipwayError as second:
            self._note(record.at("failed"))
            raise ServiceError(
                f"{error.what.rstrip('.')}; and the bundle before it does not come back: {second.what}",
                where=error.where or self.session.name,
                fix=f"The host stays drained. {error.fix}",
            ) from error
        raise ServiceError(
            f"{error.what.rstrip('.')}; the bundle before it was put back and serves again",
            where=error.where or self.session.name,
            fix=error.fix,
        ) from error

    def _restore(self, failed: Manifest, record: Record, serving: str) -> None:
        script = f"{record.at('restoring').script()}\n{bundle.back_script(self.desired.name, serving)}"
        self.session.run(Command(script, f"put the bundle before of service {self.desired.name} back"))
        old = read_state(self.session, self.desired).current
        if old is None:
            raise ServiceError("its manifest cannot be read", where=self.session.name, fix="")
        state = read_state(self.session, old.service)
        self._ensure_model(old.service.model, state)
        changes = Changes.between(old, state, [failed])
        back = replace(record, release=old.service.release, position="restoring")
        self._swap(changes, back, "", drain=False)
        report = self._start(changes, state, any_key=True)
        self._finish(old, back, report)

    def _note(self, record: Record) -> None:
        with contextlib.suppress(HostError):
            self.session.run(Command(record.script(), f"note where service {self.desired.name} stands"))

    @contextlib.contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = self.waits.clock()
        try:
            yield
        finally:
            self.seconds[step] = round(self.waits.clock() - started, 3)
