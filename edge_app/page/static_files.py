"""The page's own files, packed once and sent anew each time: no browser keeps one of before.

Nothing else of the page is packed: an answer that holds a secret beside something that its reader
may choose would tell the secret by its length (BREACH).
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
SENT_ANEW = {"Cache-Control": "no-store"}
"""After an update every file of the page is of one release, and who is logged out reads none."""


@dataclass(frozen=True, slots=True)
class _Held:
    stamp: tuple[int, int]
    plain: bytes
    packed: bytes


class StaticFiles:
    """Answers with the files below a folder, and with nothing else.

    Args:
        folder: with the files that are there now; one that is added later is not served.
    """

    def __init__(self, folder: Path) -> None:
        self._paths = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.suffix in KINDS and path.is_file()
        }
        self._held: dict[str, _Held] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request below the address at which this is mounted."""
        request = Request(scope)
        name = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        if request.method not in ("GET", "HEAD"):
            answer: Response = PlainTextResponse("This address has no such method.", 405)
        else:
            answer = self.answer(request, name)
        await answer(scope, receive, send)

    def answer(
        self, request: Request, name: str, headers: dict[str, str] | None = None
    ) -> Response:
        """Return a file as the browser takes it; 404 without one.

        Args:
            headers: instead of those that keep a browser from keeping it.
        """
        held = self._file(name)
        if held is None:
            return PlainTextResponse("Not Found", 404)
        is_packed = _takes_gzip(request.headers) and len(held.packed) < len(held.plain)
        told = {**(SENT_ANEW if headers is None else headers), "Vary": "Accept-Encoding"}
        if is_packed:
            told["Content-Encoding"] = "gzip"
        kind = KINDS[Path(name).suffix]
        return Response(held.packed if is_packed else held.plain, 200, told, kind)

    def _file(self, name: str) -> _Held | None:
        path = self._paths.get(name)
        if path is None:
            return None
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            held = self._held.get(name)
            if held is None or held.stamp != stamp:
                plain = path.read_bytes()
                packed = gzip.compress(plain, 9, mtime=0)
                held = self._held[name] = _Held(stamp, plain, packed)
        except OSError:
            return None
        return held


def _takes_gzip(headers: Headers) -> bool:
    """Tell whether a browser unpacks gzip; `q=0` says that it does not."""
    for one in headers.get("accept-encoding", "").split(","):
        coding, _, more = one.partition(";")
        if coding.strip().lower() == "gzip":
            return more.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
