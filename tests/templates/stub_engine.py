"""A small engine that does as the request says, and remembers what it saw. Speaks just enough of the OpenAI API."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StubEngine:
    """`running` and `most` count completions; `aborted` those whose client left; `seen` holds (path, headers)."""

    def __init__(self) -> None:
        self.healthy = True
        self.lock = threading.Lock()
        self.running = self.most = self.aborted = self.served = 0
        self.seen: list[tuple[str, dict[str, str]]] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            server_version = "stub-engine"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                if self.path == "/health":
                    self.answer(200 if stub.healthy else 503, {"status": "ok" if stub.healthy else "loading"})
                    return
                with stub.lock:
                    stub.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.answer(200, {"path": self.path})

            def do_POST(self) -> None:
                wish = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stub.lock:
                    stub.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                    stub.running += 1
                    stub.most = max(stub.most, stub.running)
                self.left = False
                try:
                    self.complete(wish)
                    stub.served += 1
                except ConnectionError:
                    stub.aborted += 1
                    self.close_connection = True
                finally:
                    self.leave()

            def leave(self) -> None:
                """The request no longer counts as running: said before its last byte is sent, for with that byte the
                proxy may send the next one."""
                with stub.lock:
                    stub.running -= 0 if self.left else 1
                self.left = True

            def complete(self, wish: dict[str, Any]) -> None:
                self.think(wish.get("delay", 0.0))
                chunks = wish.get("chunks", 0)
                if not chunks:
                    self.leave()
                    self.answer(200, {"choices": [{"message": {"content": "hello"}}]})
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for index in range(chunks):
                    if index:
                        self.think(wish.get("gap", 0.0))
                    event = f"data: {index}\n\n".encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
                self.leave()
                self.wfile.write(b"0\r\n\r\n")

            def think(self, seconds: float) -> None:
                """Sleep, but see a peer that leaves, as an engine does."""
                end = time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    readable, _, _ = select.select([self.connection], [], [], min(left, 0.05))
                    if readable and not self.connection.recv(1, socket.MSG_PEEK):
                        raise ConnectionResetError

            def answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]

    @contextmanager
    def serving(self) -> Iterator[StubEngine]:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        with suppress(OSError):
            self.server.shutdown()
            self.server.server_close()
