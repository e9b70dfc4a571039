"""Who calls: one ASGI layer for all routes finds it out and lets nobody read who may not.

With the page's token every request needs it, or a login: `Authorization: Bearer TOKEN`,
`?token=TOKEN`, or a cookie that the page sets once a browser has opened it as `/?token=TOKEN`.
Without a token the page is bound to loopback and answers only to loopback names, so that no web
site can reach it through DNS rebinding. What a caller may change is asked by the route (rights.py).
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_app.accounts.directory import TOKEN_PREFIX, Directory
from edge_app.errors import AccountError
from edge_app.page.evidence_urls import EvidenceUrls
from edge_app.page.problem import problem
from edge_app.page.rights import NOBODY, READER, Caller
from edge_app.page.security_headers import secure

_log = logging.getLogger(__name__)

COOKIE = "cropliq_page"
DATA = ("/api/", "/frame/", "/stream/", "/evidence/", "/healthz")
"""Addresses that are read by programs; the others are opened by people."""
PICTURES = re.compile(r"/(frame|stream|evidence)[/.]|/api/v1/parts/[^/]+/[^/]+\.(jpg|png)$")
"""An <img> asks for these, and no script can say for it whether somebody is there."""
IDLE_HEADER = "x-idle-s"
"""Whole seconds since the page that asks was touched last; sent by static/lib/ask.js."""
IDLE_FROM_S = 60
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

REFUSED = (
    "This page needs a login or its token. Log in at /login, open it once as "
    "http://ADDRESS:PORT/?token=TOKEN, or send the header 'Authorization: Bearer TOKEN'. The token "
    "is in the file named by page.token_file in the device's configuration.\n"
)
WRONG_NAME = (
    "This page is open to this machine only. Open it as http://127.0.0.1:PORT/, or set "
    "page.token_file in the device's configuration to reach it from elsewhere.\n"
)


@dataclass(frozen=True, slots=True)
class LogIns:
    """What Access knows of people and programs.

    Attributes:
        directory: who they are.
        urls: addresses of pictures that need no login.
        open_paths: answered to everybody: the way in.
        cookie: name of the login's cookie.
    """

    directory: Directory
    urls: EvidenceUrls
    open_paths: frozenset[str]
    cookie: str


class Access:
    """ASGI layer: lets a request in or answers it, and puts the security headers on every answer.

    Args:
        app: the protected application.
        token: the page's secret, or None on a page bound to loopback.
        log_ins: None: nobody can log in.
    """

    def __init__(self, app: ASGIApp, token: str | None, log_ins: LogIns | None = None) -> None:
        self._app = app
        self._token = token
        self._log_ins = log_ins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                secure(message)
            await send(message)

        answer = self._answer(scope) or self._app
        await answer(scope, receive, send_secured)

    def _answer(self, scope: Scope) -> Response | None:
        """Return the refusal or the redirect for a request, None to let it in with its caller."""
        headers = Headers(scope=scope)
        if self._token is None:
            name = re.sub(r":\d+$", "", headers.get("host", ""))
            if name not in LOOPBACK_NAMES:
                return _refuse(WRONG_NAME, 403)
        bearer = _bearer(headers)
        if self._log_ins is not None and bearer.startswith(TOKEN_PREFIX):
            return self._program(self._log_ins, bearer, scope)
        person = self._person(headers, _is_use(headers, scope["path"]))
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = dict(query).get("token")
        has_token = given is not None and self._token is not None and _same(given, self._token)
        if has_token and not scope["path"].startswith(DATA):
            return self._remember(scope["path"], query, scope["scheme"])
        if person is not None:
            scope["caller"] = person
        elif has_token or self._may_read(headers, bearer) or self._is_screen(headers):
            scope["caller"] = READER
        elif self._log_ins is not None and self._is_open(self._log_ins, scope["path"], query):
            is_picture = scope["path"] not in self._log_ins.open_paths
            scope["caller"] = READER if is_picture else NOBODY
        else:
            return self._refused(headers, scope)
        return None

    def _may_read(self, headers: Headers, bearer: str) -> bool:
        if self._token is None:
            return True
        return _same(bearer, self._token) or _same(_cookie(headers, COOKIE), self._cookie_value)

    def _is_screen(self, headers: Headers) -> bool:
        """Tell whether a browser is a screen that an engineer has let in: it reads, no more."""
        if self._log_ins is None:
            return False
        secret = _cookie(headers, screen_cookie(self._log_ins.cookie))
        try:
            return bool(secret) and self._log_ins.directory.program(secret) is not None
        except AccountError as error:
            _log.warning("no screen can be let in: %s", error)
            return False

    @property
    def _cookie_value(self) -> str:
        return cookie_value(self._token or "")

    def _person(self, headers: Headers, is_use: bool) -> Caller | None:
        """Return the person who is logged in."""
        if self._log_ins is None:
            return None
        session_id = _cookie(headers, self._log_ins.cookie)
        if not session_id:
            return None
        try:
            found = self._log_ins.directory.who(session_id, is_use)
        except AccountError as error:
            _log.warning("nobody can be logged in: %s", error)
            return None
        if found is None:
            return None
        session, account = found
        return Caller(account.role, "person", account.name, session.csrf, session_id)

    def _program(self, log_ins: LogIns, bearer: str, scope: Scope) -> Response | None:
        try:
            token = log_ins.directory.program(bearer)
        except AccountError as error:
            return problem(503, str(error))
        if token is None:
            return problem(401, "This token is not valid, or has expired.")
        scope["caller"] = Caller(token.scope, "machine", token.name)
        return None

    def _is_open(self, log_ins: LogIns, path: str, query: list[tuple[str, str]]) -> bool:
        return path in log_ins.open_paths or log_ins.urls.is_open(path, dict(query))

    def _refused(self, headers: Headers, scope: Scope) -> Response:
        path = scope["path"]
        if self._log_ins is not None and path.startswith("/api/v1/"):
            return problem(401, "This needs a login, or a token in 'Authorization: Bearer TOKEN'.")
        if self._log_ins is not None and path == "/" and "text/html" in headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        return _refuse(REFUSED, 401)

    def _remember(self, path: str, query: list[tuple[str, str]], scheme: str) -> Response:
        """Set the cookie and redirect to the same address without the token."""
        rest = urlencode([(key, value) for key, value in query if key != "token"])
        target = "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")
        answer = RedirectResponse(target, 303)
        is_secure = scheme == "https"
        answer.set_cookie(
            COOKIE,
            self._cookie_value,
            httponly=True,
            samesite="strict",
            secure=is_secure,
            max_age=30 * 86400,
        )
        return answer


def screen_cookie(session_cookie: str) -> str:
    """Return the name of a screen's cookie, by that of a login's."""
    return session_cookie.replace("session", "screen")


def cookie_value(token: str) -> str:
    """Return the cookie's value: derived from the token, so that it does not reveal it."""
    return hmac.new(token.encode(), b"cropliq page cookie 1", hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _is_use(headers: Headers, path: str) -> bool:
    """Return whether somebody is there, as far as a request tells: a program sends no header."""
    idle = headers.get(IDLE_HEADER)
    is_touched = idle is None or (re.fullmatch("[0-9]{1,9}", idle) and int(idle) < IDLE_FROM_S)
    return bool(is_touched) and PICTURES.match(path) is None


def _bearer(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _cookie(headers: Headers, name: str) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _refuse(text: str, status: int) -> Response:
    challenge = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return PlainTextResponse(text, status, challenge)
