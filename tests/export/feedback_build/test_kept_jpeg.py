"""Drawn defects are compressed as the marked pictures are, so that compression tells nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from export.defects.synthetic import DrawnPicture
from export.feedback_build.kept_jpeg import as_kept, jpeg_quality


def textured(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 60, (48, 80, 3))
    return (120 + 3 * cv2.GaussianBlur(noise, (0, 0), 2)).clip(0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, ending: str = ".jpg", quality: int = 90) -> bytes:
    return bytes(cv2.imencode(ending, pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def drawn(folder: Path) -> DrawnPicture:
    path = folder / "part.png"
    cv2.imwrite(str(path), textured())
    return DrawnPicture(path, path.name, "ab" * 32, (48, 80), kind="stain", seed=(3,))


@pytest.mark.parametrize("quality", [30, 75, 90, 92, 97])
def test_a_pictures_quality_is_read_from_its_file(quality: int) -> None:
    """Its quantisation table tells it, whatever the picture shows."""
    assert jpeg_quality(encoded(textured(quality), quality=quality)) == quality


def test_what_is_no_jpeg_has_no_quality() -> None:
    """PNG, nothing at all, and a JPEG that ends before its table."""
    assert jpeg_quality(encoded(textured(), ".png")) is None
    assert jpeg_quality(b"") is None
    assert jpeg_quality(encoded(textured())[:30]) is None


def test_drawn_defects_go_through_the_marked_pictures_jpeg(tmp_path: Path) -> None:
    """The same defect at the same place, with the median quality of the marks."""
    lossless = drawn(tmp_path)
    marks = [encoded(textured(n), quality=q) for n, q in enumerate((50, 60, 90))]
    (kept,) = as_kept([lossless], marks)
    wanted = cv2.imdecode(np.frombuffer(encoded(lossless.read(), quality=60), np.uint8), 1)
    assert (kept.read() == wanted).all()
    assert (kept.read() != lossless.read()).any()


def test_beside_lossless_marks_drawn_defects_stay_lossless(tmp_path: Path) -> None:
    """Most marked pictures are PNG, or there is none."""
    pictures = [drawn(tmp_path)]
    marks = [encoded(textured(n), ".png") for n in range(2)] + [encoded(textured())]
    assert as_kept(pictures, marks) is pictures
    assert as_kept(pictures, []) is pictures
