"""Scores and small pictures over real HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from people_pages import SHA256, PeoplePage, people_page
from support.history_parts import START_NS, alarm, keeping_all, verdict
from support.pictures_read import picture_of

from edge_app.alerts.evidence_files import crop_of
from edge_app.history.writer import HistoryWriter
from edge_app.page import thumbnails
from edge_app.page.thumbnails import Thumbnails
from edge_app.records import Evidence

START = datetime.fromtimestamp(START_NS / 1e9 - 5, timezone.utc).isoformat()
END = datetime.fromtimestamp(START_NS / 1e9 + 3600, timezone.utc).isoformat()
ASKED = {
    "from": START, "to": END, "bundle": SHA256, "precision": "fp32", "limit": "2", "width": "0.1",
}  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> Iterator[PeoplePage]:
    with people_page(tmp_path / "page") as served:
        served.remembers(25)
        yield served


def test_scores_are_answered_in_bins_with_the_parts_nearest_to_the_limit(page: PeoplePage) -> None:
    """24 good parts and a bad one, all at half the limit."""
    found = page.client().get("/api/v1/scores", params=ASKED).json()
    assert found["bins"] == [{"bin": -10, "ok": 24, "suspect": 0, "ng": 1}]
    assert found["unscored"] == {"ok": 0, "suspect": 0, "ng": 0, "not_inspected": 0}
    assert (found["above"], len(found["below"]), found["next"]) == ([], 25, None)
    other = page.client().get("/api/v1/scores", params={**ASKED, "bundle": "cd" * 32}).json()
    assert (other["bins"], other["other_bundles"]) == ([], 25)


@pytest.mark.parametrize(
    ("name", "value"),
    [("width", "0"), ("width", "-1"), ("width", "nan"), ("limit", "inf"), ("limit", "x"),
     ("limit", "1e300"), ("above", "201"), ("below", "0"), ("bundle", "ab"), ("cursor", "-1"),
     ("to", "1999-01-01"), ("from", "2020-01-01"), ("precision", "")],
)  # fmt: skip
def test_a_wrong_question_about_scores_is_told_what_is_wrong(
    page: PeoplePage, name: str, value: str
) -> None:
    """400 in a sentence; at most 31 days, 200 bins on each side."""
    answer = page.client().get("/api/v1/scores", params={**ASKED, name: value})
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_a_history_there_are_no_scores(tmp_path: Path) -> None:
    """503 in words."""
    with people_page(tmp_path / "page") as page:
        answer = page.client().get("/api/v1/scores", params=ASKED)
        assert answer.status_code == 503
        assert "has not recorded any part" in answer.json()["detail"]


def test_what_parts_can_be_chosen_by_is_what_is_recorded(page: PeoplePage) -> None:
    """Cameras and classes, sorted; without a history it is said."""
    assert page.client().get("/api/v1/parts/choices").json() == {
        "cameras": ["c"], "classes": ["crack"],
    }  # fmt: skip
    page.history.unlink()
    answer = page.client().get("/api/v1/parts/choices")
    assert (answer.status_code, "no history" in answer.json()["detail"]) == (503, True)


def bad_part_with_picture(page: PeoplePage, frame_hw: tuple[int, int], with_crop: bool) -> int:
    """Record a bad part with its pictures; return its id."""
    part = verdict(90, "NG", 3.0)
    pixels = np.zeros((*frame_hw, 3), np.uint8)
    pixels[:9, :9] = (0, 0, 255)  # where the part's corners are
    saved = page.evidence.save(part.part_id, pixels)
    assert saved is not None
    frame = page.evidence.path_of(saved.url.partition("/evidence/")[2])
    assert frame is not None
    if with_crop:
        crop = np.full((200, 800, 3), (0, 255, 0), np.uint8)
        assert cv2.imwrite(str(crop_of(frame)), crop)
    keep = keeping_all()
    writer = HistoryWriter(page.history, {"c": "main"}, keep, {})
    writer.start()
    writer.expect([alarm(part)])
    writer.alarmed([alarm(part)])
    writer.finished([part])
    picture = Evidence(saved.url, saved.sha256)
    writer.kept(replace(alarm(part), evidence=picture, reasons=("ng",)))
    writer.close()
    (row,) = page.client().get("/api/v1/parts", params={"part": part.part_id}).json()["parts"]
    assert row["evidence_url"] == saved.url
    return int(row["id"])


def small(page: PeoplePage, number: int, side: str = "320") -> np.ndarray:
    answer = page.client().get(f"/api/v1/parts/{number}/thumbnail.jpg", params={"side": side})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return picture_of(answer.content)


def test_a_parts_crop_comes_small(page: PeoplePage) -> None:
    """800 × 200 becomes at most what was asked for, never larger than it is."""
    number = bad_part_with_picture(page, (480, 640), with_crop=True)
    for side, shape in (("160", (40, 160)), ("320", (80, 320)), ("640", (160, 640))):
        pixels = small(page, number, side)
        assert pixels.shape[:2] == shape
        assert pixels[5, 5, 1] > 200, "green, as the crop is"


def test_without_a_crop_the_part_is_cut_from_its_frame(page: PeoplePage) -> None:
    """The corners are in frame pixels, whatever the picture was reduced by while it was read."""
    number = bad_part_with_picture(page, (480, 640), with_crop=False)
    pixels = small(page, number)
    assert max(pixels.shape[:2]) < 20
    assert pixels[4, 4, 2] > 200, "red, as the part is"
    frame = next((page.history.parent / "evidence").glob("*/c-90.jpg"))
    whole = Thumbnails().jpeg(frame, [], 160)
    assert whole is not None
    assert picture_of(whole).shape[:2] == (120, 160)


def test_a_picture_that_is_not_there_is_said(page: PeoplePage) -> None:
    """No picture, no such part, an odd size."""
    client = page.client()
    newest = client.get("/api/v1/parts?limit=1").json()["parts"][0]["id"]
    assert client.get(f"/api/v1/parts/{newest}/thumbnail.jpg").status_code == 404
    assert client.get("/api/v1/parts/999999/thumbnail.jpg").status_code == 404
    assert client.get(f"/api/v1/parts/{newest}/thumbnail.jpg?side=5000").status_code == 400


def test_damaged_files_are_no_pictures_and_none_is_read_twice(tmp_path: Path) -> None:
    """Truncated, empty, a link: None. A second request costs no reading."""
    frame = tmp_path / "a.jpg"
    made = Thumbnails()
    assert made.jpeg(frame, [], 160) is None
    for junk in (b"", b"\xff\xd8\xff", os.urandom(2000)):
        frame.write_bytes(junk)
        assert made.jpeg(frame, [], 160) is None
    frame.unlink()
    real = tmp_path / "real.jpg"
    assert cv2.imwrite(str(real), np.full((90, 120, 3), 70, np.uint8))
    frame.symlink_to(real)
    assert made.jpeg(frame, [], 160) is None
    first = made.jpeg(real, [[0, 0], [0, 0], [0, 0], [0, 0]], 160)
    assert first is not None
    real.unlink()
    assert made.jpeg(real, [], 160) == first


def test_what_is_kept_of_them_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one asked for longest ago is let go."""
    monkeypatch.setattr(thumbnails, "CACHE_BYTES", 3000)
    made = Thumbnails()
    for number in range(8):
        file = tmp_path / f"{number}.jpg"
        noise = np.random.default_rng(number).integers(0, 255, (40, 40, 3)).astype(np.uint8)
        assert cv2.imwrite(str(file), noise)
        assert made.jpeg(file, [], 160) is not None
        file.unlink()
    assert made.jpeg(tmp_path / "0.jpg", [], 160) is None
    assert made.jpeg(tmp_path / "7.jpg", [], 160) is not None
