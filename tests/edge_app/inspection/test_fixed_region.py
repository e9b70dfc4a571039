"""A product that fills a fixed region of the frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.format_2 import EXAMPLES
from support.small_bundles import bright_files, grey_picture

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.cameras.protocol import CameraInfo
from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.overlay import draw_report
from edge_app.imaging.upright_crop import FrameRegion, region_box, whole_frame_box
from edge_app.inspection.tracker import OnePartPerFrame
from edge_app.model.loaded_model import LoadedModel, load_model, make_tracker
from edge_app.model.looks import look_at
from edge_app.model.offline import offline_line, verdict_json
from edge_app.records import Frame, JsonObject, U8Array

HW = (64, 128)


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    """The brightness product in the middle half of the frame."""
    write_bundle(tmp_path / "a.bundle", EXAMPLES["fixed_region"](), bright_files())
    return load_model(read_bundle(tmp_path / "a.bundle"))


def spotted(y: int, x: int) -> U8Array:
    pixels = grey_picture(HW)
    pixels[y : y + 8, x : x + 8] = 250
    return pixels


def judged(model: LoadedModel, pixels: U8Array) -> JsonObject:
    return verdict_json(offline_line(model).inspect(Frame("offline", 1, pixels, 0)))


def test_the_whole_frame_is_a_region_too() -> None:
    """Both ways give the same box, to the half pixel."""
    assert region_box(FrameRegion(0, 0, 1, 1), HW) == whole_frame_box(HW)
    x0, y0 = corners_of(region_box(FrameRegion(0.25, 0.25, 0.5, 0.5), HW))[0]
    assert (x0, y0) == (32 - 0.5, 16 - 0.5)


def test_only_the_region_is_judged(model: LoadedModel) -> None:
    """A spot inside is a defect at its place in the frame; the same spot outside is nothing."""
    assert judged(model, spotted(4, 4))["verdict"] == "OK"
    assert judged(model, spotted(50, 110))["verdict"] == "OK"
    inside = judged(model, spotted(24, 40))
    assert inside["verdict"] == "NG"
    assert inside["product_corners_xy"] == [[31.5, 15.5], [95.5, 15.5], [95.5, 47.5], [31.5, 47.5]]
    (defect,) = inside["defects"]
    assert defect["box_xyxy"] == pytest.approx([40, 24, 48, 32], abs=3)


def test_the_part_is_whole_and_one_per_frame(model: LoadedModel) -> None:
    """Even where the region touches the border, and on a camera that counts nothing."""
    assert model.fills_frame
    (look,) = look_at(model, grey_picture(HW))
    assert look.box_cxcywhr == (63.5, 31.5, 64.0, 32.0, 0.0)
    info = CameraInfo("sim", "live", None, is_numbered=False, can_resume=False)
    assert isinstance(make_tracker(info, "p", model.fills_frame), OnePartPerFrame)


def test_the_overlay_outlines_the_region(model: LoadedModel) -> None:
    """People see which part of the picture is judged."""
    report = offline_line(model).inspect(Frame("offline", 1, spotted(24, 40), 0))
    changed = (draw_report(report) != report.frame.pixels_hwc).any(axis=2)
    assert changed[47, 31:96].all()
    assert not changed[55:, :20].any()
