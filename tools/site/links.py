"""Links of documents that hold on GitHub, turned into links that hold on the site."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs"

LINK = re.compile(r"(?P<open>\]\()(?P<target>[^)#:\s]+)(?P<anchor>#[\w-]*)?(?P<close>\))")


def targets(text: str, source: str) -> Iterator[str]:
    """Yield the files and folders of the repository that a document links to.

    Args:
        source: the document's path in the repository.
    """
    for found in LINK.finditer(text):
        yield _absolute(source, found["target"])


def rewritten(text: str, source: str, page: str, page_of: Callable[[str], str]) -> str:
    """Return a document whose links lead from page to page.

    Args:
        source: the document's path in the repository.
        page: its path on the site.
        page_of: the path on the site of a path in the repository.
    """

    def lead(found: re.Match[str]) -> str:
        there = page_of(_absolute(source, found["target"]))
        link = os.path.relpath(there, posixpath.dirname(page) or ".")
        return f"{found['open']}{link}{found['anchor'] or ''}{found['close']}"

    return LINK.sub(lead, text)


def page_of(path: str) -> str:
    """Return where a file of the repository is on the site: documents at its root.

    The README is the first page; other texts of the root lie in a folder, since SECURITY.md and
    docs/security.md would be one page on some disks; program text is shown as a page.
    """
    if path == "README.md":
        return "index.md"
    if path.startswith(f"{DOCS}/"):
        inner = path.removeprefix(f"{DOCS}/")
        return f"{inner}/README.md" if (ROOT / path).is_dir() else inner
    if "/" not in path:
        return f"project/{path}"
    return path if path.endswith(".md") else f"source/{path}.md"


def _absolute(source: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
