"""How tests say what they need: skipped before anything starts, told at the end, never silent."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.needs import NEEDS, REQUIRED

TESTS = Path(__file__).parent
SKIPS = ("skip", "skipif", "importorskip", "skipTest", "SkipTest")

WANTING = """
import pytest
from support.needs import needing, require

@pytest.fixture
def first():
    print("FIRST STARTED")

@pytest.fixture
@needing("extra gold")
def broker():
    print("BROKER STARTED")

def test_of_a_fixture(first, broker): ...
@pytest.mark.needs("silver", "extra gold")
def test_of_two(first): ...
@pytest.mark.needs("silver")
@pytest.mark.parametrize("n", [1, 2])
def test_of_a_mark(first, n): ...
def test_of_nothing(): ...
"""
WHOLE_FILE = """
from support.needs import require
require("extra gold")
import gold_that_is_not_there
"""
TABLE = """
from support import needs
from support.needs import Need
needs.NEEDS.update({
    "extra gold": Need(lambda: "dig for it", is_installed_by_ci=True),
    "silver": Need(lambda: "nowhere to be had"),
    "iron": Need(lambda: ""),
    "lead": Need(lambda: print("ATTEMPTED") or "", takes_an_attempt=True),
})
pytest_plugins = ("support.needs",)
"""


def run_pytest(
    folder: Path, texts: dict[str, str], *words: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest on files of its own, with the table changed to metals."""
    for name, text in {"conftest.py": TABLE, **texts}.items():
        (folder / name).write_text(text)
    clean = {k: v for k, v in os.environ.items() if k not in (REQUIRED, "PYTEST_ADDOPTS")}
    path = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", *words],
        cwd=folder, env={**clean, "PYTHONPATH": path, **more},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("workers", ["0", "2"])
def test_nothing_starts_and_every_reason_is_counted(tmp_path: Path, workers: str) -> None:
    """Marks, fixtures and whole files; the summary has one line a reason, the largest first; the
    same where workers share the tests."""
    texts = {"test_a.py": WANTING, "test_b.py": WHOLE_FILE}
    done = run_pytest(tmp_path, texts, "-n", workers, "--skipped-to", "skipped")
    assert done.returncode == 0, done.stdout
    assert "STARTED" not in done.stdout
    assert "1 passed" in done.stdout
    told = [line for line in done.stdout.partition("and why")[2].splitlines() if "need" in line]
    assert told == [
        "2 need silver: nowhere to be had",
        "1 needs extra gold: dig for it",
        "1 needs silver: nowhere to be had; also extra gold: dig for it",
        "all of test_b.py needs extra gold: dig for it",
    ]


def test_what_was_skipped_is_run_by_itself(tmp_path: Path) -> None:
    """The file that a run wrote is what the next one runs, once what was missing is there."""
    texts = {"test_a.py": WANTING, "test_b.py": WHOLE_FILE.replace("import gold_that", "x = 1 #")}
    texts["test_b.py"] += "\ndef test_of_gold(): ...\n"
    run_pytest(tmp_path, texts, "--skipped-to", "skipped")
    names = (tmp_path / "skipped").read_text().splitlines()
    assert sorted(names) == [
        "test_a.py::test_of_a_fixture",
        "test_a.py::test_of_a_mark[1]",
        "test_a.py::test_of_a_mark[2]",
        "test_a.py::test_of_two",
        "test_b.py",
    ]
    texts["conftest.py"] = TABLE.replace('"dig for it"', '""')
    done = run_pytest(tmp_path, texts, "--only-in", "skipped", **{REQUIRED: "1"})
    assert "2 passed, 3 skipped, 1 deselected" in done.stdout


def test_what_ci_installs_fails_where_it_is_required(tmp_path: Path) -> None:
    """A missing package is a failure, in a file too; what nothing installs is still skipped."""
    done = run_pytest(tmp_path, {"test_a.py": WANTING}, **{REQUIRED: "1"})
    assert "1 passed, 2 skipped, 2 errors" in done.stdout
    assert "needs extra gold: dig for it" in done.stdout
    done = run_pytest(tmp_path, {"test_b.py": WHOLE_FILE}, "test_b.py", **{REQUIRED: "1"})
    assert "1 error" in done.stdout
    assert "needs extra gold: dig for it" in done.stdout


def test_an_attempt_is_made_only_where_all_else_is_there(tmp_path: Path) -> None:
    """What takes seconds to find out is not asked for a test that is skipped anyway, and once."""
    test = "import pytest\n@pytest.mark.needs('lead', {})\ndef test_{}(): ...\n"
    texts = {"test_a.py": test.format("'silver'", "a")}
    assert "ATTEMPTED" not in run_pytest(tmp_path, texts).stdout
    texts["test_a.py"] = test.format("'iron'", "a") + test.format("'iron'", "b")
    done = run_pytest(tmp_path, texts)
    assert "2 passed" in done.stdout
    assert done.stdout.count("ATTEMPTED") == 1


def test_a_misspelt_need_is_refused(tmp_path: Path) -> None:
    """It would be met nowhere or everywhere: the nearest that there is stands in the message."""
    test = "import pytest\n@pytest.mark.needs('slver')\ndef test_a(): ...\n"
    done = run_pytest(tmp_path, {"test_a.py": test})
    assert done.returncode == 4
    assert "needs 'slver'; did you mean 'silver'?" in done.stderr


def _skips(file: Path) -> list[str]:
    """Return where a file skips tests with pytest's or unittest's own means."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        imported = [a.name for a in node.names] if isinstance(node, ast.ImportFrom) else []
        if name in SKIPS or set(imported) & set(SKIPS):
            found.append(f"{file.name}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def test_no_file_skips_by_itself() -> None:
    """Whoever calls pytest.skip, skipif or importorskip says nothing before it starts."""
    files = [f for f in sorted(TESTS.rglob("*.py")) if f.name != "needs.py"]
    assert len(files) > 200
    assert [where for file in files for where in _skips(file)] == []


def test_every_need_can_be_asked() -> None:
    """Each that takes no attempt answers here, in one line: nothing, or what brings it."""
    for name, need in NEEDS.items():
        if not need.takes_an_attempt:
            assert "\n" not in need.lacking(), name
