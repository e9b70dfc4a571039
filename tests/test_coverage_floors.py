"""tools/coverage_floors.py: what coverage measured, folder by folder, against the floors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOL = ROOT / "tools" / "coverage_floors.py"


def run(report: Path, *folders: str) -> subprocess.CompletedProcess[str]:
    """Run the tool as `make coverage` does."""
    return subprocess.run(
        [sys.executable, str(TOOL), str(report), *folders],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def floors() -> dict[str, float]:
    """Return pyproject's floors, read without the tool."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.split("[tool.cropliq-edge.coverage-floors]\n")[1].split("\n\n")[0]
    pairs = [line.split(" = ") for line in section.splitlines()]
    return {folder.strip('"'): float(floor) for folder, floor in pairs}


def report_of(path: Path, executed: dict[str, int]) -> Path:
    """Write coverage's JSON: two files of 100 statements for each folder, `executed` of each."""
    files = {
        f"{folder}/{name}.py": {"summary": {"num_statements": 100, "covered_lines": count}}
        for folder, count in executed.items()
        for name in ("one", "inside/two")
    }
    path.write_text(json.dumps({"files": files}))
    return path


def test_every_floor_is_of_a_folder_and_within_its_bounds(floors: dict[str, float]) -> None:
    """A folder of edge_app or export, or all of another package; above 0, at most 98 percent."""
    assert floors
    for folder, floor in floors.items():
        assert (ROOT / folder / "__init__.py").is_file(), folder
        assert folder.count("/") == (folder.split("/")[0] in ("edge_app", "export")), folder
        assert 0 < floor <= 98, folder


def test_floors_that_hold(tmp_path: Path, floors: dict[str, float]) -> None:
    """Exit code 0; each folder has its line, files in sub-folders counted with it."""
    done = run(report_of(tmp_path / "c.json", dict.fromkeys([*floors, "edge_app/new"], 99)))
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert set(lines) == {*floors, "edge_app/new"}
    assert "200 statements" in lines["edge_app/new"]
    assert lines["edge_app/new"].endswith("floor none")


def test_a_folder_below_its_floor_is_named(tmp_path: Path, floors: dict[str, float]) -> None:
    """Exit code 1 and a sentence with both figures, for this folder alone."""
    low, *others = floors
    report = report_of(tmp_path / "c.json", {**dict.fromkeys(others, 99), low: 0})
    done = run(report)
    assert done.returncode == 1
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(f"make coverage: {low}: 0.0 % ")
    assert f"at least {floors[low]:g} %" in sentence


def test_only_the_named_folders_are_held(tmp_path: Path, floors: dict[str, float]) -> None:
    """The tests of one folder say nothing about the floors of another."""
    low, named, *others = floors
    report = report_of(tmp_path / "c.json", {**dict.fromkeys([named, *others], 99), low: 0})
    assert run(report, f"{named}/").returncode == 0
    assert run(report, named, low).returncode == 1


def test_a_name_without_code_is_refused(tmp_path: Path, floors: dict[str, float]) -> None:
    """A misspelt folder would hold nothing: exit code 2 and a sentence."""
    done = run(report_of(tmp_path / "c.json", dict.fromkeys(floors, 99)), "edge_app/pages")
    assert done.returncode == 2
    assert done.stderr.startswith("no code in edge_app/pages: expected a folder like ")


def test_a_report_that_is_missing_is_told_in_one_sentence(tmp_path: Path) -> None:
    """`make coverage` writes it; whoever calls the tool alone may have forgotten."""
    done = run(tmp_path / "missing.json")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "make coverage writes it" in done.stderr
