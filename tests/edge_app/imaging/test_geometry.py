"""Pixels become millimetres, and bent lines straight: a drawn board under a known camera."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.checkerboard import BENT, CORNERS, FLAT, HW, NO_BEND, POSES, SQUARE_MM, seen

from edge_app.camera_setup.calibrating import calibrate_camera, find_corners, geometry_of
from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.straightened import StraightenedCamera
from edge_app.errors import ConfigError, FrameCorrupt
from edge_app.imaging.camera_calibration import (
    Geometry,
    Straightener,
    extent_mm,
    load_geometry,
    save_geometry,
)
from edge_app.records import Defect, F64Array, U8Array


def corners_of_poses(count: int, distortion: F64Array) -> list[np.ndarray]:
    views = [find_corners(seen(*pose, distortion), CORNERS) for pose in POSES[:count]]
    return [view for view in views if view is not None]


@pytest.fixture(scope="module")
def bent_geometry() -> Geometry:
    views = corners_of_poses(7, BENT)
    assert len(views) == 7
    return geometry_of(views, HW, CORNERS, SQUARE_MM)


def test_lens_and_plane_are_found(bent_geometry: Geometry) -> None:
    """Seven views of a bent picture: the focal length to 1 %, corners to a fifth of a pixel."""
    lens = bent_geometry.lens
    assert lens is not None
    assert lens.matrix[0, 0] == pytest.approx(900, rel=0.01)
    assert bent_geometry.about["lens_rms_px"] < 0.2
    assert bent_geometry.about["plane_rms_mm"] < 0.05


def test_straight_pictures_have_straight_lines(bent_geometry: Geometry) -> None:
    """In the straightened picture the board's rows are straight to a fifth of a pixel."""
    assert bent_geometry.lens is not None
    picture = seen(*FLAT, BENT)
    straight = Straightener(bent_geometry, bent_geometry.lens)(picture)

    def off_line(pixels: U8Array) -> float:
        points = find_corners(pixels, CORNERS)
        assert points is not None
        row = points[: CORNERS[0]].astype(np.float64)
        vx, vy, x, y = cv2.fitLine(row, cv2.DIST_L2, 0, 0.01, 0.01).ravel()
        return float(np.abs((row[:, 0] - x) * vy - (row[:, 1] - y) * vx).max())

    assert off_line(straight) < 0.2
    assert off_line(picture) > 2 * off_line(straight)


def test_lengths_on_the_plane(bent_geometry: Geometry) -> None:
    """Corners measured in the straightened picture are 10 mm apart to within 1 %."""
    assert bent_geometry.lens is not None
    straight = Straightener(bent_geometry, bent_geometry.lens)(seen(*FLAT, BENT))
    points = find_corners(straight, CORNERS)
    assert points is not None
    placed = bent_geometry.points_mm([(float(x), float(y)) for x, y in points])
    steps = np.linalg.norm(np.diff(placed.reshape(*CORNERS[::-1], 2), axis=1), axis=2)
    assert steps == pytest.approx(np.full(steps.shape, 10.0), rel=0.01)


def test_one_view_gives_millimetres_alone() -> None:
    """A straight lens and one flat board: no lens in the result, defects measured all the same."""
    geometry = geometry_of(corners_of_poses(1, NO_BEND), HW, CORNERS, SQUARE_MM)
    assert geometry.lens is None
    # the board's second square in the first row of inner corners: 10 mm a side
    points = corners_of_poses(1, NO_BEND)[0]
    outline = tuple((float(x), float(y)) for x, y in points[[0, 1, 9, 8]])
    extent = extent_mm(Defect(outline, (0, 0, 1, 1), 1.0), geometry)
    assert extent is not None
    assert extent.size_mm == pytest.approx((10.0, 10.0), rel=0.01)
    assert extent.area_mm2 == pytest.approx(100.0, rel=0.02)
    assert extent.centre_mm == pytest.approx((5.0, 5.0), abs=0.1)


def test_a_long_defect_has_length_and_width() -> None:
    """2 mm by 0.5 mm at a tenth of a millimetre a pixel, lying askew."""
    geometry = Geometry((100, 100), None, np.diag([0.1, 0.1, 1.0]), {})
    box = cv2.boxPoints(((50, 40), (20, 5), 30))
    outline = tuple((float(x), float(y)) for x, y in box)
    extent = extent_mm(Defect(outline, (0, 0, 1, 1), 1.0), geometry)
    assert extent is not None
    assert extent.size_mm == pytest.approx((2.0, 0.5), abs=0.01)
    assert extent.area_mm2 == pytest.approx(1.0, abs=0.02)
    assert extent.centre_mm == pytest.approx((5.0, 4.0), abs=0.01)


def test_an_outline_of_two_points_has_no_extent() -> None:
    """Nothing is invented for what is no area."""
    geometry = Geometry((10, 10), None, np.eye(3), {})
    assert extent_mm(Defect(((1, 1), (2, 2)), (1, 1, 2, 2), 1.0), geometry) is None


def test_two_views_are_refused_with_what_to_do() -> None:
    """Too few for the lens, more than the plane needs: the message names both ways out."""
    views = corners_of_poses(2, NO_BEND)
    with pytest.raises(ConfigError, match=r"lens needs 5 or more.*--views 1"):
        geometry_of(views, HW, CORNERS, SQUARE_MM)


def test_a_bent_picture_alone_is_refused() -> None:
    """One view through a strongly bent lens fits no plane: said, instead of wrong millimetres."""
    views = corners_of_poses(1, np.array([-2.5, 0, 0, 0, 0]))
    assert views
    with pytest.raises(ConfigError, match="off a flat board"):
        geometry_of(views, HW, CORNERS, SQUARE_MM)


def test_the_file_keeps_every_digit(bent_geometry: Geometry, tmp_path: Path) -> None:
    """Saved and loaded, the same points give the same millimetres."""
    save_geometry(bent_geometry, tmp_path / "cam.json")
    loaded = load_geometry(tmp_path / "cam.json")
    assert loaded.lens is not None
    assert bent_geometry.lens is not None
    assert np.array_equal(loaded.lens.distortion, bent_geometry.lens.distortion)
    assert np.array_equal(loaded.to_mm, bent_geometry.to_mm)
    assert loaded.about == bent_geometry.about


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", "other-9"), ("to_mm", [[1, 2], [3, 4]]), ("frame_hw", None), ("to_mm", "NaN")],
)
def test_a_file_of_another_kind_is_refused(key: str, value: object, tmp_path: Path) -> None:
    """Wrong format, shape or type: one sentence that names the file and the way out."""
    file = tmp_path / "cam.json"
    save_geometry(Geometry((10, 20), None, np.eye(3), {}), file)
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, key: value}))
    with pytest.raises(ConfigError, match=r"cam\.json cannot be used.*calibrate"):
        load_geometry(file)


def test_a_picture_of_another_size_is_refused(bent_geometry: Geometry, tmp_path: Path) -> None:
    """A camera that changed its resolution gives NOT_INSPECTED, not wrong pictures."""
    assert bent_geometry.lens is not None
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((10, 12, 3), np.uint8))
    straighten = Straightener(bent_geometry, bent_geometry.lens)
    camera = StraightenedCamera(FolderCamera(tmp_path, "cam"), straighten)
    camera.open()
    with pytest.raises(FrameCorrupt, match=r"12 x 10.*calibrated at 800 x 600") as caught:
        camera.read(1)
    assert (caught.value.source_number, caught.value.source_name) == (1, "a.png")


@pytest.mark.slow
def test_calibration_of_a_folder_of_pictures(tmp_path: Path) -> None:
    """Pictures with and without the board, one of them twice: the file and its quality are told."""
    folder = tmp_path / "board"
    folder.mkdir()
    for number, pose in enumerate([POSES[0], POSES[0], *POSES[1:5]]):
        cv2.imwrite(str(folder / f"{number}.png"), seen(*pose, NO_BEND))
    cv2.imwrite(str(folder / "9.png"), np.full((*HW, 3), 90, np.uint8))
    out = tmp_path / "cam.json"
    lines = list(calibrate_camera(FolderCamera(folder, "cam"), out, CORNERS, SQUARE_MM, 5))
    assert sum("the board is seen" in line for line in lines) == 5
    assert load_geometry(out).about["views"] == 5


def test_no_board_at_all_is_explained(tmp_path: Path) -> None:
    """The message says what was looked for."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((*HW, 3), 90, np.uint8))
    steps = calibrate_camera(FolderCamera(tmp_path, "c"), tmp_path / "x", CORNERS, SQUARE_MM, 1)
    with pytest.raises(ConfigError, match="No board with 8 x 5 inner corners"):
        list(steps)
