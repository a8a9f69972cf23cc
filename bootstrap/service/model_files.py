"""Puts a model file on a host, whole and checked, once.

A file counts as there when its size, and its SHA-256 as noted beside it with the file's size and time of change, are
the wanted ones; so a second run does not read gigabytes again. Sources that a host can reach are fetched by the host
itself, in a process of its own that a broken SSH connection does not end; the others are sent from here. Model files
outlive the services that use them.
"""

from __future__ import annotations

import contextlib
import posixpath
from dataclasses import dataclass

from bootstrap.log import Log
from bootstrap.service.layout import NEEDS_CURL
from bootstrap.service.model_cache import local_model
from bootstrap.service.policies import DOWNLOAD, TRANSFER
from bootstrap.session import Command, Session, quote
from bootstrap.waits import Retry, Waits
from slipway.desired import ModelFile
from slipway.errors import DiskFullError, ModelError, SlipwayError
from slipway.model_sources import Credentials, Source, curl_config, deadline, parse_source, public

HASH_RATE = 50_000_000
"""bytes per second that `sha256sum` surely reads, on a slow network disk"""

RESERVE = 67_108_864
"""bytes left free on the disk beside the model, for records and logs"""

FRUITLESS_TRIES = 5
"""tries in a row that bring not one byte before a source counts as unreachable"""

UNWATCHED = 60
"""seconds after which a transfer ends when no controller looks at it any more"""

DISCARDS = 3
"""times that a partial file is dropped because the source cannot resume it"""

NO_SUCH_FILE = {400, 401, 403, 404, 405, 410, 451}
"""HTTP answers that a later try does not change"""

CURL_CANNOT_WRITE = 23
CURL_CANNOT_RESUME = {33, 36}
CURL_URL_FAULTS = {1, 3}
CURL_CERTIFICATE = {35, 51, 58, 60, 77}


@dataclass(frozen=True)
class ModelStatus:
    """What a host has of a model file: sizes in bytes; `digest` is None where none was noted for this very file."""

    size: int | None = None
    digest: str | None = None
    partial: int = 0

    def matches(self, model: ModelFile) -> bool:
        return self.size == model.size and self.digest == model.sha256


def status_script(model: ModelFile) -> str:
    """Prints what `parse_status` reads. It opens no large file."""
    path, note = quote(model.path), quote(f"{model.path}.sha256")
    # the second name is where an upload that broke off keeps what it has
    partial, part = quote(f"{model.path}.partial"), quote(f"{model.path}.{model.sha256[:16]}.part")
    return (
        f"stat -c 'file %s %.9Y' -- {path} 2>/dev/null; sed 's/^/note /' {note} 2>/dev/null; "
        f"stat -c 'partial %s' -- {partial} {part} 2>/dev/null"
    )


def parse_status(text: str) -> ModelStatus:
    words = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    file, note = words.get("file"), words.get("note")
    noted = note[0] if file and note and len(note) == 3 and note[1:] == file else None
    return ModelStatus(int(file[0]) if file else None, noted, int(words.get("partial", ["0"])[0]))


def ensure_model(
    session: Session,
    model: ModelFile,
    log: Log,
    waits: Waits,
    *,
    credentials: Credentials | None = None,
    status: ModelStatus | None = None,
) -> bool:
    """Puts `model` on the host and returns whether anything was done.

    `status` is what a probe just found, and saves asking. Raises `ModelError` (source missing, wrong digest),
    `DiskFullError` before any transfer that does not fit, and `HostError`.
    """
    if status is None:
        asked = session.run(Command(status_script(model), "see whether the model file is there", check=False))
        status = parse_status(asked.stdout)
    if status.matches(model):
        return False
    name = posixpath.basename(model.path)
    if status.size == model.size and _check_existing(session, model, log):
        return True
    source = parse_source(model, credentials)
    if source.kind == "url":
        log.info(f"{session.name}: fetching the model {name} ({megabytes(model.size)}) from {public(source.url)}")
        config = curl_config(source, f"{model.path}.partial", model.size, credentials)
        _Transfer(session, model, source, config, log=log, waits=waits).run(status.partial)
        log.info(f"{session.name}: checking the SHA-256 of {name}")
        _adopt(session, model)
    else:
        local = local_model(model, source, log, waits)
        _check_space(session, model, status.partial)
        log.info(f"{session.name}: sending the model {name} ({megabytes(model.size)})")

        def progress(done: int, total: int) -> None:
            log.progress(f"{session.name}: {name}: {megabytes(done)} of {megabytes(total)}")

        session.upload(local, model.path, model.sha256, progress)
        session.run(Command(_note_script(model), "note the digest of the model file"))
    return True


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _note_script(model: ModelFile) -> str:
    path, note = quote(model.path), quote(f"{model.path}.sha256")
    return f"chmod 644 {path} && stat -c '{model.sha256} %s %.9Y' -- {path} > {note}.new && mv -f {note}.new {note}"


def _hash_deadline(model: ModelFile) -> float:
    return 60.0 + model.size / HASH_RATE


def _check_existing(session: Session, model: ModelFile, log: Log) -> bool:
    """A file of the right size whose digest nobody noted, or that was touched since: read it once."""
    log.info(f"{session.name}: checking the SHA-256 of {posixpath.basename(model.path)}, which is there already")
    path = quote(model.path)
    script = f"[ \"$(sha256sum < {path})\" = '{model.sha256}  -' ] || exit 9; {_note_script(model)}"
    why = "check the model file that is there"
    return session.run(Command(script, why, deadline=_hash_deadline(model), check=False)).exit == 0


def _check_space(session: Session, model: ModelFile, partial: int) -> None:
    folder = quote(posixpath.dirname(model.path))
    script = f"mkdir -p {folder} && df -B1 --output=avail {folder} | tail -n 1"
    free = int(session.run(Command(script, "see how much space is free for the model file")).stdout.strip())
    needed = model.size - min(partial, model.size) + RESERVE
    if free < needed:
        raise DiskFullError(
            f"{needed} bytes ({megabytes(needed)}) are needed under {posixpath.dirname(model.path)} for the model "
            f"file, {free} bytes ({megabytes(free)}) are free",
            where=session.name,
            fix="Free some, or give the host a larger disk, then run `up` again.",
        )


def _adopt(session: Session, model: ModelFile) -> None:
    """Checks what was fetched and moves it into place; a wrong one is removed, so that the next run fetches it anew."""
    path, partial = quote(model.path), quote(f"{model.path}.partial")
    script = (
        f"set -e; found=$(sha256sum < {partial}); found=${{found%% *}}; size=$(stat -c %s {partial})\n"
        f"rm -rf {quote(model.path + '.fetch')}\n"
        f'if [ "$found" = {model.sha256} ]; then mv -f {partial} {path}; {_note_script(model)}; echo ok\n'
        f'else rm -f {partial}; echo "wrong $found $size"; fi'
    )
    why = "check the model file that was fetched"
    words = session.run(Command(script, why, deadline=_hash_deadline(model))).stdout.split()
    if words[:1] != ["ok"]:
        found, size = [*words[1:], "?", "?"][:2]
        raise ModelError(
            f"{public(model.source)} gave {size} bytes with SHA-256 {found}, expected {model.size} bytes with "
            f"{model.sha256}; it was removed",
            where=f"{session.name}, model.source",
            fix="If the source is right, correct model.sha256 and model.size; then run `up` again to fetch it anew.",
        )


class _Transfer:
    """One fetch by the host: starts curl there, watches it, and resumes it until the file is whole."""

    def __init__(
        self, session: Session, model: ModelFile, source: Source, config: str, *, log: Log, waits: Waits
    ) -> None:
        self.session, self.model, self.source, self.log, self.waits = session, model, source, log, waits
        self.partial = f"{model.path}.partial"
        self.folder = f"{model.path}.fetch"
        self.config = config
        self.name = posixpath.basename(model.path)
        self.have = 0
        self.fruitless = self.discards = 0

    def run(self, partial: int) -> None:
        self.have = partial
        if partial > self.model.size:
            self._discard()
        if self.have == self.model.size:
            return
        _check_space(self.session, self.model, self.have)
        self.waits.until(DOWNLOAD, self._attempt, on_wait=self._tell)

    def _tell(self, error: Exception, waited: float) -> None:
        what = error.what if isinstance(error, SlipwayError) else str(error)
        self.log.info(f"{self.session.name}: {what}; going on from {megabytes(self.have)} ({waited:.0f} s)")

    def _discard(self) -> None:
        self.session.run(Command(f"rm -f {quote(self.partial)}", "drop a partial model file that cannot be resumed"))
        self.have = 0

    def _attempt(self) -> None:
        before = self.have
        self._start()
        try:
            code, http, said = self.waits.until(TRANSFER, self._look, deadline=deadline(self.model.size))
        except BaseException:
            # what is there stays; a host that cannot be told any more ends the transfer by its watchdog
            with contextlib.suppress(SlipwayError):
                self.session.run(Command(self._stop_script(), "end the transfer of the model file", check=False))
            raise
        self.fruitless = 0 if self.have > before else self.fruitless + 1
        if code == 0:
            return
        self._judge(code, http, said)

    def _start(self) -> None:
        folder, partial = quote(self.folder), quote(self.partial)
        # a transfer that nobody has looked at for `UNWATCHED` seconds ends: its controller was stopped or has died
        watchdog = (
            f"(while sleep 5; do test $(($(date +%s) - $(stat -c %Y {folder}/seen))) -lt {UNWATCHED} || kill -- -$$; "
            f"done) & watchdog=$!"
        )
        inner = (
            f"echo $$ > {folder}/pid; {watchdog}; curl -q -K - > {folder}/http 2> {folder}/said; "
            f"echo $? > {folder}/exit.new; mv {folder}/exit.new {folder}/exit; kill $watchdog"
        )
        # printf is built into the shell: what it prints, tokens and signed addresses, is in nobody's argv
        script = (
            f"{NEEDS_CURL}\n"
            f"umask 022; mkdir -p {folder} && config=$(cat) || exit 1\n{self._stop_script()}\n"
            f"rm -f {folder}/exit {folder}/pid; : > {folder}/seen; : >> {partial}\n"
            f"printf '%s\\n' \"$config\" | setsid sh -c {quote(inner)} > /dev/null 2>&1 &\n"
        )
        self.session.run(Command(script, "start the transfer of the model file", stdin=self.config.encode()))

    def _stop_script(self) -> str:
        """Ends a transfer that an earlier run left behind, and waits until it writes no more.

        The path in its argv tells it from a stranger's process.
        """
        folder = quote(self.folder)
        return (
            f"pid=$(cat {folder}/pid 2>/dev/null) && grep -qF {folder} /proc/$pid/cmdline 2>/dev/null && "
            f"kill -- -$pid 2>/dev/null && i=0 && "
            f"while kill -0 -- -$pid 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done; :"
        )

    def _look(self) -> tuple[int, int, str]:
        folder = quote(self.folder)
        script = (
            f": > {folder}/seen; pid=$(cat {folder}/pid 2>/dev/null); ended=$(cat {folder}/exit 2>/dev/null)\n"
            f'if [ -z "$ended" ] && [ -n "$pid" ] && ! [ -d /proc/$pid ]; then '
            f"ended=$(cat {folder}/exit 2>/dev/null || echo 255); fi\n"
            f"stat -c %s {quote(self.partial)} 2>/dev/null || echo 0\n"
            f'echo "${{ended:--}}"; tail -c 3 {folder}/http; echo; tail -n 1 {folder}/said'
        )
        command = Command(script, "see how far the transfer of the model file is", check=False)
        lines = [*self.session.run(command).stdout.splitlines(), "", "", "", ""]
        self.have = int(lines[0] or 0)
        if lines[1] in ("-", ""):
            total = self.model.size
            self.log.progress(
                f"{self.session.name}: {self.name}: {megabytes(self.have)} of {megabytes(total)} "
                f"({100 * self.have // max(total, 1)} %)"
            )
            raise Retry(self._error("did not arrive in time", "Look at the network, then run `up` again; it resumes."))
        return int(lines[1]), int(lines[2]) if lines[2].isdigit() else 0, lines[3].strip()

    def _judge(self, code: int, http: int, said: str) -> None:
        """Turns a failed try into an error for good, or into "not yet"."""
        if code == CURL_CANNOT_WRITE:
            raise DiskFullError(
                f"the model file cannot be written: {said}",
                where=self.session.name,
                fix="Free some space, then run `up` again; it resumes.",
            )
        if http in NO_SUCH_FILE:
            hint = "Set the source's credentials, or c" if http in (401, 403) else "C"
            raise self._error(f"answers HTTP {http}", f"{hint}orrect model.source.")
        if code in CURL_URL_FAULTS or code in CURL_CERTIFICATE:
            raise self._error(f"cannot be fetched: {said}", "Correct model.source or what the host trusts.")
        if code in CURL_CANNOT_RESUME or http == 416:
            self._discard()
            self.discards += 1
        error = self._error(
            f"broke off with {said or f'curl status {code}'}", "Make it reachable from the host, then run `up` again."
        )
        if self.fruitless >= FRUITLESS_TRIES or self.discards >= DISCARDS:
            raise error
        raise Retry(error)

    def _error(self, what: str, fix: str) -> ModelError:
        return ModelError(f"{public(self.source.url)} {what}", where=f"{self.session.name}, model.source", fix=fix)
