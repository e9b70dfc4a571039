"""Request headers that the libraries below would fail on are taken out before they see them."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

RANGE = re.compile(rb"bytes=[ \t]*(\d{0,15}-\d{0,15})([ \t]*,[ \t]*\d{0,15}-\d{0,15}){0,7}[ \t]*")
"""Up to eight ranges of numbers that a file can have. HTTP lets a server ignore any other."""


class HeaderLimits:
    """ASGI layer: a `Range` that makes no sense is ignored, and the whole file is the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(k, v) for k, v in scope["headers"] if k != b"range" or RANGE.fullmatch(v)]
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)
