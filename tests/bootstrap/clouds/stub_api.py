"""STUB of an HTTP interface: an answer a path, and whatever faults a test asks for. A real server on loopback."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FIXTURES = Path(__file__).parent / "fixtures"


@dataclass(frozen=True)
class Reply:
    """One answer. `body` is text as it is, or JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def recorded(cloud: str, name: str, status: int = 200) -> Reply:
    """An answer of the documented shape: `fixtures/<cloud>/<name>.json`."""
    return Reply(json.loads((FIXTURES / cloud / f"{name}.json").read_text()), status)


@dataclass
class StubApi:
    """Its answers by path, and what it was asked, with headers in lower case."""

    replies: dict[str, list[Reply]]
    """used up in order; the last one stays"""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """method and path, with the query"""
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    certificates: list[Any] = field(default_factory=list)
    """of clients, where it speaks TLS"""
    silent: threading.Event = field(default_factory=threading.Event)
    """until it is set, a path whose answer has status 0 gets none"""

    def answer(self, path: str, *replies: Reply) -> None:
        self.replies[path] = list(replies)


def assert_only_reads(api: StubApi, token: str, found: object) -> None:
    """All that was asked only reads; the token was in one header, and in neither an address nor what was `found`."""
    assert {line.split()[0] for line in api.asked} == {"GET"}
    assert {headers["authorization"] for headers in api.headers} == {f"Bearer {token}"}
    assert not any(token in line for line in api.asked)
    assert token not in str(found)


@contextmanager
def serve(replies: dict[str, Reply], tls: ssl.SSLContext | None = None) -> Iterator[StubApi]:
    """Answers `replies` at a port of loopback; any other path with 404."""
    made = StubApi({path: [reply] for path, reply in replies.items()})

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(f"{self.command} {self.path}")
            made.headers.append({name.lower(): value for name, value in self.headers.items()})
            if isinstance(self.connection, ssl.SSLSocket):
                made.certificates.append(self.connection.getpeercert())
            length = int(self.headers.get("Content-Length") or 0)
            if length:
                text = self.rfile.read(length).decode()
                form = self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
                made.forms.append(text) if form else made.bodies.append(json.loads(text))
            queue = made.replies.get(urlsplit(self.path).path) or [Reply({"message": "no such thing"}, 404)]
            reply = queue.pop(0) if len(queue) > 1 else queue[0]
            if not reply.status:
                made.silent.wait(30)
                return
            body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET  # noqa: N815  the name is http.server's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    try:
        yield made
    finally:
        made.silent.set()
        server.shutdown()
        server.server_close()
        thread.join()
