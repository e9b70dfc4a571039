"""Auto-labels: boxes along the part's own axis, doubts named, the simulated line as the judge."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.needs import DATASETS, needing

from edge_app.errors import DataError
from edge_app.imaging.oriented_box import axis_difference_rad, rotated_iou
from edge_app.records import PointXy, U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from edge_app.simulator.truth import SEEDS, Product
from export.data.yolo_dataset import read_bgr
from export.labels.autolabel import autolabel, autolabel_folder, product_fills_frame, write_overview
from export.labels.outline import outline_inside

HW = (240, 320)
WEDGE = np.array([[-60.0, -16.0], [60.0, -7.0], [60.0, 7.0], [-60.0, 16.0]])
"""A tapered part pointing along +x from its wide end, 120 × 32 px."""


def drawn(
    parts: list[tuple[PointXy, float]],
    dark: bool = False,
    seed: int = 0,
    outline: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = WEDGE,
    hw: tuple[int, int] = HW,
) -> U8Array:
    """Return parts (centre, angle) on a background that is lit from the left, with noise."""
    rng = np.random.default_rng(seed)
    light = np.linspace(150, 90, hw[1])[None, :, None]
    pixels = np.clip(rng.normal(light, 5, (*hw, 3)), 0, 255).astype(np.uint8)
    for (x, y), angle_rad in parts:
        cos, sin = math.cos(angle_rad), math.sin(angle_rad)
        corners = outline @ np.array([[cos, sin], [-sin, cos]]) + (x, y)
        points = [np.rint(corners * 16).astype(np.int32)]
        cv2.fillPoly(pixels, points, (25, 30, 28) if dark else (225, 230, 228), cv2.LINE_AA, 4)
    return pixels


def saved(folder: Path, pictures: list[U8Array]) -> list[Path]:
    """Write pictures as PNG and return their paths."""
    paths = [folder / f"{i:03d}.png" for i in range(len(pictures))]
    for path, pixels in zip(paths, pictures, strict=True):
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return paths


def ordinary(count: int) -> list[U8Array]:
    """Return pictures of one whole part each, at any angle."""
    rng = np.random.default_rng(5)
    return [
        drawn([((rng.uniform(90, 230), rng.uniform(80, 160)), rng.uniform(-3, 3))], seed=i)
        for i in range(count)
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["bright part", "dark part"])
@pytest.mark.parametrize("angle_rad", [0.0, 0.4, 1.5, 2.6, -0.9, -2.2])
def test_a_tapered_part_is_boxed_along_its_own_axis_and_directed(
    angle_rad: float, dark: bool
) -> None:
    """Angle to 0.5° with the wide end at the back, sides to 3 px, in uneven light."""
    label = autolabel(drawn([((170.3, 118.8), angle_rad)], dark))
    (box,) = label.boxes
    assert label.unsure == ()
    assert label.has_direction == (True,)
    assert math.degrees(axis_difference_rad(box[4], angle_rad, 2 * math.pi)) < 0.5
    assert box[:4] == pytest.approx((170.3, 118.8, 120.0, 32.0), abs=3.0)


def test_a_minimum_area_rectangle_would_be_off_axis() -> None:
    """Why the principal axis is used: the smallest rectangle leans on the wedge's flank."""
    label = autolabel(drawn([((160.0, 120.0), 0.4)]))
    degrees = cv2.minAreaRect(label.shapes[0].outline_xy)[2]
    off = axis_difference_rad(math.radians(degrees), 0.4, math.pi / 2)
    assert math.degrees(off) > 1.0


def test_several_parts_are_all_boxed() -> None:
    """Two like parts in one picture give two boxes."""
    label = autolabel(drawn([((85.0, 70.0), 0.3), ((230.0, 170.0), 2.0)]))
    assert len(label.boxes) == 2
    assert label.unsure == ()


def test_the_mask_covers_the_part() -> None:
    """The mask's area is the wedge's with half a pixel all round, to 2 %."""
    label = autolabel(drawn([((160.0, 120.0), 0.4)]))
    mask = label.shapes[0].mask(HW)
    assert mask.shape == HW
    assert mask.sum() == pytest.approx(121 * (33 + 15) / 2, rel=0.02)
    assert label.confidence == 1.0


def test_an_empty_picture_has_no_part_and_says_so() -> None:
    """Noise alone is no part."""
    label = autolabel(drawn([]))
    assert label.boxes == ()
    assert label.unsure == ("no part found",)
    assert label.confidence == 0.0


@pytest.mark.parametrize("hw", [(1, 1), (1, 50), (3, 2)], ids=str)
def test_tiny_pictures_are_doubtful_not_fatal(hw: tuple[int, int]) -> None:
    """The smallest pictures there are give a label with a doubt."""
    assert autolabel(np.full((*hw, 3), 100, np.uint8)).unsure


def test_a_part_cut_by_the_border_is_named_and_not_used(tmp_path: Path) -> None:
    """A cut part makes its picture doubtful; the others stay sure."""
    cut = drawn([((300.0, 120.0), 0.2)])
    report = autolabel_folder(saved(tmp_path, [*ordinary(5), cut]))
    ((path, reasons),) = report.unsure.items()
    assert path.name == "005.png"
    assert reasons == ("the part touches the picture's border",)
    assert len(report.labelled()) == 5


@pytest.mark.parametrize(
    ("x", "is_whole"), [(60.0, True), (29.5, True), (27.0, False), (15.0, False)]
)
def test_a_part_that_grazes_the_border_is_whole(x: float, is_whole: bool) -> None:
    """A disc of radius 30 that just touches the border is labelled; one that is cut is not."""
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    disc = 30.0 * np.column_stack([np.cos(turns), np.sin(turns)])
    pixels = drawn([((x, 120.0), 0.0)], outline=disc)
    assert len(autolabel(pixels).boxes) == is_whole
    assert outline_inside(pixels, (x, 120.0, 60.0, 60.0, 0.0)) == is_whole


def test_an_outline_is_looked_for_where_the_box_is() -> None:
    """A wedge across the frame: its box reaches over, it does not; and nothing where nothing is."""
    long_wedge = WEDGE * (2.2, 1.5)
    pixels = drawn([((160.0, 120.0), 0.75)], outline=long_wedge)
    box = (160.0, 120.0, 264.0, 48.0, 0.75)
    assert outline_inside(pixels, box)
    moved = drawn([((160.0, 90.0), 0.75)], outline=long_wedge)
    assert not outline_inside(moved, (160.0, 90.0, 264.0, 48.0, 0.75))
    assert not outline_inside(pixels, (280.0, 40.0, 60.0, 40.0, 0.0))
    assert not outline_inside(drawn([]), box)


def test_a_cut_neighbour_is_hidden_from_training(tmp_path: Path) -> None:
    """Beside a whole part a cut one is painted grey instead of being taught as background."""
    both = drawn([((100.0, 120.0), 0.2), ((310.0, 120.0), 1.4)])
    report = autolabel_folder(saved(tmp_path, [*ordinary(5), both]))
    assert report.unsure == {}
    taught = report.labelled()[5]
    assert len(taught.boxes_cxcywhr) == 1
    assert (taught.pixels()[120, 305:] == 114).all()


def test_another_object_and_another_shape_make_a_picture_doubtful(tmp_path: Path) -> None:
    """A much larger thing and a square of the part's area are both named, with figures."""
    large = drawn([((160.0, 120.0), 0.0)], outline=WEDGE * 1.6)
    square = drawn([((160.0, 120.0), 0.0)], outline=np.sign(WEDGE) * 26.0)
    report = autolabel_folder(saved(tmp_path, [*ordinary(6), large, square]))
    reasons = {path.name: why[0] for path, why in report.unsure.items()}
    assert set(reasons) == {"006.png", "007.png"}
    assert "times the usual" in reasons["006.png"]
    assert "elongation is 1.0" in reasons["007.png"]


def test_progress_is_told_for_every_picture(tmp_path: Path) -> None:
    """The command can show where it is."""
    seen: list[tuple[int, int]] = []
    autolabel_folder(saved(tmp_path, ordinary(3)), lambda done, count: seen.append((done, count)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_overview_sheet_shows_every_picture(tmp_path: Path) -> None:
    """One tile per picture, six in a row, green boxes; doubtful ones with a red caption."""
    report = autolabel_folder(saved(tmp_path, [*ordinary(7), drawn([])]))
    write_overview(report, tmp_path / "sheets" / "overview.png")
    sheet = read_bgr(tmp_path / "sheets" / "overview.png")
    assert sheet.shape == (2 * 218, 6 * 240, 3)
    assert (sheet == (40, 40, 230)).all(axis=2)[200:218, :240].any()
    assert (sheet == (60, 200, 60)).all(axis=2)[:, 240:480].any()


def test_separate_parts_do_not_fill_the_frame(tmp_path: Path) -> None:
    """The automatic choice asks for a detector."""
    fills, reason = product_fills_frame(saved(tmp_path, ordinary(8)))
    assert not fills
    assert "8 of 8" in reason


def test_parts_cut_by_the_border_in_half_of_the_pictures_do_not_fill_the_frame(
    tmp_path: Path,
) -> None:
    """A badly aimed camera is no reason to inspect the background as product."""
    cut = [drawn([((10.0 + i, 120.0), 0.0)], seed=50 + i) for i in range(8)]
    fills, reason = product_fills_frame(saved(tmp_path, ordinary(8) + cut))
    assert not fills
    assert "8 more at the border" in reason


def test_a_texture_fills_the_frame(tmp_path: Path) -> None:
    """Pictures of nothing but surface, of mixed sizes, need no detector."""
    rng = np.random.default_rng(2)
    surfaces = []
    for width in (200, 240, 260, 300, 220, 210):
        coarse = rng.normal(120, 25, (12, width // 16, 3)).astype(np.float32)
        surfaces.append(np.clip(cv2.resize(coarse, (width, 190)), 0, 255).astype(np.uint8))
    fills, reason = product_fills_frame(saved(tmp_path, surfaces))
    assert fills
    assert "of 6 sampled pictures" in reason


def test_no_pictures_is_an_error() -> None:
    """An empty folder gets a sentence."""
    with pytest.raises(DataError, match="no pictures"):
        autolabel_folder([])


@pytest.mark.parametrize(
    ("product", "kind", "period_rad"),
    [("tapered", "elongated", math.pi), ("square", "compact", math.pi / 2), ("round", "round", 0)],
)
def test_the_simulated_lines_parts_are_labelled_as_its_truth_says(
    product: Product, kind: str, period_rad: float, tmp_path: Path
) -> None:
    """On 12 frames every whole part is found: IoU over 0.85, median angle error under 0.3°."""
    line = good_line(SimulatorConfig(product=product, seed=SEEDS["training"]))
    pairs = [line.single(n) for n in range(1, 9)] + [line.frame(n) for n in (6, 11, 17, 21)]
    report = autolabel_folder(saved(tmp_path, [pixels for pixels, _ in pairs]))
    errors = []
    for label, (_, truth) in zip(report.labels, pairs, strict=True):
        whole = [part.box_cxcywhr for part in truth.parts if part.is_whole]
        assert len(label.boxes) == len(whole)
        for box in label.boxes:
            nearest = max(whole, key=lambda true: rotated_iou(box, true))
            assert rotated_iou(box, nearest) > 0.85
            errors.append(axis_difference_rad(box[4], nearest[4], period_rad or math.pi))
    assert report.usual.kind == kind
    assert report.unsure == {}
    assert math.degrees(float(np.median(errors))) < 0.3


@pytest.fixture
@needing("the datasets")
def datasets_folder() -> Path:
    return DATASETS


@pytest.mark.slow
def test_every_screw_is_found(datasets_folder: Path) -> None:
    """320 good screws at random angles: one box each, no doubts."""
    paths = sorted((datasets_folder / "mvtec_screw" / "train" / "good").iterdir())
    report = autolabel_folder(paths)
    assert report.unsure == {}
    assert {len(label.boxes) for label in report.labels} == {1}


def test_magnetic_tiles_fill_the_frame(datasets_folder: Path) -> None:
    """No background and no outline: the whole picture is the product."""
    tiles = sorted((datasets_folder / "magnetic_tile" / "train" / "good").iterdir())
    assert product_fills_frame(tiles)[0]
