"""A web server that misbehaves as told, one answer after another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
Answer = Callable[["FaultyHandler"], None]


class FaultyHandler(BaseHTTPRequestHandler):
    """Gives the server's next answer; the last one is given again and again."""

    server: FaultyServer

    def do_GET(self) -> None:
        ranges = self.headers.get("Range")
        self.server.asked.append((self.path, ranges))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    @property
    def first(self) -> int:
        """The first byte that was asked for."""
        ranges = self.headers.get("Range")
        return int(ranges.removeprefix("bytes=").rstrip("-")) if ranges else 0

    def head(self, status: int, **headers: Any) -> None:
        """Send the status line and headers (Content_Length=1 → Content-Length: 1)."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class FaultyServer(ThreadingHTTPServer):
    """`asked` lists (path, Range header) of every request."""

    daemon_threads = True

    def __init__(self, *answers: Answer, port: int = 0) -> None:
        super().__init__((HOST, port), FaultyHandler)
        self.answers = list(answers)
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/a.bundle"


@contextmanager
def serving(*answers: Answer, port: int = 0) -> Iterator[FaultyServer]:
    """Run a server with these answers, on any free port or a given one."""
    with FaultyServer(*answers, port=port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def whole(payload: bytes, cut_after: int | None = None, total: int | None = None) -> Answer:
    """Answer as a good server does, with ranges.

    Args:
        cut_after: hang up after so many bytes of the body.
        total: claim that the file has so many bytes.
    """

    def answer(handler: FaultyHandler) -> None:
        first, claimed = handler.first, total if total is not None else len(payload)
        if first:
            content = f"bytes {first}-{claimed - 1}/{claimed}"
            handler.head(206, Content_Length=claimed - first, Content_Range=content)
        else:
            handler.head(200, Content_Length=claimed)
        body = payload[first:]
        handler.wfile.write(body if cut_after is None else body[:cut_after])

    return answer


def without_ranges(payload: bytes) -> Answer:
    """Answer with the whole file whatever was asked."""

    def answer(handler: FaultyHandler) -> None:
        handler.head(200, Content_Length=len(payload))
        handler.wfile.write(payload)

    return answer


def status(code: int, **headers: Any) -> Answer:
    """Answer with a status and no body."""
    return lambda handler: handler.head(code, Content_Length=0, **headers)
