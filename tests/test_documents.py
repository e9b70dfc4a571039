"""Documents name files, modules and terms that exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP = sorted(ROOT.glob("*.md"))
DOCUMENTS = [p for p in (*TOP, *sorted((ROOT / "docs").rglob("*.md"))) if p.name != "CHANGELOG.md"]
NAMES = [str(p.relative_to(ROOT)) for p in DOCUMENTS]

CODE = re.compile(r"`([^`]+)`")
FILE = re.compile(r"(?:[\w.-]+/)*[\w-]+\.py")
FOLDER = re.compile(r"(?:edge_app|export|calibration|deploy|tests|benchmarks)/(?:[\w-]+/)*")
MODULE = re.compile(r"python3? -m ((?:edge_app|export|calibration|deploy|benchmarks)[\w.]*)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#([\w-]+))?\)")
CITED_OUTSIDE = re.compile(r"\b(?:DESIGN|FIELD|LAYOUT|FAULTS|STYLE)\b|\b[Ii]ssue [A-Z0-9]\b")
TERM = re.compile(r"^\| (?P<term>[^|]+) \| [^|]+ \| (?P<carrier>[^|]+) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_every_python_file_that_a_document_names_exists(name: str) -> None:
    """A full path exists; a bare `file.py` after one is in its folder, else it is somewhere."""
    assert list(_missing_files(_text(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_folder_and_module_that_a_document_names_exists(name: str) -> None:
    """`edge_app/cameras/` is a folder, `python -m benchmarks.fleet` can be run."""
    text = _text(name)
    folders = [n for code in CODE.findall(text) for n in FOLDER.findall(code)]
    modules = [m.replace(".", "/") for m in MODULE.findall(text)]
    assert [f for f in folders if not (ROOT / f).is_dir()] == []
    assert [m for m in modules if not (ROOT / m).with_suffix(".py").is_file()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    """A link's file exists, and so does the heading that it points at."""
    broken = []
    for target, anchor in LINK.findall(_text(name)):
        file = (ROOT / name).parent / target
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append((target, anchor))
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_no_document_cites_what_is_not_in_the_repository(name: str) -> None:
    """Who reads it has the repository and nothing else of ours."""
    assert CITED_OUTSIDE.findall(_text(name)) == []


def test_every_term_of_the_glossary_is_carried_by_what_it_names() -> None:
    """Each term stands once; its file exists and holds the name beside it."""
    rows = [m for m in TERM.finditer(_text("docs/glossary.md")) if "`" in m["carrier"]]
    terms = [m["term"] for m in rows]
    assert len(set(terms)) == len(terms) >= 60
    for row in rows:
        *words, file = CODE.findall(row["carrier"])
        code = (ROOT / file).read_text(encoding="utf-8")
        assert [w for w in words if not re.search(rf"\b{w}\b", code)] == [], row["term"]


def _missing_files(text: str) -> Iterator[str]:
    tracked = _tracked()
    names = {Path(t).name for t in tracked}
    for cell in (c for line in text.splitlines() for c in line.split(" | ")):
        folder = ""
        spans = [code for code in CODE.findall(cell) if "::" not in code]  # tests: see docs/attacks
        for found in (n for code in spans for n in FILE.findall(code)):
            if "/" in found:
                folder = found.rpartition("/")[0] + "/"
                is_there = found in tracked or any(
                    t.startswith("examples/") and t.endswith(f"/{found}") for t in tracked
                )
            else:
                is_there = folder + found in tracked if folder else found in names
            if not is_there:
                yield found


def _tracked() -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {f for f in done.stdout.splitlines() if f.endswith(".py") and (ROOT / f).is_file()}


def _anchors(file: Path) -> set[str]:
    """Return the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
