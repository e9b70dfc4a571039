"""The page's addresses. Those here only read; changeover_routes.py changes products, api/ the rest.

Every route states what it asks of its caller (rights.py).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount

from edge_app.accounts.directory import Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.page.api.catalogue import COOKIE, Office, api_routes, operations
from edge_app.page.api.operation import BASE
from edge_app.page.changeover import Changeover
from edge_app.page.changeover_routes import ChangeoverRoutes
from edge_app.page.part_evidence import EvidenceFiles
from edge_app.page.pictures import PictureCache
from edge_app.page.problem import problem, refused_in_text
from edge_app.page.rights import Need, RightRoute
from edge_app.page.source import LineSource
from edge_app.page.views import FILES, view_routes, views_json

BOUNDARY = "cropliq-frame"
POLL_S = 0.04
"""How often a stream checks for a newer picture: 25 times per second looks smooth."""
MAX_STREAMS = 8
"""Streams at once; the ninth client gets 503, so that the page does not get slow for all."""


FIRST_PICTURE_S = 1.5
"""How long the first client of a camera waits until its pictures come over from inspection."""


class Pages:
    """Answers requests from the line's copies, in the page's own event loop and threads.

    Args:
        source: the line's latest copies.
        evidence: the evidence pictures, or None if none are kept.
        is_stopping: tells streams to end.
        changeover: changes products, or None if the page changes none.
        office: what the API is answered from; None: nobody can log in, and only the line is shown.
        cookie: name of a login's cookie.
    """

    def __init__(
        self,
        source: LineSource,
        evidence: EvidenceFiles | None,
        is_stopping: Callable[[], bool],
        changeover: Changeover | None = None,
        office: Office | None = None,
        cookie: str = COOKIE,
    ) -> None:
        self._source = source
        self._evidence = evidence
        self._changeover = changeover
        self._office = office or Office(Directory.of(PeopleFile(None)))
        self._cookie = cookie
        self._is_stopping = is_stopping
        self._pictures = PictureCache(source)
        self._streams = 0

    def app(self) -> Starlette:
        """Return the ASGI application, still without access rules."""
        found = operations(self._office, self._source, self._evidence, self._cookie)
        static = Mount("/static", FILES)
        routes = [*self.routes(), *api_routes(found), static]
        return Starlette(routes=routes, exception_handlers={HTTPException: _not_served})

    def routes(self) -> list[RightRoute]:
        """Return the addresses beside the API's."""
        changing = (
            ChangeoverRoutes(self._changeover, self._office.directory).routes()
            if self._changeover
            else []
        )
        reading = {
            "/api/state": self.state,
            "/api/alerts": self.alerts,
            "/frame/{camera}.jpg": self.frame,
            "/stream/{camera}.mjpeg": self.stream,
            "/evidence/{path:path}": self.evidence,
            "/healthz": self.healthz,
        }
        return [
            *(RightRoute(path, e, Need.VIEWER, refused_in_text) for path, e in reading.items()),
            *view_routes(),
            *changing,
        ]

    async def state(self, _request: Request) -> Response:
        """Answer with verdicts, figures and states of all cameras."""
        more = {
            "can_change_product": self._changeover is not None,
            "device": self._office.place.json(),
            "views": views_json(),
        }
        return JSONResponse({**self._source.state(), **more})

    async def alerts(self, _request: Request) -> Response:
        """Answer with the last alarms, newest first."""
        return JSONResponse(self._source.alerts())

    async def healthz(self, _request: Request) -> Response:
        """Answer that the page is served; says nothing about the line."""
        return JSONResponse({"page": "ok"})

    async def frame(self, request: Request) -> Response:
        """Answer with the latest picture; `?map=1` with the map, `?after=N` only if it is newer.

        204 when there is none newer than number N, 404 for a camera without a picture.
        """
        camera = request.path_params["camera"]
        if request.query_params.get("after") == str(self._source.sequence(camera)):
            return Response(status_code=204)
        await self._until_here(camera)
        picture = await self._jpeg(camera, request)
        if picture is None:
            return _not_found(f"There is no picture of a camera named {camera!r} yet.")
        return Response(picture[1], 200, {"X-Frame-Sequence": str(picture[0])}, "image/jpeg")

    async def stream(self, request: Request) -> Response:
        """Answer with an endless multipart JPEG stream, for wall displays and recorders."""
        camera = request.path_params["camera"]
        if self._source.sequence(camera) is None:
            return _not_found(f"There is no camera named {camera!r}.")
        if self._streams >= MAX_STREAMS:
            text = f"Already {MAX_STREAMS} streams are open. Close one, or use /frame/.\n"
            return PlainTextResponse(text, 503)
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        return StreamingResponse(self._parts(camera, request), media_type=kind)

    async def evidence(self, request: Request) -> Response:
        """Answer with an evidence picture."""
        try:
            name = request.path_params["path"]
            path = self._evidence.path_of(name) if self._evidence else None
            is_readable = path is None or os.access(path, os.R_OK)
        except PermissionError:
            path, is_readable = None, False
        if not is_readable:
            text = "The page's account may not read this picture; see docs/page.md.\n"
            return PlainTextResponse(text, 503)
        if path is None:
            return _not_found("This picture is not kept on the device, or no longer.")
        return FileResponse(path, media_type="image/jpeg")

    async def _parts(self, camera: str, request: Request) -> AsyncIterator[bytes]:
        sent = -1
        self._streams += 1
        try:
            while not self._is_stopping():
                is_new = self._is_here(camera, sent)
                picture = await self._jpeg(camera, request) if is_new else None
                if picture is None:
                    await asyncio.sleep(POLL_S)
                    continue
                sent = picture[0]
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture[1])}\r\n\r\n"
                yield f"--{BOUNDARY}\r\n{head}".encode() + picture[1] + b"\r\n"
        finally:
            self._streams -= 1

    def _is_here(self, camera: str, sent: int) -> bool:
        """Tell whether a picture has come that is newer than the one that was sent."""
        self._source.sequence(camera)  # asks for the next one
        latest = self._source.picture(camera)
        return latest is not None and latest.sequence != sent

    async def _until_here(self, camera: str) -> None:
        """Wait a moment for a picture that is known and on its way from inspection."""
        for _ in range(int(FIRST_PICTURE_S / POLL_S)):
            known = self._source.sequence(camera)
            latest = self._source.picture(camera)
            if not known or (latest is not None and latest.sequence >= known):
                return
            await asyncio.sleep(POLL_S)

    async def _jpeg(self, camera: str, request: Request) -> tuple[int, bytes] | None:
        with_map = request.query_params.get("map") == "1"
        return await run_in_threadpool(self._pictures.jpeg, camera, with_map)


async def _not_served(request: Request, error: Exception) -> Response:
    """Answer to an address or method that there is not."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    what = "There is no such address." if status == 404 else "This address has no such method."
    if request.url.path.startswith(f"{BASE}/"):
        return problem(status, f"{what} See {BASE}/openapi.json.")
    return PlainTextResponse("Not Found" if status == 404 else what, status)


def _not_found(text: str) -> Response:
    return PlainTextResponse(text + "\n", 404)
