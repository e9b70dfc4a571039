"""Who calls, and what a route asks of them. Reading may be free; a change always has an author."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge_app.accounts.directory import Actor
from edge_app.accounts.roles import AccessRole

CSRF_HEADER = "X-CSRF-Token"
READING = ("GET", "HEAD")


class Need(str, Enum):
    """What a route asks of its caller."""

    PUBLIC = "public"
    """Nothing: the way in."""
    VIEWER = "viewer"
    """May read: everybody on loopback without a token, whoever has the page's token, any login."""
    PERSON = "person"
    """A person's login, of any role: what concerns only themselves."""
    OPERATOR = "operator"
    ENGINEER = "engineer"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a request.

    Attributes:
        role: None: may not even read.
        kind: "": nobody that could be named; such callers change nothing.
        csrf: of a person's login; sent back with every change.
        session_id: of a person's login.
    """

    role: AccessRole | None
    kind: Literal["person", "machine", ""] = ""
    name: str = ""
    csrf: str = field(default="", repr=False)
    session_id: str = field(default="", repr=False)

    @property
    def actor(self) -> Actor:
        """The author of a change.

        Raises:
            ValueError: nobody that could be named.
        """
        if not self.kind or self.role is None:
            raise ValueError("a change without an author")
        return Actor(self.kind, self.name, self.role)


NOBODY = Caller(None)
READER = Caller(AccessRole.VIEWER)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not carried out."""

    status: int
    text: str


def caller_of(request: Request) -> Caller:
    """Return who calls, as `Access` found out."""
    caller = request.scope.get("caller", NOBODY)
    return caller if isinstance(caller, Caller) else NOBODY


def refusal_of(request: Request, need: Need) -> Refusal | None:
    """Return why a caller may not use a route; None: they may."""
    caller = caller_of(request)
    if need is Need.PUBLIC:
        return None
    if caller.role is None:
        return Refusal(401, "This needs a login, or a token: see /login.")
    if need is Need.VIEWER and (request.method in READING or not caller.kind):
        return None
    if not caller.kind:
        return Refusal(
            401,
            "A change needs its author: log in at /login. Reading needs no login here. The first "
            "engineer gets a code from `sudo edge-app users first-engineer` on the device.",
        )
    if need is Need.PERSON and caller.kind != "person":
        return Refusal(403, "This is for a person's login; a token cannot do it.")
    wanted = AccessRole(need.value) if need is not Need.PERSON else AccessRole.VIEWER
    if not caller.role.includes(wanted):
        return Refusal(
            403, f"This needs the role {wanted.value}; {caller.name} is {caller.role.value}."
        )
    if caller.kind == "person" and request.method not in READING and not _is_own(request, caller):
        return Refusal(
            403, "Only this page's own script may do that for you. Open the page again, then retry."
        )
    return None


def sees_names(caller: Caller) -> bool:
    """Tell whether a caller is told who marked a part; others get a pseudonym for each."""
    return caller.role is not None and caller.role.includes(AccessRole.OPERATOR)


def is_same_origin(request: Request) -> bool:
    """Tell whether the browser, if it is one, says that the page's own script asks."""
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _is_own(request: Request, caller: Caller) -> bool:
    given = request.headers.get(CSRF_HEADER, "")
    is_known = hmac.compare_digest(given.encode("latin-1", "replace"), caller.csrf.encode())
    return is_known and is_same_origin(request)


class RightRoute(Route):
    """A route that states what it asks of its caller, and asks it.

    Args:
        need: what is asked.
        refuse: makes the answer to a caller who may not.
    """

    def __init__(
        self,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        need: Need,
        refuse: Callable[[Refusal], Response],
        methods: tuple[str, ...] = ("GET",),
    ) -> None:
        async def asked(request: Request) -> Response:
            refusal = refusal_of(request, need)
            return await endpoint(request) if refusal is None else refuse(refusal)

        self.need = need
        super().__init__(path, asked, methods=list(methods))
