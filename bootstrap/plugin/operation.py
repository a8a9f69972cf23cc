"""One call of the engine on one resource: its log, its cancel event, its deadline, and what exists so far."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from bootstrap.plugin.codec import SHORTEST_SECRET, Values

MASK = "[secret]"


class Sink(Protocol):
    """Where log lines go: the engine's diagnostics, or a list in a test."""

    def send(self, severity: str, text: str, urn: str, ephemeral: bool) -> None:
        """`severity` is debug, info, warning or error; an ephemeral line replaces the one before it."""


class Masker:
    """Replaces secrets in text. A secret of several lines is masked line by line, as tools print parts of it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._parts: list[str] = []
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        parts = (secret, *secret.splitlines())
        known = {*self._parts, *(part for part in parts if len(part) >= SHORTEST_SECRET)}
        # Longest first, so that no part of a longer secret is left. A new list: other threads may be at the old one.
        self._parts = sorted(known, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for part in self._parts:
            text = text.replace(part, MASK)
        return text


PROGRESS_SECONDS = 2.0
"""what a person waits without wondering"""


class OperationLog:
    """A `bootstrap.log.Log` that writes beside one resource in Pulumi's diagnostics, with secrets masked."""

    def __init__(
        self, sink: Sink, urn: str, mask: Callable[[str], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sink = sink
        self._urn = urn
        self._mask = mask
        self._clock = clock
        self._next_progress = 0.0

    def debug(self, text: str) -> None:
        self._sink.send("debug", self._mask(text), self._urn, ephemeral=False)

    def info(self, text: str) -> None:
        self._sink.send("info", self._mask(text), self._urn, ephemeral=False)

    def warning(self, text: str) -> None:
        self._sink.send("warning", self._mask(text), self._urn, ephemeral=False)

    def progress(self, text: str) -> None:
        """One in `PROGRESS_SECONDS` at most: where there is no terminal, Pulumi prints a line for each."""
        if self._clock() >= self._next_progress:
            self._next_progress = self._clock() + PROGRESS_SECONDS
            self._sink.send("info", self._mask(text), self._urn, ephemeral=True)


@dataclass
class Operation:
    """What a resource is given to work with.

    `cancel` is set by Ctrl-C and by the operation's timeout alike; work ends at its next safe point, with
    CancelledError or by returning early. `now` is the wall clock in seconds since the epoch.
    """

    urn: str
    name: str
    log: OperationLog
    mask: Masker
    cancel: threading.Event = field(default_factory=threading.Event)
    timeout: float | None = None
    """seconds, from `customTimeouts`; None without one"""
    timed_out: bool = False
    now: Callable[[], float] = time.time
    existing: tuple[str, Values] | None = None

    def exists(self, resource_id: str, outputs: Values) -> None:
        """From here on something exists: a failure keeps the resource in the state, and the next `up` updates it."""
        self.existing = (resource_id, outputs)

    def secret(self, value: str) -> str:
        """Mask a secret that was made during this operation, and return it."""
        self.mask.add(value)
        return value


class Operations:
    """The operations in flight. Cancelling reaches every one of them, and every one that starts later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[Operation] = []
        self._cancelled = False

    @contextlib.contextmanager
    def track(self, operation: Operation) -> Iterator[None]:
        timer = self._start_timer(operation)
        with self._lock:
            self._active.append(operation)
            if self._cancelled:
                operation.cancel.set()
        try:
            yield
        finally:
            if timer:
                timer.cancel()
            with self._lock:
                self._active.remove(operation)

    def cancel_all(self) -> None:
        with self._lock:
            self._cancelled = True
            for operation in self._active:
                operation.cancel.set()

    @staticmethod
    def _start_timer(operation: Operation) -> threading.Timer | None:
        if operation.timeout is None:
            return None

        def expire() -> None:
            operation.timed_out = True
            operation.cancel.set()

        timer = threading.Timer(operation.timeout, expire)
        timer.daemon = True
        timer.start()
        return timer
