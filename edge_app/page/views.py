"""The pages that people open, and the files that are answered to everybody."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from edge_app.page.problem import refused_in_text
from edge_app.page.rights import Need, RightRoute
from edge_app.records import JsonObject

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class View:
    """A page in the head's row of ways.

    Attributes:
        name: its words are `nav.NAME` in every language file.
        file: in the folder `static`.
        is_in_head: False: reached from another page.
    """

    name: str
    path: str
    file: str
    is_in_head: bool = True


VIEWS = (
    View("line", "/", "index.html"),
    View("parts", "/parts", "parts.html"),
    View("part", "/part", "part.html", is_in_head=False),
    View("limit", "/limit", "limit.html"),
    View("health", "/health", "health.html"),
    View("people", "/users", "users.html"),
)
"""In the order in which the head shows them."""

_SHARED = ("api", "dom", "words")
_LANGUAGES = ("en", "ko")

WAY_IN = {
    "/login": ("login.html", "text/html"),
    "/login/login.js": ("login.js", "text/javascript"),
    "/login/page.css": ("page.css", "text/css"),
    "/login/people.css": ("people.css", "text/css"),
    "/login/icon.svg": ("icon.svg", "image/svg+xml"),
    **{f"/login/lib/{name}.js": (f"lib/{name}.js", "text/javascript") for name in _SHARED},
    **{f"/login/words/{tag}.json": (f"words/{tag}.json", "application/json") for tag in _LANGUAGES},
}
"""Address → file and kind of what is answered to everybody; nothing else is."""


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
        self._file = STATIC / view.file

    async def __call__(self, _request: Request) -> Response:
        return FileResponse(self._file, media_type="text/html")


async def _way_in(request: Request) -> Response:
    name, kind = WAY_IN[request.url.path]
    return FileResponse(STATIC / name, media_type=kind)
