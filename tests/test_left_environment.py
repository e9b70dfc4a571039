"""What a file of tests sets in the environment and leaves there is told of, and put back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent
PATH = os.pathsep.join(map(str, (TESTS, TESTS.parent)))

LEAVES = """
import os
import pytest

@pytest.fixture(scope="module")
def path():
    os.environ["PYTHONPATH"] = "elsewhere"
    os.environ.pop("CROPLIQ_GIVEN")

def test_first(path): ...
def test_last(path): ...
"""
PUTS_BACK = """
import os
import pytest

@pytest.fixture(scope="module")
def path():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", "elsewhere")
        yield

def test_first(path, monkeypatch):
    monkeypatch.setenv("TZ", "NZST-13")
    assert os.environ["CROPLIQ_GIVEN"] == "yes"
def test_last(path): ...
"""


SKIPPED = """
import pytest
from support import needs
needs.NEEDS["gold"] = needs.Need(lambda: "dig for it")

@pytest.mark.needs("gold")
def test_first(): ...
"""


def run(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on files with these names and texts."""
    plugins = "support.left_environment", "support.needs"
    (folder / "conftest.py").write_text(f"pytest_plugins = {plugins}")
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-v"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PATH, "CROPLIQ_GIVEN": "yes"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_file_that_leaves_a_change_fails_and_the_next_starts_clean(tmp_path: Path) -> None:
    """The last test of the file says which variables; the file behind it finds its own."""
    done = run(tmp_path, test_a=LEAVES, test_b=PUTS_BACK)
    assert "test_a.py leaves CROPLIQ_GIVEN, PYTHONPATH changed" in done.stdout
    assert "4 passed, 1 error" in done.stdout


def test_a_change_that_is_put_back_is_none(tmp_path: Path) -> None:
    """Also where it lasts for several tests of one file."""
    done = run(tmp_path, test_b=PUTS_BACK)
    assert done.returncode == 0, done.stdout


def test_a_file_that_is_skipped_changes_nothing(tmp_path: Path) -> None:
    """Nothing was noted of it but what it began with, and nothing is put back."""
    done = run(tmp_path, test_a=SKIPPED, test_b=PUTS_BACK)
    assert done.returncode == 0, done.stdout
    assert "2 passed, 1 skipped" in done.stdout
