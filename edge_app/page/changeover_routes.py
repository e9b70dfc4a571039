"""Changing the product on the page, through the agent: for operators, in their name."""

from __future__ import annotations

import logging

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge_app.accounts.directory import Directory
from edge_app.errors import AccountError, EdgeError
from edge_app.ipc.protocol import Requester
from edge_app.page.changeover import Changeover
from edge_app.page.rights import Need, Refusal, RightRoute, caller_of

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 4096


class _Selection(BaseModel):
    """What the page's script sends, or a program with a token."""

    model_config = ConfigDict(defer_build=True, extra="forbid")

    slot: str = Field(min_length=1, max_length=64)
    product: str = Field(min_length=1, max_length=64)


class ChangeoverRoutes:
    """Lists products and changes slots over, in the page's own threads.

    Args:
        changeover: asks the agent.
        directory: takes down who changed what, for the audit.
    """

    def __init__(self, changeover: Changeover, directory: Directory) -> None:
        self._changeover, self._directory = changeover, directory

    def routes(self) -> list[RightRoute]:
        """Return the addresses."""
        return [
            RightRoute("/api/slots", self.slots, Need.VIEWER, _refused),
            RightRoute("/api/select", self.select, Need.OPERATOR, _refused, ("POST",)),
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
                self._changeover.select, selection.slot, selection.product, _author(request)
            )
        except EdgeError as error:
            return _told(503, False, str(error))
        if is_done:
            await run_in_threadpool(self._take_down, request, selection)
        return _told(200 if is_done else 409, is_done, text)

    def _take_down(self, request: Request, selection: _Selection) -> None:
        """Keep who changed the product; the product is changed, whatever comes of it."""
        actor = caller_of(request).actor
        what = f"{selection.slot}: {selection.product}"
        _log.info("%s %s changed the product: %s", actor.kind, actor.name, what)
        try:
            self._directory.note(actor, "product_selected", new=what)
        except AccountError as error:
            _log.warning("the audit is not told who changed the product: %s", error)


def _author(request: Request) -> Requester:
    actor = caller_of(request).actor
    return Requester(
        kind=actor.kind, name=actor.name, role=actor.role.value if actor.role else "", via="page"
    )


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


def _refused(refusal: Refusal) -> Response:
    return _told(refusal.status, False, refusal.text)


def _told(status: int, is_done: bool, text: str) -> Response:
    return JSONResponse({"is_done": is_done, "text": text}, status)
