"""The golden set: what is in it is what a device must go on to find, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from calibration.thresholds.golden_check import rejudged
from edge_app.imaging.upright_crop import CropSpec, whole_frame_box
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import Look
from edge_app.records import Anomaly, U8Array
from export.calibrate import golden_set
from export.calibrate.golden_set import make_golden_set

pytestmark = pytest.mark.needs("the extra train")

LIMIT = 3.0
SIDE = 64


def picture(odd: bool) -> U8Array:
    """Return a good part of grey 128; an odd one has a bright hair, which scores above LIMIT."""
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    if odd:
        pixels[20:22, 10:50] = 160
    return pixels


def look(_model: LoadedModel, pixels: U8Array) -> list[Look]:
    """Score a picture by its farthest pixel: 0 for grey 128, 4 for a hair, more for a defect."""
    far = np.abs(pixels.astype(float) - 128).max()
    score = float(far) / 8
    anomaly = Anomaly(score, np.zeros((16, 16), np.float32))
    return [Look(whole_frame_box((SIDE, SIDE)), pixels, anomaly)]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setattr(golden_set, "look_at", look)
    limits = SimpleNamespace(score_threshold=LIMIT)
    spec = CropSpec(crop_hw=(SIDE, SIDE), margin=0.0)
    return cast("LoadedModel", SimpleNamespace(limits=limits, spec=spec))


def test_a_good_part_that_this_limit_alarms_is_no_golden_defect(model: LoadedModel) -> None:
    """A limit set later from more good parts lies above it, and would be refused for it."""
    readers = [lambda odd=index in (4, 8): picture(odd) for index in range(40)]
    golden = make_golden_set(model, readers, None, 0, lambda _share: None)
    pictures = [g.picture for g in golden]
    ng = [p.file for p in pictures if p.parts[0].verdict == "NG"]
    assert ng
    assert all(int(file[-7:-4]) % 2 for file in ng)
    assert {p.parts[0].verdict for p in pictures} == {"OK", "NG"}
    assert rejudged(pictures, 5.0).now_ok == ()
