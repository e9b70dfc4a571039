"""Whole by the outline: a part whose box reaches over the border and whose silhouette does not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.small_bundles import CROP_HW, bright_files, bright_manifest

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import AlignmentSpec, CropModel, Manifest
from edge_app.errors import BundleError
from edge_app.imaging.upright_crop import CropSpec
from edge_app.inspection.outline import ProductOutline, outline_from_silhouette
from edge_app.inspection.tracker import BeltTracker, OnePartPerFrame, Tracker
from edge_app.model.loaded_model import load_model, make_line
from edge_app.model.looks import whole_products
from edge_app.records import BoxCxcywhr, Detection, Frame, U8Array, VerdictState

SPEC = CropSpec((32, 64), margin=0.0)
EIGHTH = math.pi / 4

LENS: U8Array = np.asarray(
    cv2.ellipse(np.zeros((32, 64), np.uint8), ((31.5, 15.5), (64.0, 32.0), 0.0), 255, cv2.FILLED),
    np.uint8,
)
"""An ellipse that fills its box: 64 × 32, as frame pixels at the crop's own size."""


def lens(size_px: tuple[float, float] | None = None) -> ProductOutline:
    return outline_from_silhouette(LENS, SPEC, size_px)


def test_a_lens_on_the_diagonal_is_inside_though_its_box_is_not() -> None:
    """Half extents of a lens of 64 × 32 at 45° are 25.3, those of its box 33.9."""
    outline = lens()
    assert outline.is_inside((28.0, 28.0, 64.0, 32.0, EIGHTH), (57, 57), 0.0)
    assert outline.is_inside((28.0, 28.0, 64.0, 32.0, EIGHTH), (57, 57), 2.0)
    assert not outline.is_inside((28.0, 28.0, 64.0, 32.0, EIGHTH), (57, 57), 4.0)


@pytest.mark.parametrize("shift_px", [6.0, 12.0, 25.0])
@pytest.mark.parametrize("side", [(1, 0), (-1, 0), (0, 1), (0, -1)], ids=str)
def test_a_lens_that_the_border_cuts_is_not_inside(shift_px: float, side: tuple[int, int]) -> None:
    """Moved over each of the four borders."""
    box = (28.0 + side[0] * shift_px, 28.0 + side[1] * shift_px, 64.0, 32.0, EIGHTH)
    assert not lens().is_inside(box, (57, 57), 0.0)


def test_a_hundredth_may_lie_outside_a_picture_of_one_part_but_not_on_a_belt() -> None:
    """The end of the lens just over the border."""
    box = (30.0, 31.5, 64.0, 32.0, 0.0)
    assert lens().is_inside(box, (64, 64), 0.0)
    assert not lens().is_inside(box, (64, 64), 1.0)


def test_on_a_belt_a_short_part_is_a_rest_and_alone_in_its_picture_a_broken_one() -> None:
    """The first must not become good, the second must be judged."""
    box = (28.0, 28.0, 50.0, 25.0, EIGHTH)
    usual = (64.0, 32.0)
    assert lens().is_inside(box, (57, 57), 4.0)
    assert not lens(usual).is_inside(box, (57, 57), 4.0)
    assert lens(usual).is_inside(box, (57, 57), 0.0)


def test_a_silhouette_of_another_size_or_empty_is_refused() -> None:
    """As a damaged bundle would bring it."""
    with pytest.raises(BundleError, match=r"must be \(32, 64\) pixels and not empty"):
        outline_from_silhouette(LENS[:31], SPEC, None)
    with pytest.raises(BundleError, match="not empty"):
        outline_from_silhouette(np.zeros_like(LENS), SPEC, None)


class Finds:
    """A detector that sees the same boxes in every picture."""

    def __init__(self, *boxes: BoxCxcywhr) -> None:
        self._boxes = boxes

    def find(self, pixels_hwc: object) -> list[Detection]:
        return [Detection(box, 0.9) for box in self._boxes]


def manifest(whole: str = "outline") -> Manifest:
    """Return a product with a template, of whose parts the outline or the box must be inside."""
    crop = CropModel(crop_hw=CROP_HW, margin=0.0, whole=whole)
    return Manifest.model_validate(
        {
            **bright_manifest().model_dump(exclude={"format", "requires", "station", "region"}),
            "crop": crop,
            "alignment": AlignmentSpec(template="align.png", product_wh=(64.0, 32.0)),
        }
    )


def written(path: Path, whole: str, silhouette: U8Array | None) -> Path:
    """Write the bundle; its template is flat, so that registration leaves boxes as they are."""
    rows = [np.full(CROP_HW, 100, np.uint8), np.full(CROP_HW, 255, np.uint8)]
    picture = np.vstack(rows if silhouette is None else [*rows, silhouette])
    align = cv2.imencode(".png", picture)[1].tobytes()
    write_bundle(path, manifest(whole), {**bright_files(), "align.png": align})
    return path


def verdict(path: Path, box: BoxCxcywhr, tracker: Tracker, spot: bool = False) -> tuple[str, str]:
    """Return what the bundle says of a picture with one box."""
    model = load_model(read_bundle(path))
    line = make_line(replace(model, finder=Finds(box)), "cam", tracker, lambda: "alarm-1")
    pixels = np.full((57, 57, 3), 100, np.uint8)
    if spot:
        pixels[24:32, 24:32] = 250
    frame = Frame("cam", 1, pixels, 1_000, source_number=1)
    finished = (*line.inspect(frame).finished, *line.finish(frame).finished)
    assert len(finished) == 1
    return finished[0].state.value, finished[0].reason


REACHING: BoxCxcywhr = (28.0, 28.0, 64.0, 32.0, EIGHTH)
CUT: BoxCxcywhr = (38.0, 28.0, 64.0, 32.0, EIGHTH)


def test_a_triggered_part_is_judged_when_its_outline_is_inside(tmp_path: Path) -> None:
    """Good and bad; cut by the border it is not inspected."""
    path = written(tmp_path / "a.bundle", "outline", LENS)
    ok, ng = VerdictState.OK.value, VerdictState.NG.value
    assert verdict(path, REACHING, OnePartPerFrame("p", False)) == (ok, "")
    assert verdict(path, REACHING, OnePartPerFrame("p", False), spot=True) == (ng, "")
    assert verdict(path, CUT, OnePartPerFrame("p", False)) == ("NOT_INSPECTED", "never_whole")


def test_a_part_that_the_border_cuts_may_be_bad_by_what_is_seen_and_never_good(
    tmp_path: Path,
) -> None:
    """A trigger takes one picture of it, a belt will show the rest; format 1 is as it was."""
    path = written(tmp_path / "a.bundle", "outline", LENS)
    assert verdict(path, CUT, OnePartPerFrame("p", False), spot=True) == ("NG", "")
    unseen = ("NOT_INSPECTED", "never_whole")
    assert verdict(path, CUT, BeltTracker("b"), spot=True) == unseen
    far: BoxCxcywhr = (50.0, 28.0, 64.0, 32.0, EIGHTH)
    assert verdict(path, far, OnePartPerFrame("p", False), spot=True) == unseen
    by_box = written(tmp_path / "b.bundle", "box", None)
    assert verdict(by_box, CUT, OnePartPerFrame("p", False), spot=True) == unseen


def test_a_cut_neighbour_of_a_whole_part_says_nothing(tmp_path: Path) -> None:
    """Its spot belongs to another part, which has a picture of its own."""
    path = written(tmp_path / "a.bundle", "outline", LENS)
    line = make_line(
        replace(load_model(read_bundle(path)), finder=Finds(REACHING, CUT)),
        "cam", OnePartPerFrame("p", False), lambda: "alarm-1",
    )  # fmt: skip
    frame = Frame("cam", 1, np.full((57, 57, 3), 100, np.uint8), 1_000, source_number=1)
    report = line.inspect(frame)
    assert [v.state for v in report.finished] == [VerdictState.OK]
    assert len(report.anomalies) == 1


def test_on_a_belt_a_part_that_comes_near_the_border_is_never_ok(tmp_path: Path) -> None:
    """What is right for a picture taken of one part is not for a belt, where it goes on."""
    path = written(tmp_path / "a.bundle", "outline", LENS)
    assert verdict(path, REACHING, BeltTracker("b")) == ("NOT_INSPECTED", "never_whole")
    smaller = (28.0, 28.0, 50.0, 25.0, EIGHTH)
    assert verdict(path, smaller, BeltTracker("b")) == ("OK", "")


def test_a_bundle_of_format_1_judges_by_the_box_as_before(tmp_path: Path) -> None:
    """The same box, the same picture: not whole by its corners."""
    path = written(tmp_path / "a.bundle", "box", None)
    assert read_bundle(path).manifest.format == "cropliq-bundle/1"
    found = verdict(path, REACHING, OnePartPerFrame("p", False))
    assert found == ("NOT_INSPECTED", "never_whole")


def test_pictures_on_disk_meet_the_same_rule(tmp_path: Path) -> None:
    """Calibration and golden pictures count what the line judges."""
    picture = np.full((57, 57, 3), 100, np.uint8)
    for whole, silhouette, count in (("outline", LENS, 1), ("box", None, 0)):
        path = written(tmp_path / f"{whole}.bundle", whole, silhouette)
        model = replace(load_model(read_bundle(path)), finder=Finds(REACHING))
        assert len(whole_products(model, picture)) == count


def test_a_bundle_that_lacks_its_silhouette_is_refused(tmp_path: Path) -> None:
    """It says that parts are whole by their outline and brings none."""
    path = written(tmp_path / "a.bundle", "outline", None)
    with pytest.raises(BundleError, match="silhouette must be"):
        load_model(read_bundle(path))
