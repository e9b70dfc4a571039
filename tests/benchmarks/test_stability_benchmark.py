"""Stability's rows: what is kept of a build, and which code's rows a table shows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.stability import OWN, WAYS, Row, file_of, table_of

pytestmark = pytest.mark.needs("the extra train")

OLD, NEW = "a" * 64, "b" * 64


def kept(folder: Path, digest: str, row: Row) -> None:
    content = {"set": "cubes", "code_digest": digest, **asdict(row)}
    file_of(folder, "cubes", row.name, digest).write_text(json.dumps(content))


def test_a_table_shows_the_first_code_that_has_a_row(tmp_path: Path) -> None:
    """One way of each code, one that was refused, and none for what was not built."""
    row = Row(
        OWN,
        "",
        "whole 224 × 224",
        "fixed",
        "{'terms': ['memory', 'context']}",
        1.25,
        1,
        38,
        0.5,
        False,
        60.0,
    )
    kept(tmp_path, OLD, row)
    kept(tmp_path, NEW, Row("JPEG 97", "too few pictures"))
    assert table_of("cubes", tmp_path, [NEW]).count("\n") == 4
    lines = table_of("cubes", tmp_path, [OLD, NEW]).splitlines()
    assert lines[4].split(" | ")[3:6] == ["memory, context", "1.250", "1 of 38"]
    assert "refused: too few pictures" in lines[5]
    assert table_of("tiles", tmp_path, [OLD, NEW]) == ""


def test_every_way_of_saving_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Names with spaces and commas become different file names."""
    files = {file_of(tmp_path, "cubes", way, OLD).name for way in (OWN, *WAYS)}
    assert len(files) == 1 + len(WAYS)
    assert not any(" " in name or "," in name for name in files)
