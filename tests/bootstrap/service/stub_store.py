"""STUB of a model store: one file, ranges, and the faults that a test asks for."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Store:
    """A server of one file, and what it was asked."""

    content: bytes
    cuts: list[int] = field(default_factory=list)
    """bytes after which the next answers break off"""
    statuses: list[int] = field(default_factory=list)
    """statuses of the next answers, in place of the file"""
    ranges: bool = True
    slow: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """path and range of each request"""
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serve_store(content: bytes, address: str = "127.0.0.1") -> Iterator[Store]:
    """Serves `content` at any path of a port that the store's `url` names."""
    made = Store(content)

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            made.asked.append((self.path, asked))
            made.headers.append({k.lower(): v for k, v in self.headers.items()})
            if made.statuses:
                self.send_error(made.statuses.pop(0))
                return
            start = int(asked.removeprefix("bytes=").split("-")[0]) if asked and made.ranges else 0
            if start and start >= len(made.content):
                self.send_error(416)
                return
            body = made.content[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(made.content) - 1}/{len(made.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            slow = made.slow
            cut = made.cuts.pop(0) if made.cuts else len(body)
            with suppress(OSError):
                for at in range(0, cut, 65536):
                    self.wfile.write(body[at : min(at + 65536, cut)])
                    if slow:
                        time.sleep(0.2)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.url = f"http://{address}:{server.server_address[1]}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
