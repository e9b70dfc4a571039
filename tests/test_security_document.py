"""docs/security.md: threats with their tests, and every place in the code that listens."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "security.md"

TEST = re.compile(r"(?P<file>[\w/]+\.py)(?:::(?P<test>\w+))?")
LISTENS = re.compile(
    r"\.listen\(|\bThreadingHTTPServer\b|\bcreate_server\(|\bstart_(?:unix_)?server\(|= Broker\("
    r"|\bsocketserver\.\w+Server\b"
)
PACKAGES = ("edge_app", "export", "calibration", "deploy")


@cache
def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of a section's table, without its two first lines."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text[text.index(f"## {heading}\n") :].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") or line[:2] == "|-"]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_threat_names_a_test_that_exists_or_says_that_there_is_none() -> None:
    """Below tests/, by file and function."""
    rows = rows_of("Threats")
    missing = []
    for kind, *_, test in rows:
        assert kind in "STRIDE", kind
        if test == "no test":
            continue
        found = TEST.fullmatch(test.strip("`"))
        assert found, test
        file = ROOT / "tests" / found["file"]
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if not re.search(rf"^(?:async )?def {found['test'] or 'test_'}", text, re.MULTILINE):
            missing.append(test)
    assert missing == []
    assert {row[0] for row in rows} == set("STRIDE")
    assert sum(row[-1] == "no test" for row in rows) <= 1


def test_every_place_that_listens_is_in_the_table() -> None:
    """A new listener is a row, and a row names code that listens."""
    here = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if LISTENS.search(path.read_text(encoding="utf-8"))
    }
    told = {row[-1].strip("`") for row in rows_of("Listeners")}
    assert here == told


def test_the_sockets_of_the_table_are_those_of_the_services() -> None:
    """Each socket that docs/service.md says who may speak on is named among the listeners."""
    service = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    sockets = set(re.findall(r"/run/[\w-]+/([\w-]+\.sock)", service))
    told = " ".join(cell for row in rows_of("Listeners") for cell in row)
    assert len(sockets) >= 4
    assert [socket for socket in sockets if f"`{socket}`" not in told] == []


def test_the_requirements_have_a_state_each() -> None:
    """Met, partly or not met; none twice; and what is said to be met says why."""
    rows = rows_of("IEC 62443-4-2")
    numbers = [number for row in rows for number in row[0].split(", ")]
    assert len(set(numbers)) == len(numbers) >= 45
    assert {row[2] for row in rows} == {"met", "partly", "not met"}
    assert all(len(row[3]) > 10 for row in rows)


def test_each_requirement_says_where_its_title_was_seen() -> None:
    """By letters that the list above the table explains; each of the list is used."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = text[text.index("## IEC 62443-4-2\n") :].split("\n## ")[0]
    sources = set(re.findall(r"^- \*\*([A-Z])\*\*: ", section, re.MULTILINE))
    seen = [set(row[4].split()) for row in rows_of("IEC 62443-4-2")]
    assert all(letters and letters <= sources for letters in seen)
    assert set().union(*seen) == sources
