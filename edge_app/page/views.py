"""The pages that people open, and the files that are answered to everybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from edge_app.page.problem import refused_in_text
from edge_app.page.rights import Need, RightRoute
from edge_app.page.security_headers import allowing_style
from edge_app.page.static_files import StaticFiles
from edge_app.records import JsonObject
from edge_app.report.html import STYLE as REPORT_STYLE

STATIC = Path(__file__).parent / "static"
FILES = StaticFiles(STATIC)


@dataclass(frozen=True, slots=True)
class View:
    """A page in the head's row of ways.

    Attributes:
        name: its words are `nav.NAME` in every language file.
        file: in the folder `static`.
        is_in_head: False: reached from another page.
        style: an inline style that a document shown within it may have.
    """

    name: str
    path: str
    file: str
    is_in_head: bool = True
    style: str = ""


VIEWS = (
    View("line", "/", "index.html"),
    View("parts", "/parts", "parts.html"),
    View("part", "/part", "part.html", is_in_head=False),
    View("limit", "/limit", "limit.html"),
    View("health", "/health", "health.html"),
    View("report", "/report", "report.html", style=REPORT_STYLE),
    View("people", "/users", "users.html"),
)
"""In the order in which the head shows them."""

_SHARED = ("api", "ask", "dom", "steady", "words")
_LANGUAGES = ("en", "ko")

WAY_IN = {
    "/login": "login.html",
    "/login/login.js": "login.js",
    "/login/page.css": "page.css",
    "/login/people.css": "people.css",
    "/login/icon.svg": "icon.svg",
    **{f"/login/lib/{name}.js": f"lib/{name}.js" for name in _SHARED},
    **{f"/login/words/{tag}.json": f"words/{tag}.json" for tag in _LANGUAGES},
}
"""Address → file of what is answered to everybody; nothing else is."""


def view_routes() -> list[RightRoute]:
    """Return the routes of pages and of the way in."""
    return [
        *(RightRoute(v.path, _opened(v), Need.VIEWER, refused_in_text) for v in VIEWS),
        *(RightRoute(path, _way_in, Need.PUBLIC, refused_in_text) for path in WAY_IN),
    ]


def views_json() -> list[JsonObject]:
    """Return the pages that this device serves, as the head shows them."""
    return [{"name": view.name, "path": view.path} for view in VIEWS if view.is_in_head]


class _opened:  # noqa: N801 - an endpoint
    """Answers with a page; what it shows is asked for by its script."""

    def __init__(self, view: View) -> None:
        self._file = view.file
        self._headers = allowing_style(view.style) if view.style else {}

    async def __call__(self, request: Request) -> Response:
        return FILES.answer(request, self._file, self._headers)


async def _way_in(request: Request) -> Response:
    name = WAY_IN[request.url.path]
    return FILES.answer(request, name, {} if name.endswith(".html") else None)
