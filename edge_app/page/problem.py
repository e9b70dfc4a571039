"""Errors of the API in words: application/problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse, PlainTextResponse, Response

from edge_app.page.rights import Refusal

PROBLEM_TYPE = "application/problem+json"


class ProblemError(Exception):
    """Ends a request with a status and a sentence."""

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_s = status, detail, retry_after_s

    def answer(self) -> Response:
        """Return what the client gets."""
        return problem(self.status, self.detail, self.retry_after_s)


def problem(status: int, detail: str, retry_after_s: int | None = None) -> Response:
    """Return an error's answer."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    body = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, PROBLEM_TYPE)


def refused(refusal: Refusal) -> Response:
    """Return the API's answer to a caller who may not."""
    return problem(refusal.status, refusal.text)


def refused_in_text(refusal: Refusal) -> Response:
    """Return a page's answer to a caller who may not."""
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
    return PlainTextResponse(refusal.text + "\n", refusal.status, headers)
