"""One operation of the API: what it asks, what it takes, what it answers; and its endpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_origin

import anyio
from anyio import CapacityLimiter
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from edge_app.errors import (
    AccountsUnusable,
    ConfigError,
    EdgeError,
    HistoryError,
    OrderError,
)
from edge_app.page.problem import ProblemError, problem, refused
from edge_app.page.rights import Caller, Need, RightRoute, caller_of, is_same_origin

_log = logging.getLogger(__name__)

BASE = "/api/v1"
MAX_BODY_BYTES = 16 << 10
AT_ONCE = 2
"""Threads of a room: two questions of the history at once leave the page its other threads."""
MAX_WAITING = 24
SMALL_ROOMS = {"report": (1, 2)}
"""Room → (threads, of those who work or wait there): what takes seconds is done one at a time."""

Room = Literal["history", "orders", "people", "pictures", "report", "state"]


class Model(BaseModel):
    """Base of what is asked and sent; unknown names are refused."""

    model_config = ConfigDict(defer_build=True, extra="forbid", allow_inf_nan=False)


class Answered(BaseModel):
    """Base of what is answered; later releases may add to it."""

    model_config = ConfigDict(
        defer_build=True, extra="ignore", allow_inf_nan=False, populate_by_name=True
    )


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be carried out.

    Attributes:
        path: the parts of the address that vary.
        query, body: as the operation's models; None where it has none.
        address: the client's.
        is_tls: it came over TLS.
    """

    caller: Caller
    path: Mapping[str, Any]
    query: Any
    body: Any
    address: str
    is_tls: bool


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address.

    Attributes:
        path: below /api/v1, as Starlette writes it.
        work: called in a thread; returns an `Answered`, JSON, or a response.
        answer: None: no JSON.
        room: operations of one room share their threads.
        media_type: of an answer that is no JSON.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    need: Need
    about: str
    work: Callable[[Call], Any]
    room: Room
    answer: type[BaseModel] | None = None
    query: type[Model] | None = None
    body: type[Model] | None = None
    status: int = 200
    media_type: str = "application/json"


@dataclass(slots=True)
class Rooms:
    """Who works and waits in which room; used in the event loop only."""

    limiters: dict[str, CapacityLimiter] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)

    async def run(self, room: str, work: Callable[[], Any]) -> Any:
        """Return what the work returns.

        Raises:
            ProblemError: too many wait there already.
        """
        threads, places = SMALL_ROOMS.get(room, (AT_ONCE, MAX_WAITING))
        if self.waiting.get(room, 0) >= places:
            raise ProblemError(503, "Too many ask for this at once. Try again shortly.", 2)
        limiter = self.limiters.setdefault(room, CapacityLimiter(threads))
        self.waiting[room] = self.waiting.get(room, 0) + 1
        try:
            return await anyio.to_thread.run_sync(work, limiter=limiter)
        finally:
            self.waiting[room] -= 1


def route_of(operation: Operation, rooms: Rooms) -> RightRoute:
    """Return the operation's route."""

    async def endpoint(request: Request) -> Response:
        try:
            call = await _call(operation, request)
            found = await rooms.run(operation.room, lambda: operation.work(call))
        except Exception as error:
            return _failed(error)
        if isinstance(found, Response):
            return found
        if isinstance(found, BaseModel):
            found = found.model_dump(mode="json", by_alias=True)
        return Response(None, 204) if found is None else JSONResponse(found, operation.status)

    return RightRoute(BASE + operation.path, endpoint, operation.need, refused, (operation.method,))


async def _call(operation: Operation, request: Request) -> Call:
    if operation.method != "GET" and not is_same_origin(request):
        raise ProblemError(403, "Another web site asks for this: refused.")
    query = body = None
    if operation.query is not None:
        query = _parsed(operation.query, _query_of(operation.query, request), "the address")
    if operation.body is not None:
        body = await _body(operation.body, request)
    return Call(
        caller=caller_of(request),
        path=request.path_params,
        query=query,
        body=body,
        address=request.client.host if request.client else "",
        is_tls=request.url.scheme == "https",
    )


def _query_of(model: type[Model], request: Request) -> dict[str, Any]:
    lists = {
        f.alias or name
        for name, f in model.model_fields.items()
        if get_origin(f.annotation) in (list, tuple)
    }
    found: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name == "token":
            continue  # the page's: it opened the way
        if name in lists:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise ProblemError(400, f"{name[:40]!r} stands in the address twice, expected once.")
        else:
            found[name] = value
    return found


async def _body(model: type[Model], request: Request) -> Model:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProblemError(415, "Expected a body with Content-Type: application/json.")
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise ProblemError(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
    return _parsed(model, data, "the body")


def _parsed(model: type[Model], given: Any, where: str) -> Model:
    try:
        if isinstance(given, bytes):
            return model.model_validate_json(given)
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        name = ".".join(str(part)[:40] for part in first["loc"]) or "all of it"
        raise ProblemError(400, f"In {where}, {name}: {first['msg']}.") from error


def _failed(error: Exception) -> Response:
    """Return an error's answer: words for what is known, 500 for what is not."""
    if isinstance(error, ProblemError):
        return error.answer()
    if isinstance(error, AccountsUnusable | HistoryError | ConfigError | OrderError):
        return problem(503, str(error), 5)
    if isinstance(error, EdgeError):
        return problem(409, str(error))
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    _log.error("an API request failed", exc_info=error)
    return problem(500, "The page failed on this request; its journal says how.")
