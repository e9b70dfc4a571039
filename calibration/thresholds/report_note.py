"""The report inside a bundle says first what has changed since it was written."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence

REPORT = "report.html"

_BEGIN, _END = "<!-- since the build -->", "<!-- /since the build -->"
_PLACES = (r"</h1>", r"<body[^>]*>", r"</head>", r"<html[^>]*>")
"""The note is put behind the first of these that the page has, else in front of everything."""


def with_note(files: Mapping[str, bytes], sentences: Sequence[str]) -> dict[str, bytes]:
    """Return the files with a note in their report, the newest on top; unchanged without one.

    Args:
        sentences: plain text; the first names the limit in force.
    """
    if REPORT not in files:
        return dict(files)
    page = files[REPORT].decode(errors="surrogateescape")
    note = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    if _BEGIN in page:
        page = page.replace(_BEGIN, f"{_BEGIN}{note}", 1)
    else:
        at = _place(page)
        page = f"{page[:at]}{_section(note)}{page[at:]}"
    return {**files, REPORT: page.encode(errors="surrogateescape")}


def _section(note: str) -> str:
    return (
        f'<div class="answer"><p>Changed since the build by edge-calibrate</p>{_BEGIN}{note}{_END}'
        "<p>Everything below is of the limit that was set at build.</p></div>"
    )


def _place(page: str) -> int:
    for pattern in _PLACES:
        found = re.search(pattern, page, re.IGNORECASE)
        if found is not None:
            return found.end()
    return 0
