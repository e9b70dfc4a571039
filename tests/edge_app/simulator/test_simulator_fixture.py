"""`fixture=1`: the part upright and alone, with its truth where it is seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_app.cameras.registry import open_camera
from edge_app.cameras.simulated import SimulatedCamera
from edge_app.errors import ConfigError
from edge_app.imaging.oriented_box import corners_of
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.fixture import FIXTURES, in_fixture
from edge_app.simulator.scene import SimulatedLine
from edge_app.simulator.truth import PRODUCTS, DefectTruth, PartTruth, Product


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_part_fills_the_picture_and_points_to_the_right(product: Product) -> None:
    line = SimulatedLine(SimulatorConfig(product, seed=7, defect_rate=0))
    for number in (1, 2):
        pixels, truth = in_fixture(*line.single(number))
        (part,) = truth.parts
        height, width = FIXTURES[product].crop_hw
        assert pixels.shape == (height, width, 3)
        assert pixels.dtype == np.uint8
        corners = np.array(corners_of(part.box_cxcywhr))
        assert (corners >= 0).all()
        assert (corners <= (width - 1, height - 1)).all()
        assert part.box_cxcywhr[2] > 0.8 * width
        assert part.box_cxcywhr[4] == 0.0
        assert part.is_whole


def test_a_defect_lies_where_the_truth_says() -> None:
    """With and without its defect a part differs there and hardly anywhere else."""
    bad = SimulatedLine(SimulatorConfig("tapered", seed=7, defect_rate=1.0, kinds=("misprint",)))
    good = SimulatedLine(SimulatorConfig("tapered", seed=7, defect_rate=0.0))
    for number in (1, 2, 3):
        pixels, truth = in_fixture(*bad.single(number))
        plain, _ = in_fixture(*good.single(number))
        defect = defect_of(truth.parts[0])
        inside = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillPoly(inside, [np.round(defect.polygon_xy).astype(np.int32)], 1)
        near = cv2.dilate(inside, np.ones((9, 9), np.uint8)).astype(bool)
        change = np.abs(pixels.astype(int) - plain.astype(int)).max(axis=2)
        assert change[inside.astype(bool)].mean() > 5 * change[~near].mean()
        x0, y0, x1, y1 = defect.box_xyxy
        assert 0 <= x0 < x1 <= pixels.shape[1]
        assert 0 <= y0 < y1 <= pixels.shape[0]


def defect_of(part: PartTruth) -> DefectTruth:
    assert part.defect is not None
    return part.defect


def test_a_camera_delivers_what_it_describes() -> None:
    camera = open_camera("sim:tapered?mode=numbered&seed=7&parts=2&fixture=1", "c")
    assert isinstance(camera, SimulatedCamera)
    camera.open()
    frame = camera.read(1.0)
    assert frame.hw == camera.describe().frame_hw == (72, 224)
    assert camera.truth(frame.frame_id).parts[0].box_cxcywhr[:2] == (111.5, 35.5)
    assert camera.parts_seen_total == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("fixture=1", "not live"),
        ("fixture=1&mode=file", "not file"),
        ("mode=numbered&fixture=yes", "must be 0 or 1"),
    ],
)
def test_wrong_use_is_refused(options: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_camera(f"sim:tapered?{options}", "c")
