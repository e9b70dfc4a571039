"""Synthetic defects drawn into good pictures, and what of them reaches a crop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from support.pictures_read import picture_at

from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import WholeFrame
from edge_app.records import Detection, U8Array
from export.augment.defect_like import ABSENT, defect_series, synthetic_defect
from export.data.dataset import Picture, scan_good_pictures
from export.defects import synthetic
from export.defects.synthetic import (
    DrawnPatches,
    DrawnPicture,
    cut_drawn,
    drawn_pictures,
    product_mask,
)
from export.pose.step import Cutting

pytestmark = pytest.mark.needs("the extra train")

HW = (100, 160)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    """A light disc on a dark table, twenty times."""
    folder = tmp_path_factory.mktemp("good")
    for i in range(20):
        pixels = np.random.default_rng(i).normal(50, 4, (*HW, 3)).clip(0, 255).astype(np.uint8)
        cv2.circle(pixels, (60 + 2 * i, 50), 26, (190, 190, 190), cv2.FILLED)
        cv2.imwrite(str(folder / f"{i:02d}.png"), pixels)
    return list(scan_good_pictures(folder).pictures)


class AtTheBorder:
    """Finds the disc in every other picture, in a box that reaches over the border."""

    def __init__(self) -> None:
        self.calls = 0

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        self.calls += 1
        return [Detection((80.0, 50.0, 150.0, 110.0, 0.3), 0.9)] if self.calls % 2 else []


def cutting(finder: object) -> Cutting:
    fills = isinstance(finder, WholeFrame)
    spec = CropSpec((64, 96), 0.0, stretch=fills)
    return Cutting(finder, fills, "fixed", PoseFinder(), spec, "")  # type: ignore[arg-type]


def test_every_kind_in_every_size_is_drawn_as_often(good: list[Picture]) -> None:
    """On as many pictures as there are; an absent product only where it can be told."""
    for has_mask in (True, False):
        drawn = drawn_pictures(good, has_mask, seed=0, rounds=2)
        assert [(p.kind, p.size) for p in drawn] == defect_series(2, has_mask)
        assert {p.name for p in drawn} == {p.name for p in good}
        assert len({p.seed for p in drawn}) == len(drawn)


def test_names_do_not_decide_what_is_drawn_where(good: list[Picture]) -> None:
    """The same pictures under other names carry the same defects; another seed moves them."""
    renamed = [replace(p, name=f"x{i}.png") for i, p in enumerate(good)]
    one, two, other = (
        [(p.sha256, p.kind, p.size, p.seed) for p in drawn_pictures(pictures, True, seed, rounds=1)]
        for pictures, seed in ((good, 0), (renamed, 0), (good, 1))
    )
    assert one == two
    assert [row[0] for row in one] != [row[0] for row in other]


def test_a_drawn_picture_is_the_same_whenever_it_is_read(good: list[Picture]) -> None:
    """It differs from the good one, on the product only."""
    (crack,) = [p for p in drawn_pictures(good, True, 0, rounds=1) if p.kind == "crack"][:1]
    plain = picture_at(crack.path)
    drawn = crack.read()
    assert (drawn == crack.read()).all()
    mask = product_mask(plain)
    assert mask is not None
    assert (drawn != plain).any()
    assert (drawn[mask == 0] == plain[mask == 0]).all()


def test_every_picture_is_drawn_once_however_often_it_is_read(
    good: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every way to the crop, which make their own lists; what does not fit is drawn anew."""
    drawn: list[str] = []

    def draw(*given: Any) -> Any:
        drawn.append(given[3])
        return synthetic_defect(*given)

    monkeypatch.setattr(synthetic, "synthetic_defect", draw)
    patches = DrawnPatches()
    first, second = (drawn_pictures(good, True, 0, rounds=1, patches=patches) for _ in range(2))
    pixels = [picture.read() for picture in first]
    assert len(drawn) >= len(first)
    drawn.clear()
    for picture, before in zip(second, pixels, strict=True):
        assert (picture.read() == before).all()
    assert not drawn
    small = drawn_pictures(good, True, 0, rounds=1, patches=DrawnPatches(max_bytes=0))
    for picture, before in zip(small, pixels, strict=True):
        assert (picture.read() == before).all()
        assert (picture.read() == before).all()
    assert len(drawn) >= 2 * len(small)


@pytest.mark.parametrize("kind", ["pasted", ABSENT])
def test_a_featureless_picture_shows_a_foreign_body_all_the_same(kind: str, tmp_path: Path) -> None:
    """Nothing ends a build because one of its pictures is black."""
    black = np.zeros((*HW, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "black.png"), black)
    picture = DrawnPicture(
        tmp_path / "black.png", "black.png", "0" * 64, HW, kind=kind, seed=(0,), has_mask=True
    )
    assert product_mask(black) is None
    assert (picture.read() > 0).any()


def test_what_a_detector_loses_is_in_no_crop(
    good: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crops know their defect; whether a box over the border is whole, the outline decides, as it
    does for good parts."""
    drawn = drawn_pictures(good, True, 0, rounds=1)[:10]
    monkeypatch.setattr(synthetic, "outline_inside", lambda _pixels, _box: True)
    found = cut_drawn(drawn, cutting(AtTheBorder()), lambda _share: None)
    assert found.defect_of.tolist() == [0, 2, 4, 6, 8]
    assert found.crops.shape == (5, 64, 96, 3)
    monkeypatch.setattr(synthetic, "outline_inside", lambda _pixels, _box: False)
    none = cut_drawn(drawn, cutting(AtTheBorder()), lambda _share: None)
    assert none.crops.shape == (0, 64, 96, 3)
    assert none.defect_of.shape == (0,)


def test_the_whole_picture_loses_nothing(good: list[Picture]) -> None:
    """One crop for each."""
    drawn = drawn_pictures(good, True, 0, rounds=1)[:6]
    found = cut_drawn(drawn, cutting(WholeFrame()), lambda _share: None)
    assert found.defect_of.tolist() == list(range(6))
