"""Pose and crop in one go: the same pixels as cutting them afterwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.errors import EndOfStream
from edge_app.imaging.oriented_box import axis_difference_rad
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.inspection.alignment import small_crop
from edge_app.inspection.orientation import SURE, DirectionCue, turned
from edge_app.inspection.pose import PoseFinder
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import BoxCxcywhr, F32Array, U8Array

View = tuple[U8Array, BoxCxcywhr]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(
        read_bundle(Path(str(files("edge_app").joinpath("assets/demo-tapered.bundle")))), 1
    )


@pytest.fixture(scope="module")
def views(model: LoadedModel) -> list[View]:
    """Return detected boxes on twelve simulated frames, cut-off ones included."""
    camera = open_camera("sim:tapered?seed=5&parts=12&mode=file&defect_rate=0.3", "pose")
    camera.open()
    found: list[View] = []
    try:
        while True:
            pixels = camera.read(5.0).pixels_hwc
            found += [(pixels, d.box_cxcywhr) for d in model.finder.find(pixels)]
    except EndOfStream:
        camera.close()
    return found


def test_cut_gives_the_pose_and_the_crop_of_that_pose(
    model: LoadedModel, views: list[View]
) -> None:
    """Over detected boxes, the right way round and not, box and crop are the same bit for bit."""
    assert len(views) >= 12
    for pixels, box in views:
        pose, crop = model.pose.cut(pixels, box, model.spec)
        assert pose == model.pose.find(pixels, box)
        assert np.array_equal(crop, upright_crop(pixels, pose, model.spec))


@pytest.mark.parametrize("without", ["cue", "aligner", "both"])
def test_cut_needs_neither_cue_nor_aligner(
    model: LoadedModel, views: list[View], without: str
) -> None:
    """Whatever a bundle lacks, the crop is that of the box returned."""
    cue = None if without in ("cue", "both") else model.pose.cue
    aligner = None if without in ("aligner", "both") else model.pose.aligner
    pixels, box = views[0]
    pose, crop = PoseFinder(cue, aligner).cut(pixels, box, model.spec)
    assert np.array_equal(crop, upright_crop(pixels, pose, model.spec))
    if without == "both":
        assert pose == box


def test_a_glance_tells_the_direction(model: LoadedModel, views: list[View]) -> None:
    """The small crop that registration starts from is enough to tell a detected part's two ends
    apart, as the full one does; where it is not, the glance says that it is not sure.
    """
    cue = model.pose.cue
    assert cue is not None
    sure = 0
    for pixels, box in views:
        turn, margin = cue.glance([small_crop(pixels, box, model.spec)])
        sure += margin >= SURE
        assert margin < SURE or turned(box, cue.kind, turn) == cue.directed(pixels, box)
    assert sure >= 0.9 * len(views)


def test_a_part_lying_the_other_way_round_comes_out_the_same(
    model: LoadedModel, views: list[View]
) -> None:
    """A box half a turn off starts from the same pixels, backwards, and ends in the same pose."""
    for pixels, box in views:
        x, y, w, h, angle = model.pose.find(pixels, box)
        turned_box = turned(box, "two_way", 1)
        again = model.pose.find(pixels, turned_box)
        assert math.hypot(again[0] - x, again[1] - y) < 0.02
        assert again[2:4] == pytest.approx((w, h), rel=1e-4)
        assert axis_difference_rad(again[4], angle, 2 * math.pi) < 2e-4


def test_doubt_is_settled_by_the_full_crop(model: LoadedModel, views: list[View]) -> None:
    """A cue that is never sure at a glance gives the same poses and crops: it looks again."""
    cue = model.pose.cue
    assert cue is not None
    doubtful = PoseFinder(Doubtful(cue.kind, cue.templates, cue.spec), model.pose.aligner)
    for pixels, box in views:
        pose, crop = doubtful.cut(pixels, box, model.spec)
        assert pose == model.pose.find(pixels, box)
        assert np.array_equal(crop, upright_crop(pixels, pose, model.spec))


class Doubtful(DirectionCue):
    """Sees what any cue sees, and trusts no glance."""

    def glance(self, crops: Sequence[F32Array]) -> tuple[int, float]:
        return super().glance(crops)[0], 0.0


def test_a_crop_of_another_spec_is_cut_anew(model: LoadedModel, views: list[View]) -> None:
    """The cue's own crop is not taken where other margins are asked for."""
    wider = CropSpec(model.spec.crop_hw, model.spec.margin + 0.2)
    pixels, box = views[0]
    pose, crop = model.pose.cut(pixels, box, wider)
    assert np.array_equal(crop, upright_crop(pixels, pose, wider))
