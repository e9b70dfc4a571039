"""The page for setting a camera up: live picture, focus figure, histogram. Served by
`edge-app camera focus`, never by a running line."""

from __future__ import annotations

import threading

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from edge_app.alerts.evidence import encode_jpeg
from edge_app.camera_setup.focusing import FocusWatch
from edge_app.page.pictures import JPEG_QUALITY, fit_screen
from edge_app.page.server import PageServer
from edge_app.page.settings import PageSettings
from edge_app.page.views import FILES


class SetupPage(PageServer):
    """Shows one camera while a person adjusts its lens.

    Args:
        settings: where, and for whom.
        watch: looks at the camera.
    """

    def __init__(self, settings: PageSettings, watch: FocusWatch) -> None:
        self._watch = watch
        app = Starlette(
            routes=[
                Route("/", self._index),
                Route("/api/setup", self._figures),
                Route("/api/setup/forget-best", self._forget, methods=["POST"]),
                Route("/frame.jpg", self._frame),
                Mount("/static", FILES),
            ]
        )
        super().__init__(settings, app, threading.Event())

    async def _index(self, request: Request) -> Response:
        return FILES.answer(request, "setup.html", {})

    async def _figures(self, _request: Request) -> Response:
        return JSONResponse(self._watch.as_json())

    async def _forget(self, _request: Request) -> Response:
        self._watch.forget_best()
        return Response(status_code=204)

    async def _frame(self, request: Request) -> Response:
        """Answer with the latest picture; 204 unless it is newer than `?after=N`."""
        latest = self._watch.picture()
        if latest is None:
            return PlainTextResponse("There is no picture yet.\n", 404)
        sequence, pixels_hwc = latest
        if request.query_params.get("after") == str(sequence):
            return Response(status_code=204)
        data = await run_in_threadpool(lambda: encode_jpeg(fit_screen(pixels_hwc), JPEG_QUALITY))
        if data is None:
            return PlainTextResponse("The picture cannot be encoded.\n", 500)
        return Response(data, 200, {"X-Frame-Sequence": str(sequence)}, "image/jpeg")
