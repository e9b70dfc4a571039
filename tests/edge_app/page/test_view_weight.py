"""What a browser loads for one view in one language; nothing of it comes from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_app.page.views import STATIC, VIEWS, View

MOST_BYTES = 150_000
IN_HTML = re.compile(r'(?:src|href)="/static/([^"]+)"')
IMPORTED = re.compile(r'(?:from|import)\s*\(?\s*"(\.{1,2}/[^"]+\.js)"')


def loaded_by(view: View, tag: str) -> set[Path]:
    """Return the files of a view."""
    page = STATIC / view.file
    html = page.read_text(encoding="utf-8")
    left = [STATIC / name for name in IN_HTML.findall(html)]
    found = {page, STATIC / "words" / f"{tag}.json"}
    named = re.search(r'data-words="(\w+)"', html)
    if named is not None:
        found.add(STATIC / "words" / f"{named[1]}.{tag}.json")
    while left:
        path = left.pop().resolve()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".js":
            names = IMPORTED.findall(path.read_text(encoding="utf-8"))
            left += [path.parent / name for name in names]
    return found


@pytest.mark.parametrize("tag", ["en", "ko"])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_is_light_and_whole(view: View, tag: str) -> None:
    """Every file that it names is there, and all together they are under 150 kB."""
    files = loaded_by(view, tag)
    assert any(path.suffix == ".js" for path in files)
    assert STATIC / "lib" / "steady.js" in files, "its controls do not rest when they have moved"
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), path.name
        assert "style=" not in text or path.suffix != ".html", "the CSP forbids it"
