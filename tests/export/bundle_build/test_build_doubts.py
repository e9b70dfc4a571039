"""What a build says of doubtful pictures: cut parts, two products, defects among the good."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from support.pictures_read import picture_at

from calibration.thresholds.threshold import nominal_threshold
from edge_app.errors import DataError
from edge_app.imaging.oriented_box import wrap_half_turn
from edge_app.inspection.alignment import small_spec
from edge_app.records import BoxCxcywhr, Detection, F64Array, U8Array
from export.bundle_build.manifest import warnings_of
from export.calibrate.thresholds import SYNTHETIC, Calibration, Defects, Scored, calibrate
from export.data.crops import NoUprightViewError, find_parts
from export.data.dataset import Picture, scan_good_pictures
from export.defects.pictures import scan_defects
from export.detector.step import parts_step
from export.labels.step import Labels, label_step
from export.pose.crop_checks import two_products
from export.pose.step import models_of, orientation_step
from export.workspace import Workspace

HW = (100, 200)


class AlwaysThere:
    """Finds one box, the same in every picture unless a picture's first pixel says otherwise."""

    def __init__(self, boxes: list[BoxCxcywhr | None]) -> None:
        self._boxes = boxes
        self._next = 0

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        box = self._boxes[self._next % len(self._boxes)]
        self._next += 1
        return [] if box is None else [Detection(box, 0.9)]


WHOLE = (100.0, 50.0, 80.0, 30.0, 0.0)
CORNER_OUT = (100.0, 50.0, 199.0, 30.0, 0.06)
CUT = (15.0, 50.0, 34.0, 30.0, 0.0)
"""The visible rest of a part at the left border: inside the picture, but short."""


def pictures(folder: Path, count: int) -> list[Picture]:
    """Write and return `count` different pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        cv2.imwrite(str(folder / f"{i:03d}.png"), rng.integers(0, 255, (*HW, 3), np.uint8))
    return list(scan_good_pictures(folder).pictures)


def test_a_part_cut_by_the_border_is_told_apart_from_a_missing_one(tmp_path: Path) -> None:
    """Whole, cut and empty pictures are counted each for itself, and named."""
    some = pictures(tmp_path, 21)
    found = find_parts(AlwaysThere([WHOLE, CUT, None]), some, False, lambda _: None)
    assert len(found.parts) == len(found.cut) == len(found.empty) == 7
    assert "touches the border and was not used: 001.png" in " ".join(found.warnings)


def test_a_box_whose_corner_holds_background_beyond_the_border_is_whole(tmp_path: Path) -> None:
    """A long part that nearly fills its picture is used although its box reaches over."""
    found = find_parts(AlwaysThere([CORNER_OUT]), pictures(tmp_path, 20), False, lambda _: None)
    assert len(found.parts) == 20


REACHING = (100.0, 50.0, 180.0, 100.0, 0.4)
"""A box whose corners reach over every border, with an eleventh of its area."""


@pytest.mark.parametrize(("inside", "whole"), [(True, 20), (False, 0)])
def test_the_outline_decides_where_the_box_reaches_over(
    tmp_path: Path, inside: bool, whole: int
) -> None:
    """Its own picture's outline is asked, and the part remembers that it was."""
    asked: list[object] = []

    def outline(pixels_hwc: U8Array, box: object) -> bool:
        asked.append((pixels_hwc.shape, box))
        return inside

    some = pictures(tmp_path, 20)
    found = find_parts(AlwaysThere([REACHING]), some, False, lambda _: None, outline)
    assert asked == [((*HW, 3), REACHING)] * 20
    assert [p.by_outline for p in found.parts] == [True] * whole
    assert len(found.cut) == 20 - whole


def test_the_outline_is_not_asked_about_what_is_clear(tmp_path: Path) -> None:
    """Wholly inside, and far over the border."""

    def refuse(pixels_hwc: U8Array, box: object) -> bool:
        raise AssertionError(box)

    far_out = (190.0, 50.0, 80.0, 30.0, 0.0)
    boxes: list[BoxCxcywhr | None] = [WHOLE, WHOLE, WHOLE, far_out]
    found = find_parts(AlwaysThere(boxes), pictures(tmp_path, 20), False, lambda _: None, refuse)
    assert (len(found.parts), len(found.cut)) == (15, 5)
    assert not any(p.by_outline for p in found.parts)


@pytest.mark.parametrize(("inside", "whole"), [(True, 20), (False, 10)])
def test_a_short_part_at_the_border_is_a_rest_unless_its_outline_is_inside(
    tmp_path: Path, inside: bool, whole: int
) -> None:
    """A detector's box may be short by a tenth; what the border cuts runs along it."""
    found = find_parts(
        AlwaysThere([WHOLE, CUT]), pictures(tmp_path, 20), False, lambda _: None,
        lambda pixels_hwc, box: inside,
    )  # fmt: skip
    assert (len(found.parts), len(found.cut)) == (whole, 20 - whole)


def lens_scene(seed: int) -> tuple[U8Array, tuple[float, float, float, float, float]]:
    """Return a lens with a dark end on the diagonal of a picture that it nearly fills."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(60, 4, (160, 160, 3))
    angle = np.pi / 4 + rng.uniform(-0.05, 0.05) + np.pi * (seed % 2)
    x, y = 79.5 + rng.uniform(-1, 1, 2)
    canvas = np.clip(pixels, 0, 255).astype(np.uint8)
    cv2.ellipse(canvas, ((x, y), (184.0, 76.0), np.degrees(angle)), (200, 200, 200), cv2.FILLED)
    end = (round(x + 60 * np.cos(angle)), round(y + 60 * np.sin(angle)))
    cv2.circle(canvas, end, 14, (90, 90, 90), cv2.FILLED)
    return canvas, (x, y, 184.0, 76.0, wrap_half_turn(float(angle)))


class Knows:
    """A detector that finds the lens where it was drawn."""

    def __init__(self, boxes: list[tuple[float, float, float, float, float]]) -> None:
        self._boxes = iter(boxes)

    def find(self, pixels_hwc: U8Array) -> list[Detection]:
        return [Detection(next(self._boxes), 0.9)]


def test_parts_that_nearly_fill_their_pictures_make_a_bundle_that_judges_them(
    tmp_path: Path,
) -> None:
    """All 24 are used where their corners threw them away, and the device is told the outline."""
    (tmp_path / "data").mkdir()
    scenes = [lens_scene(i) for i in range(24)]
    for i, (pixels, _) in enumerate(scenes):
        cv2.imwrite(str(tmp_path / "data" / f"{i:02d}.png"), pixels)
    some = list(scan_good_pictures(tmp_path / "data").pictures)
    space = Workspace(tmp_path / "work", lambda *_: None)
    finder = Knows([box for _, box in scenes])
    found = parts_step(space, finder, "", some, False)
    assert len(found.parts) == 24
    labels = Labels(False, [], "elongated", "")
    cutting = orientation_step(space, finder, labels, some, found.parts)
    assert cutting.outline is not None
    for (pixels, box), part in zip(scenes, found.parts, strict=True):
        pose = cutting.pose.find(pixels, box)
        assert part.by_outline
        assert cutting.outline.is_inside(pose, (160, 160), 0.0)
        moved = (pose[0] + 25, *pose[1:])
        assert not cutting.outline.is_inside(moved, (160, 160), 0.0)
    assert models_of(cutting)[1].whole == "outline"
    height = picture_at(tmp_path / "work/orientation/align.png").shape[0]
    assert height == 3 * small_spec(cutting.spec).crop_hw[0]


def test_a_detector_that_finds_nothing_ends_the_crops_not_the_build(tmp_path: Path) -> None:
    """With a type of its own, so that the whole picture can be judged instead."""
    some = pictures(tmp_path / "data", 30)
    space = Workspace(tmp_path / "work", lambda *_: None)
    with pytest.raises(NoUprightViewError, match=r"finds no product in 15 of 30 good pictures"):
        parts_step(space, AlwaysThere([WHOLE, None]), "", some, False)


def test_hardly_any_whole_part_ends_the_build(tmp_path: Path) -> None:
    """Half of 30 parts cut leaves 15: refused, with what to do."""
    some = pictures(tmp_path / "data", 30)
    space = Workspace(tmp_path / "work", lambda *_: None)
    with pytest.raises(NoUprightViewError, match="in 15 of 30 pictures the part touches"):
        parts_step(space, AlwaysThere([WHOLE, CUT]), "", some, False)


def drawn(at_xy: tuple[int, int], size_xy: tuple[int, int], seed: int) -> U8Array:
    """Return one bright bar on a dark belt."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(60, 4, (160, 240, 3)), 0, 255).astype(np.uint8)
    (x, y), (w, h) = at_xy, size_xy
    pixels[max(0, y) : y + h, max(0, x) : x + w] = 210
    return pixels


def test_two_products_of_two_sizes_are_told_from_the_labels(tmp_path: Path) -> None:
    """A third of the pictures shows a bar twice as large: left out, and said why."""
    good = tmp_path / "data"
    good.mkdir()
    for i in range(30):
        size = (110, 60) if i % 3 == 0 else (70, 30)
        cv2.imwrite(str(good / f"{i:02d}.png"), drawn((40 + i, 30 + i), size, i))
    scanned = scan_good_pictures(good)
    space = Workspace(tmp_path / "work", lambda *_: None)
    labels = label_step(space, scanned, scanned.pictures, "auto")
    assert not labels.fills_frame
    (warning,) = labels.warnings
    assert "10 of 30 pictures were left out" in warning
    assert (tmp_path / "work" / "labels" / "overview.png").is_file()
    assert len(list((tmp_path / "work" / "labels" / "yolo_obb").glob("*.txt"))) == 20


def crops(count: int, seed: int, has_slot: bool) -> list[U8Array]:
    """Return grey upright crops with noise and varying light, with or without a dark slot."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        crop = np.full((64, 128, 3), 150.0) * rng.uniform(0.8, 1.2) + rng.normal(0, 6, (64, 128, 3))
        crop[20:40, 20:60] *= 0.7
        if has_slot:
            crop[20:44, 80:110] *= 0.5
        made.append(np.clip(crop, 0, 255).astype(np.uint8))
    return made


def test_two_products_of_one_shape_are_told_from_the_crops() -> None:
    """One in four has a slot: two groups with nothing between them."""
    (warning,) = two_products(crops(60, 0, False) + crops(20, 1, True))
    assert "two groups (60 and 20)" in warning


def test_one_product_under_changing_light_is_one_product() -> None:
    """Brightness that varies by a fifth makes no second product."""
    assert two_products(crops(80, 2, False)) == ()


def calibrated(good: F64Array, bad: F64Array, source: str = SYNTHETIC) -> Calibration:
    defects = Defects(Scored(bad, bad), source, are_real=source != SYNTHETIC)
    return calibrate(Scored(good, good), defects, 0.05)


def test_few_good_parts_say_little_about_the_rate() -> None:
    """20 of them: what it may be, and what to do; real defects that are missed are said too."""
    good = np.linspace(0, 1, 20)
    told = " ".join(warnings_of(calibrated(good, np.append(np.zeros(9), 3.0), "10 real defects")))
    assert "20 good parts say little about the false-alarm rate: it may be up to 13.9%" in told
    assert "edge-calibrate thresholds --from" in told
    assert "catches only 10% of the 10 real defects" in told


def test_many_good_parts_need_no_word() -> None:
    good = np.linspace(0, 1, 2000)
    assert warnings_of(calibrated(good, np.full(9, 3.0), "9 real defects")) == ()


def test_the_manifest_says_which_defects_chose_the_threshold(tmp_path: Path) -> None:
    """Real defects are counted by kind; masks beside them are no pictures."""
    for name in ("crack/1.png", "crack/2.png", "crack/2_mask.png", "dent/1.png"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(file), np.full((9, 9, 3), len(name) * 7, np.uint8))
    real = scan_defects(tmp_path)
    assert real.classes == ("crack", "crack", "dent")
    found = calibrated(np.linspace(0, 1, 50), np.linspace(2, 3, 3), real.summary)
    assert found.thresholds.defects_from == "3 real defects (2 crack, 1 dent)"
    nominal = nominal_threshold(np.linspace(0, 1, 50), 0.05, is_cross_fitted=False).threshold
    assert found.thresholds.score_threshold > nominal  # the grid's middle, not the edge


def test_a_missing_folder_of_real_defects_is_an_error(tmp_path: Path) -> None:
    """A typing error does not silently calibrate on painted defects."""
    with pytest.raises(DataError, match=r"Real defects: .* is not there"):
        scan_defects(tmp_path / "none")
