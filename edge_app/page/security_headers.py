"""The headers that every answer of a page carries, whatever made it."""

from __future__ import annotations

import base64
import hashlib

from starlette.datastructures import MutableHeaders
from starlette.types import Message

CONTENT_POLICY, CACHE = "Content-Security-Policy", "Cache-Control"

SECURITY_HEADERS = {
    CONTENT_POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    CACHE: "no-store",
}
OWN = (CONTENT_POLICY, CACHE)
"""What an answer may state for itself."""


def secure(message: Message) -> None:
    """Put the headers on an answer's start."""
    headers = MutableHeaders(scope=message)
    for name, value in SECURITY_HEADERS.items():
        if name in OWN:
            headers.setdefault(name, value)
        else:
            headers[name] = value


def allowing_style(style: str) -> dict[str, str]:
    """Return the headers of a view that shows a document with exactly this inline style."""
    policy = SECURITY_HEADERS[CONTENT_POLICY]
    known = "style-src 'self'"
    return {CONTENT_POLICY: policy.replace(known, f"{known} {_source(style)}")}


def document_alone(style: str) -> dict[str, str]:
    """Return the headers of a document that fetches and runs nothing and has this inline style."""
    return {
        CONTENT_POLICY: f"default-src 'none'; style-src {_source(style)}; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; sandbox"
    }


def _source(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"'sha256-{digest}'"
