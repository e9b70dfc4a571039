"""A build that is spoilt by one odd good part: said, looked at, and mended by a person's word."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.tile_pictures import HW, write_tiles

from edge_app.bundle.archive import read_bundle
from edge_app.errors import DataError
from export.build_many.run import carry_out, orders_for
from export.bundle_build.review_sheet import folder_of, take_over
from export.cli.main import main

pytestmark = pytest.mark.needs("the extra train")

WILD = "wild.png"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set of 32 good tiles and one of another world among them."""
    folder = tmp_path_factory.mktemp("weak")
    write_tiles(folder / "lid", good=32, test_good=1, blotted=1)
    good = folder / "lid" / "train" / "good"
    h, w = HW
    noise = np.random.default_rng(5).integers(0, 255, (h, w, 3), dtype=np.uint8)
    cv2.imwrite(str(good / WILD), noise)
    return folder


def arguments(place: Path) -> list[str]:
    return [
        *("build", "--data", str(place / "lid"), "--detector", "none"),
        *("--out", str(place / "lid.bundle")),
    ]


def test_one_odd_part_makes_a_weak_bundle_and_a_persons_word_mends_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first line says it, the exit code is 1 unless accepted, the bundle is written all the
    same; called defective, the part is left out of the next build, which is fine."""
    bundle = place / "lid.bundle"
    assert main(arguments(place)) == 1
    told = capsys.readouterr()
    first, *rest = told.out.splitlines()
    assert first.startswith("NOT READY. This bundle misses more than half of clearly visible")
    assert any("look odd" in line or "looks odd" in line for line in rest)
    assert "The bundle is written all the same." in told.err
    assert "1 of 33 good parts score far higher than the rest" in told.err
    found = read_bundle(bundle)
    report = found.files["report.html"].decode()
    assert '<div class="answer weak"><p>NOT READY.' in report
    assert f"<h3>{WILD}</h3>" in report

    assert main([*arguments(place), "--accept-weak"]) == 0
    capsys.readouterr()

    sheet = folder_of(bundle) / "review.csv"
    lines = sheet.read_text().splitlines()
    assert lines[1].startswith(f",{WILD},")
    sheet.write_text("\n".join([lines[0], "defective" + lines[1], *lines[2:]]) + "\n")
    assert main(arguments(place)) == 0  # the build takes the sheet over
    told = capsys.readouterr()
    assert told.out.startswith("Ready to be tried on the line")
    assert f"left out, because a person called them defective (review.json): {WILD}" in told.err
    origin = read_bundle(bundle).variant().thresholds.origin
    assert origin is not None
    assert (origin.good_parts, origin.confirmed_defective) == (32, 1)
    assert WILD not in sheet.read_text()
    record = json.loads((place / "lid" / "review.json").read_text())
    assert [d["choice"] for d in record["decisions"]] == ["defective"]

    assert main(["review", str(bundle), "--good", WILD, "--harmless", lines[2].split(",")[1]]) == 0
    (place / "many").mkdir()
    orders = orders_for([place / "lid"], place / "many", ["--detector", "none"], 1)
    outcome = carry_out(orders[0])  # taken back: it is among the good parts again
    assert outcome.is_built
    assert "misses more than half" in str(outcome.weakness)
    origin = read_bundle(place / "many" / "lid.bundle").variant().thresholds.origin
    assert origin is not None
    assert (origin.good_parts, origin.confirmed_harmless) == (33, 2)


def test_a_broken_sheet_ends_the_build_before_it_begins(tmp_path: Path) -> None:
    """Hours of work would end in a sheet that takes a person's words away."""
    write_tiles(tmp_path / "lid", good=20, test_good=1, blotted=1)
    folder = tmp_path / "lid.bundle.review"
    folder.mkdir()
    (folder / "parts.json").write_text("{}")
    assert main(arguments(tmp_path)) == 2
    assert not (tmp_path / "lid.bundle.work").exists()
    with pytest.raises(DataError, match="is not what edge-export build wrote"):
        take_over(tmp_path / "lid.bundle", tmp_path / "lid")
