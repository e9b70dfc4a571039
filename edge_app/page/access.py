"""Who may see the page: a token for everyone, or this machine only. One ASGI layer for all routes.

With a token every request needs it: `Authorization: Bearer TOKEN`, `?token=TOKEN`, or a cookie that
the page sets once a browser has opened it as `/?token=TOKEN`. Without a token the page is bound to
loopback and answers only to loopback names, so that no web site can reach it through DNS rebinding.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "cropliq_page"
DATA = ("/api/", "/frame/", "/stream/", "/evidence/", "/healthz")
"""Addresses that are read by programs; the others are opened by people."""
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

REFUSED = (
    "This page needs its token. Open it once as http://ADDRESS:PORT/?token=TOKEN, or send the "
    "header 'Authorization: Bearer TOKEN'. The token is in the file named by page.token_file "
    "in the device's configuration.\n"
)
WRONG_NAME = (
    "This page is open to this machine only. Open it as http://127.0.0.1:PORT/, or set "
    "page.token_file in the device's configuration to reach it from elsewhere.\n"
)


class Access:
    """ASGI layer: lets a request in or answers it, and puts the security headers on every answer.

    Args:
        app: the protected application.
        token: the secret, or None on a page bound to loopback.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        answer = self._answer(scope) or self._app
        await answer(scope, receive, send_secured)

    def _answer(self, scope: Scope) -> Response | None:
        """Return the refusal or the redirect for a request, None to let it in."""
        headers = Headers(scope=scope)
        if self._token is None:
            name = re.sub(r":\d+$", "", headers.get("host", ""))
            return None if name in LOOPBACK_NAMES else _refuse(WRONG_NAME, 403)
        query = parse_qsl(scope["query_string"].decode("latin-1"))
        given = dict(query).get("token")
        if given is not None and _same(given, self._token):
            if scope["path"].startswith(DATA):
                return None  # for scripts: they keep no cookie and show no address bar
            return self._remember(scope["path"], query)
        if _same(_bearer(headers), self._token):
            return None
        if _same(_cookie(headers), cookie_value(self._token)):
            return None
        return _refuse(REFUSED, 401)

    def _remember(self, path: str, query: list[tuple[str, str]]) -> Response:
        """Set the cookie and redirect to the same address without the token."""
        rest = urlencode([(key, value) for key, value in query if key != "token"])
        target = "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")
        answer = RedirectResponse(target, 303)
        value = cookie_value(self._token or "")
        answer.set_cookie(COOKIE, value, httponly=True, samesite="strict", max_age=30 * 86400)
        return answer


def cookie_value(token: str) -> str:
    """Return the cookie's value: derived from the token, so that it does not reveal it."""
    return hmac.new(token.encode(), b"cropliq page cookie 1", hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _bearer(headers: Headers) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel is not None else ""


def _refuse(text: str, status: int) -> Response:
    challenge = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return PlainTextResponse(text, status, challenge)
