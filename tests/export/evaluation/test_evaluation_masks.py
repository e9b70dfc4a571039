"""Masks of every convention mark the same pixels; one that cannot be used is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_bundles import grey_picture, write_bright_bundle

from edge_app.records import JsonObject
from export.evaluation.run import evaluate

SPOTS = 4
MARKED = grey_picture(spot=True) == 250


def numbered(dtype: type, *numbers: int) -> np.ndarray:
    """Return a mask whose left and right part of the defect have numbers of their own."""
    values = np.zeros(MARKED.shape[:2], dtype)
    rows, columns = np.nonzero(MARKED[..., 0] if MARKED.ndim == 3 else MARKED)
    middle = np.median(columns)
    values[rows, columns] = np.where(columns < middle, numbers[0], numbers[-1])
    return values


MASKS = {
    "0 and 255": numbered(np.uint8, 255),
    "0 and 1": numbered(np.uint8, 1),
    "0 and 1 in 16 bits": numbered(np.uint16, 1),
    "0 and 65535": numbered(np.uint16, 65535),
    "numbers of kinds": numbered(np.uint8, 1, 3),
    "numbers of kinds in 16 bits": numbered(np.uint16, 2, 7),
    "white with alpha": np.dstack(
        [numbered(np.uint8, 255)] * 3 + [np.full(MARKED.shape[:2], 255, np.uint8)]
    ),
}


def write_set(root: Path, mask: np.ndarray, where: Callable[[int], str]) -> None:
    for kind, count, pixels in (
        ("good", 6, grey_picture()),
        ("spot", SPOTS, grey_picture(spot=True)),
    ):
        (root / "test" / kind).mkdir(parents=True)
        for i in range(count):
            changed = pixels.copy()
            changed[0, i] += 1
            cv2.imwrite(str(root / "test" / kind / f"{i:03d}.png"), changed)
    for i in range(SPOTS):
        path = root / where(i)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), mask)


def measured(tmp_path: Path, mask: np.ndarray, where: Callable[[int], str]) -> JsonObject:
    write_set(tmp_path / "data", mask, where)
    bundle = write_bright_bundle(tmp_path / "bright.bundle")
    return evaluate(bundle, tmp_path / "data", None, lambda *_: None).figures


def in_ground_truth(i: int) -> str:
    return f"ground_truth/spot/{i:03d}_mask.png"


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_masks_of_any_numbers_give_the_same_figures(tmp_path: Path, mask: np.ndarray) -> None:
    """0/1, numbers of kinds, 0/255, in 8 and 16 bits."""
    plain = measured(tmp_path / "plain", MASKS["0 and 255"], in_ground_truth)
    found = measured(tmp_path / "other", mask, in_ground_truth)
    for name in ("pixel_auroc", "pro", "masked", "regions", "regions_met"):
        assert found[name] == plain[name]
    assert found["masked"] == SPOTS
    assert not [w for w in found["warnings"] if "mask" in w]


PLACES: dict[str, Callable[[int], str]] = {
    "MVTec AD": in_ground_truth,
    "same name, another format": lambda i: f"ground_truth/spot/{i:03d}.bmp",
    "Kolektor, beside": lambda i: f"test/spot/{i:03d}_label.bmp",
    "GT": lambda i: f"ground_truth/spot/{i:03d}_GT.png",
    "a folder for each": lambda i: f"ground_truth/spot/{i:03d}/000.png",
}


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_masks_are_found_by_several_conventions(
    tmp_path: Path, where: Callable[[int], str]
) -> None:
    """And are never judged as pictures of defective parts."""
    found = measured(tmp_path, MASKS["0 and 255"], where)
    assert (found["masked"], found["bad"], found["good"]) == (SPOTS, SPOTS, 6)


def test_masks_that_fit_none_are_said(tmp_path: Path) -> None:
    """No pixel figures, and the reason with names."""
    found = measured(tmp_path, MASKS["0 and 255"], lambda i: f"ground_truth/spot/frame{i}.png")
    assert "pixel_auroc" not in found
    (warning,) = (w for w in found["warnings"] if "mask" in w)
    assert "none of the 4 masks fits: ground_truth/spot/frame0.png" in warning


def test_a_single_mask_that_fits_none_is_said(tmp_path: Path) -> None:
    names = [*(in_ground_truth(i) for i in range(3)), "ground_truth/spot/030_mask.png"]
    found = measured(tmp_path, MASKS["0 and 255"], lambda i: names[i])
    assert found["masked"] == 3
    assert any("masks that fit no picture: ground_truth/spot/030" in w for w in found["warnings"])


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.full((5, 9), 255, np.uint8), "mask of spot/000.png is 9×5"),
        (np.zeros(MARKED.shape[:2], np.uint16), "mask of spot/000.png marks nothing"),
    ],
    ids=["another size", "empty"],
)
def test_a_mask_of_no_use_is_said(tmp_path: Path, mask: np.ndarray, reason: str) -> None:
    found = measured(tmp_path, mask, in_ground_truth)
    assert "pixel_auroc" not in found
    assert any(reason in warning for warning in found["warnings"])


def test_two_masks_of_one_picture_are_said(tmp_path: Path) -> None:
    """MVTec LOCO marks some pictures by several files, which are not joined."""
    write_set(tmp_path / "data", MASKS["0 and 255"], in_ground_truth)
    (tmp_path / "data/ground_truth/spot/000").mkdir()
    cv2.imwrite(str(tmp_path / "data/ground_truth/spot/000/001.png"), MASKS["0 and 1"])
    bundle = write_bright_bundle(tmp_path / "bright.bundle")
    found = evaluate(bundle, tmp_path / "data", None, lambda *_: None).figures
    assert found["masked"] == SPOTS - 1
    assert any("spot/000.png has 2 masks" in w for w in found["warnings"])
