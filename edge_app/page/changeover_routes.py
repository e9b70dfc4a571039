"""The only addresses of the live page that change anything: the product, through the agent."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from edge_app.errors import EdgeError
from edge_app.page.changeover import Changeover

MAX_BODY_BYTES = 4096


class _Selection(BaseModel):
    """What the page's script sends."""

    model_config = ConfigDict(extra="forbid")

    slot: str = Field(min_length=1, max_length=64)
    product: str = Field(min_length=1, max_length=64)


class ChangeoverRoutes:
    """Lists products and changes slots over, in the page's own threads."""

    def __init__(self, changeover: Changeover) -> None:
        self._changeover = changeover

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/api/slots", self.slots),
            Route("/api/select", self.select, methods=["POST"]),
        ]

    async def slots(self, _request: Request) -> Response:
        """Answer with every slot, its active product and what is installed; 503 with the reason if
        the agent does not answer."""
        try:
            return JSONResponse(await run_in_threadpool(self._changeover.slots_json))
        except EdgeError as error:
            return _told(503, False, str(error))

    async def select(self, request: Request) -> Response:
        """Change a slot over: 200 done, 409 not done, 503 unknown; each with a sentence."""
        if not _is_own_script(request):
            return _told(403, False, "Only this page's own script may change products.")
        body = await _body(request)
        try:
            selection = _Selection.model_validate_json(body)
        except ValidationError:
            return _told(400, False, 'Expected JSON {"slot": NAME, "product": NAME}, got neither.')
        try:
            is_done, text = await run_in_threadpool(
                self._changeover.select, selection.slot, selection.product
            )
        except EdgeError as error:
            return _told(503, False, str(error))
        return _told(200 if is_done else 409, is_done, text)


def _is_own_script(request: Request) -> bool:
    """Tell whether this is not a cross-site request: for JSON the browser would need a CORS
    preflight, which is never granted here, or it states the origin of the request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    site = request.headers.get("sec-fetch-site", "same-origin")
    return kind == "application/json" and site == "same-origin"


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return b""
    return body


def _told(status: int, is_done: bool, text: str) -> Response:
    return JSONResponse({"is_done": is_done, "text": text}, status)
