"""`edge-export check-data`: what it sees, what it says a build would do, and its exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import picture_files as files
from support.needs import ROOT
from support.pictures_read import picture_at

from edge_app.errors import DataError
from edge_app.records import JsonObject
from export.bundle_build.pipeline import label_pictures
from export.bundle_build.records import BuildOptions
from export.cli.main import main


def looks(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 200, (count, 6, 8, 3)).astype(np.uint8)
    return [cv2.resize(c, (120, 90), interpolation=cv2.INTER_CUBIC) for c in coarse]


def write_good(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for number, look in enumerate(looks(count)):
        cv2.imwrite(str(folder / f"{number:03d}.png"), look)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(
    capsys: pytest.CaptureFixture[str], data: Path, code: int
) -> tuple[JsonObject, str, str]:
    assert main(["check-data", str(data), "--json"]) == code
    told = capsys.readouterr()
    found: JsonObject = json.loads(told.out.splitlines()[-1])
    return found, told.out, told.err


def test_everything_odd_is_in_the_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = here / "data" / "train" / "good"
    write_good(good, 30)
    shutil.copy(good / "003.png", good / "copy.png")
    cv2.imwrite(str(good / "again.jpg"), looks(30)[4], [cv2.IMWRITE_JPEG_QUALITY, 97])
    cv2.imwrite(str(good / "dark.png"), np.full((90, 120, 3), 4, np.uint8))
    cv2.imwrite(str(good / "white.png"), np.full((90, 120, 3), 250, np.uint8))
    cv2.imwrite(str(good / "small.png"), looks(1, 7)[0][:50])
    (good / "turned.jpg").write_bytes(files.jpeg(looks(1, 8)[0], 6))
    (good / "torn.png").write_bytes((good / "003.png").read_bytes()[:900])
    cv2.imwrite(str(good / "deep.tif"), looks(1, 9)[0].astype(np.uint16) * 16)
    (good / "notes.md").touch()
    for folder in ("test/good", "test/crack", "ground_truth/crack"):
        (here / "data" / folder).mkdir(parents=True)
        (here / "data" / folder / "0.png").touch()  # its name is read, nothing else
    found, out, err = checked(capsys, here / "data", 0)
    rows = found["found"]
    assert rows["Good parts"].startswith("36 pictures in ")
    assert rows["Different parts"] == "35"
    assert rows["Sizes"] == "120×90 (34), 120×50 (1), 90×120 (1)"
    assert rows["Bits per value"] == "8 (36), 16 (1)"
    assert rows["Near-duplicates"] == "004.png = again.jpg"
    assert rows["Copies"] == "copy.png = 003.png"
    assert "dark.png: almost black" in rows["Nothing to see"]
    assert "white.png: almost white" in rows["Nothing to see"]
    assert rows["Unreadable"] == "torn.png"
    assert rows["Left out"] == ".md (1)"
    assert "12 bits in 16-bit files" in rows["Read by a rule"]
    assert "EXIF orientation" in rows["Read by a rule"]
    assert "test/good/ (1): good parts for edge-export evaluate" in rows["Elsewhere"]
    assert "ground_truth/crack/ (1): masks" in rows["Elsewhere"]
    assert "build would train on all 36 pictures and set the threshold by judging each with" in out
    assert "warning: 1 pictures are almost black, no part is seen: dark.png" in err
    sheet = picture_at(here / "data.check-data.png")
    assert sheet.shape == (6 * 168, 6 * 190, 3)
    assert sheet.std() > 10


@pytest.mark.parametrize(
    ("name", "reason"),
    [("bad", "would be trained on as good parts"), ("few", "at least 20 are needed")],
)
def test_what_a_build_would_refuse_ends_with_1(
    here: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    write_good(here / "data" / "some", 22 if name == "bad" else 5)
    if name == "bad":
        write_good(here / "data" / "some" / "NG", 3)
    found, out, _ = checked(capsys, here / "data", 1)
    assert reason in found["would"]
    assert "build would refuse: " in out
    options = BuildOptions(here / "data", here / "a.bundle", "a")
    with pytest.raises(DataError, match=reason):
        label_pictures(options, lambda *_: None)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_ends_with_2(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (here / "file").touch()
    assert main(["check-data", str(here / name)]) == 2
    assert "Name the data set's folder" in capsys.readouterr().err


def test_an_empty_folder_is_refused_in_words(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "data").mkdir()
    found, _, _ = checked(capsys, here / "data", 1)
    assert "holds no picture" in found["would"]


@pytest.mark.parametrize("coding", ["utf-8:strict", "ascii"])
def test_names_the_terminal_cannot_print_are_printed_all_the_same(
    tmp_path: Path, coding: str
) -> None:
    """A copy and a damaged file with names of an old Windows, on a terminal of any coding."""
    write_good(tmp_path / "data", 20)
    first = min((tmp_path / "data").iterdir())
    (tmp_path / "data" / os.fsdecode(b"zweit\xe9.png")).write_bytes(first.read_bytes())
    (tmp_path / "data" / os.fsdecode(b"b\xf6se.png")).write_bytes(b"torn")
    arguments = ["check-data", "data", "--sheet", "sheet.png"]
    run = subprocess.run(
        [sys.executable, "-m", "export.cli.main", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": coding, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "\\udce9" in run.stdout or "\\xe9" in run.stdout


@pytest.mark.parametrize("sheet", ["data.check-data.png", "deeper/sheet.png"])
def test_the_sheet_never_lies_among_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sheet: str
) -> None:
    """`check-data .` inside the data set: the next build would train on the sheet."""
    write_good(tmp_path / "data", 20)
    (tmp_path / "data" / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    arguments = [] if sheet == "data.check-data.png" else ["--sheet", sheet]
    assert main(["check-data", ".", *arguments]) == 2
    assert "would lie among the pictures" in capsys.readouterr().err
    assert not list((tmp_path / "data").rglob("*sheet*")) + list(Path().rglob("*.check-data.png"))
