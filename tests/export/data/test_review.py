"""What a person said of odd good parts, kept beside the data."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.cameras.picture_listing import list_pictures
from edge_app.errors import DataError
from export.check_data.run import check_data
from export.data.dataset import scan_good_pictures
from export.data.review import REVIEW_FILE, Decision, read_decisions, write_decisions


def picture_folder(folder: Path, count: int = 24) -> Path:
    """Write different good pictures."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        small = rng.uniform(0, 255, (6, 8, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{i:02d}.png"), cv2.resize(small, (80, 60)))
    return folder


def decide(data: Path, **choices: str) -> dict[str, Decision]:
    """Write choices by file stem and return them by digest."""
    by_name = {Path(p.name).stem: p for p in scan_good_pictures(data).pictures}
    made = {
        by_name[stem[1:]].sha256: Decision.model_validate(
            {"sha256": by_name[stem[1:]].sha256, "name": f"{stem[1:]}.png", "choice": choice}
        )
        for stem, choice in choices.items()
    }
    write_decisions(data, made)
    return made


def test_decisions_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Whole, in a documented format, and nothing else is left in the folder."""
    picture_folder(tmp_path)
    made = decide(tmp_path, _03="defective", _07="harmless")
    assert read_decisions(tmp_path) == made
    content = json.loads((tmp_path / REVIEW_FILE).read_text())
    assert content["format"] == "cropliq-review/1"
    assert [d["choice"] for d in content["decisions"]] == ["defective", "harmless"]
    assert not [p.name for p in tmp_path.iterdir() if p.suffix not in (".png", ".json")]


def test_only_defective_parts_are_left_out(tmp_path: Path) -> None:
    """Counted and named; harmless and good ones stay, and are known as decided."""
    picture_folder(tmp_path)
    made = decide(tmp_path, _03="defective", _07="harmless", _09="good")
    good = scan_good_pictures(tmp_path)
    assert len(good.pictures) == len(good.thumbs) == 23
    assert "03.png" not in [p.name for p in good.pictures]
    assert good.confirmed_defective == 1
    assert "called defective and left out: 1" in good.summary
    assert good.review.kept == {d for d, said in made.items() if said.choice != "defective"}
    (told,) = [w for w in good.warnings if "defective" in w]
    assert "1 pictures are left out" in told
    assert "03.png" in told
    assert not [w for w in good.warnings if REVIEW_FILE in w and "left out:" in w]


def test_the_digest_counts_not_the_name(tmp_path: Path) -> None:
    """Renamed it is still left out; changed it is said to be gone, and the new one stays."""
    picture_folder(tmp_path)
    decide(tmp_path, _03="defective", _07="harmless")
    (tmp_path / "03.png").rename(tmp_path / "moved.png")
    (tmp_path / "07.png").unlink()
    good = scan_good_pictures(tmp_path)
    assert "moved.png" not in [p.name for p in good.pictures]
    assert good.review.gone == ("07.png",)
    assert any("no longer there" in w and "07.png" in w for w in good.warnings)


def test_too_few_are_left(tmp_path: Path) -> None:
    """21 pictures, two called defective: refused like any folder of 19."""
    data = tmp_path / "data"
    data.mkdir()
    picture_folder(data, 21)
    decide(data, _00="defective", _01="defective")
    with pytest.raises(DataError, match="holds 19 different readable pictures"):
        scan_good_pictures(data)
    found = check_data(data, tmp_path / "sheet.png")
    assert not found.is_usable


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "Invalid JSON"),
        ('{"format": "cropliq-review/2", "decisions": []}', "format"),
        ('{"decisions": [], "more": 1}', "more"),
        ('{"decisions": [{"sha256": "12", "name": "a", "choice": "good"}]}', "sha256"),
        (
            '{"decisions": [{"sha256": "' + 64 * "a" + '", "name": "a", "choice": "bad"}]}',
            "decisions.0.choice",
        ),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, content: str, named: str) -> None:
    """A misspelt choice must not pass for no choice."""
    picture_folder(tmp_path)
    (tmp_path / REVIEW_FILE).write_text(content)
    with pytest.raises(DataError, match=named):
        scan_good_pictures(tmp_path)


def test_what_a_build_writes_is_no_picture_of_a_part(tmp_path: Path) -> None:
    """Neither review.json nor a picture that someone puts into BUNDLE.review."""
    picture_folder(tmp_path)
    decide(tmp_path, _03="good")
    picture_folder(tmp_path / "a.bundle.review", 2)
    assert len(list_pictures(tmp_path)) == 24
    assert len(scan_good_pictures(tmp_path).pictures) == 24
