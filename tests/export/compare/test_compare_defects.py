"""`edge-export compare --known-defects`: real defects teach bgad and are in nobody's test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.tile_pictures import write_tiles

from edge_app.bundle.archive import read_bundle
from edge_app.records import JsonObject
from export.cli.main import main

pytestmark = [pytest.mark.needs("the extra train"), pytest.mark.slow]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> JsonObject:
    """Compare two methods with two of four blots known; return compare.json."""
    folder = tmp_path_factory.mktemp("known")
    data = write_tiles(folder / "tiles", good=32, test_good=3, blotted=4)
    known = folder / "known" / "blot"
    known.mkdir(parents=True)
    for name in ("000", "001"):
        shutil.copy(data / "test" / "blot" / f"{name}.png", known)
        shutil.copy(data / "ground_truth" / "blot" / f"{name}_mask.png", known)
    arguments = ["--data", data, "--out", folder / "out", "--known-defects", known.parent]
    options = ["--methods", "bgad,patchcore", "--steps", 4, "--detector", "none"]
    assert main(["compare", *map(str, [*arguments, *options, "--false-alarm-rate", 0.05])]) == 0
    record: JsonObject = json.loads((folder / "out" / "compare.json").read_text())
    return {**record, "folder": folder / "out"}


def notes_of(row: JsonObject) -> str:
    bundle = Path(row["folder"]).parent / "bundle" / f"{row['method']}.bundle"
    return "\n".join(read_bundle(bundle).manifest.provenance.notes)


def test_only_the_method_that_learns_from_defects_is_given_them(compared: JsonObject) -> None:
    """bgad's bundle says how many taught it; patchcore's says nothing of defects."""
    bgad, patchcore = compared["methods"]
    assert "real_defects: 2" in notes_of(bgad)
    assert "real_defects" not in notes_of(patchcore)
    assert compared["known_defects"] == 2


def test_known_defects_are_in_no_test(compared: JsonObject) -> None:
    """Every method is judged on the same pictures, without them."""
    assert compared["pictures"] == {"good": 3, "bad": 2}
    for row in compared["methods"]:
        judged = {p["picture"] for p in row["scores"]}
        assert {p for p in judged if p.startswith("blot")} == {"blot/002.png", "blot/003.png"}


def test_the_table_is_written_for_documents(compared: JsonObject) -> None:
    """table.md holds a row per method, and the report tells of the defects."""
    lines = (compared["folder"] / "table.md").read_text().splitlines()
    assert lines[0].startswith("| Method | Image AUROC (95 %) |")
    assert sorted(line.split(" | ")[0] for line in lines[2:]) == ["| bgad", "| patchcore"]
    assert (
        "2 real defects for the methods that learn from them"
        in (compared["folder"] / "report.html").read_text()
    )
