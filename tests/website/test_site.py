"""The site: built strictly, whole, read without a network, search included."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.chromium import PHONE_HW, browser
from support.needs import require

require("the extra docs")

ROOT = Path(__file__).parents[2]
SITE_TOOLS = ROOT / "tools" / "site"
sys.path.insert(0, str(SITE_TOOLS))
import commands
import links

DESKTOP_HW = (800, 1280)
LOADED = re.compile(r"<(?:script|img|iframe)[^>]* src=\"?([^\" >]+)|<link[^>]* href=\"?([^\" >]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built as `make docs` does: strictly, so a warning is an error."""
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "true"},
        capture_output=True, text=True, timeout=230, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_no_two_pages_differ_by_case_only(site: Path) -> None:
    """Some disks keep one of them only."""
    names = [p.relative_to(site).as_posix().lower() for p in site.rglob("*.html")]
    assert len(set(names)) == len(names)


def test_every_document_is_a_page(site: Path) -> None:
    """docs/, decisions included but for their template, and the documents of the root."""
    documents = [p for p in (ROOT / "docs").rglob("*.md") if not p.name.startswith("0000")]
    pages = [links.page_of(p.relative_to(ROOT).as_posix()) for p in documents]
    pages += [links.page_of(p.name) for p in ROOT.glob("*.md")]
    assert len(pages) > 60
    assert [p for p in pages if not (site / p).with_suffix(".html").is_file()] == []


@pytest.mark.parametrize("program", commands.PROGRAMS)
def test_every_command_has_its_section(site: Path, program: str) -> None:
    """The page of a command has a heading for each sub-command, and each option by name."""
    text = (site / "commands" / f"{program}.html").read_text(encoding="utf-8")
    for parser in commands.commands_of(commands.parser_of(program)):
        anchor = parser.prog.replace(" ", "-")
        assert f'id="{anchor}"' in text or f"<h1 id={anchor}" in text, parser.prog
        for action in parser._actions[1:]:  # --help is everywhere
            for option in action.option_strings:
                assert option in text, (parser.prog, option)


def test_the_api_is_written_from_docstrings(site: Path) -> None:
    """Records with their attributes and units, functions with what they raise."""
    text = (site / "python.html").read_text(encoding="utf-8")
    for said in ("edge_app.records.Frame", "uint8 (h, w, 3), BGR", "CameraUnavailable",
                 "edge_app.model.offline.inspect_pictures"):  # fmt: skip
        assert said in text, said
    assert "edge_app.model.offline._inspect_one" not in text


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Scripts, styles, fonts and pictures are files of the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 60
    loaded = {a or b for p in pages for a, b in LOADED.findall(p.read_text(encoding="utf-8"))}
    assert [url for url in loaded if re.match(r"(https?:)?//", url)] == []
    assert (site / "assets" / "iframe-worker.js").is_file()


@pytest.mark.needs("chromium")
def test_search_works_in_a_folder_without_a_server(site: Path, tmp_path: Path) -> None:
    """Opened as a file on a phone: a word that is typed finds its page."""
    with browser(shutil.which("chromium") or "", tmp_path / "profile") as phone:
        phone.open((site / "index.html").as_uri() + "?q=%22receive%20maximum%22", PHONE_HW)
        hit = "document.querySelector('.md-search-result__link')?.href"
        assert str(phone.wait_for(hit)).partition("?")[0].endswith("/mqtt.html")
        assert phone.run("document.documentElement.scrollWidth") <= PHONE_HW[1]


@pytest.mark.needs("chromium")
def test_pages_fit_their_screens(site: Path, tmp_path: Path) -> None:
    """No page is wider than a phone or a desktop; a wide table scrolls in its own place."""
    wide = []
    with browser(shutil.which("chromium") or "", tmp_path / "profile") as seen:
        for page in ("index", "methods_table", "faults", "commands/edge-export", "python"):
            for hw in (PHONE_HW, DESKTOP_HW):
                seen.open((site / f"{page}.html").as_uri(), hw)
                seen.wait_for("document.querySelector('h1') && document.readyState == 'complete'")
                if folder := os.environ.get("CROPLIQ_SITE_PICTURES"):
                    seen.picture(Path(folder) / f"{page.replace('/', '-')}-{hw[1]}.png")
                if seen.run("document.documentElement.scrollWidth") > hw[1]:
                    wide.append((page, hw))
    assert wide == []


def test_links_are_turned_to_pages() -> None:
    """From a document to one beside it, to the README, to program text, to a folder."""
    text = "[a](mqtt.md#x) [b](../README.md#try-it) [c](../edge_app/app.py) [d](decisions)"
    turned = links.rewritten(text, "docs/cameras.md", "cameras.md", links.page_of)
    assert turned == (
        "[a](mqtt.md#x) [b](index.md#try-it) [c](source/edge_app/app.py.md) "
        "[d](decisions/README.md)"
    )
    from_below = links.rewritten(
        "[a](../mqtt.md)", "docs/decisions/0001-x.md", "decisions/0001-x.md", links.page_of
    )
    assert from_below == "[a](../mqtt.md)"
