"""Clients of a fleet: steady requests to the hosts that say they are ready, as a load balancer would send them."""

from __future__ import annotations

import itertools
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx

LOOK_EVERY = 0.25
"""seconds between two looks at a host's /ready; less than a stack's `slipway:drain.settle`, which waits for this"""
PAUSE = 0.05
"""seconds between two requests of one client"""


@dataclass(frozen=True)
class Endpoints:
    """Base URL by host, and what clients need."""

    BODY: ClassVar[dict[str, Any]] = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}

    urls: Mapping[str, str]
    api_key: str = field(repr=False)
    trust: ssl.SSLContext

    def client(self, host: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return httpx.Client(base_url=self.urls[host], headers=headers, verify=self.trust, timeout=60)


@dataclass
class Load:
    """What clients met. Times are of `time.monotonic`, in seconds."""

    answered: list[float] = field(default_factory=list)
    """when each answer came"""
    failed: list[tuple[float, str]] = field(default_factory=list)
    """when, and the host with what happened"""
    out: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """host → each time from when until when it said that it is not ready"""
    ready: dict[str, bool] = field(default_factory=dict)
    unready_since: dict[str, float] = field(default_factory=dict)

    def between(self, begin: float, end: float) -> tuple[int, int]:
        """How many requests were answered, and how many failed, in that time."""
        failed = sum(begin <= at <= end for at, _ in self.failed)
        return sum(begin <= at <= end for at in self.answered), failed

    def tell(self, host: str, ready: bool) -> None:
        """What the balancer saw of a host just now."""
        now, before = time.monotonic(), self.ready.get(host)
        if before is not False and not ready:
            self.unready_since[host] = now
        if before is False and ready:
            self.out.setdefault(host, []).append((self.unready_since[host], now))
        self.ready[host] = ready

    def close(self) -> None:
        """A host that is out still is so until now."""
        for host, ready in self.ready.items():
            if not ready:
                self.out.setdefault(host, []).append((self.unready_since[host], time.monotonic()))


@contextmanager
def load(endpoints: Endpoints, clients: int | None = None) -> Iterator[Load]:
    """Steady requests by so many clients (as many as hosts), each to the next host in turn that is ready."""
    found, done, lock = Load(), threading.Event(), threading.Lock()
    turn = itertools.count()

    def look(host: str) -> None:
        with endpoints.client(host) as http:
            while not done.is_set():
                found.tell(host, _ready(http))
                done.wait(LOOK_EVERY)

    def ask() -> None:
        with ExitStack() as stack:
            https = {host: stack.enter_context(endpoints.client(host)) for host in endpoints.urls}
            while not done.wait(PAUSE):
                with lock:
                    up = [host for host, ready in found.ready.items() if ready]
                    host = up[next(turn) % len(up)] if up else ""
                if not host:
                    continue
                try:
                    https[host].post("/v1/chat/completions", json=Endpoints.BODY).raise_for_status()
                    found.answered.append(time.monotonic())
                except httpx.HTTPError as error:
                    found.failed.append((time.monotonic(), f"{host}: {error!r}"))

    threads = [threading.Thread(target=look, args=(host,)) for host in endpoints.urls]
    threads += [threading.Thread(target=ask) for _ in range(clients or len(endpoints.urls))]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        done.set()
        for thread in threads:
            thread.join()
        found.close()


def _ready(http: httpx.Client) -> bool:
    try:
        return http.get("/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False  # the proxy itself is being restarted, or the host
