"""Every method before blank, noisy, blurred, inverted and foreign pictures: never OK."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.method_bundles import SHIPPED, LineBundles
from support.odd_scenes import odd_scenes

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.archive import read_bundle
from edge_app.inspection.inspector import Inspector
from edge_app.inspection.judge import Limits
from edge_app.inspection.plausibility import plausibility_of
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import WholeFrame
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.model.offline import offline_line
from edge_app.records import Frame, U8Array
from export.methods.names import NAMES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KNOWN = 8


@pytest.fixture(scope="module")
def bundles() -> LineBundles:
    return LineBundles()


def whole_frame_model(bundles: LineBundles, method: str, folder: Path) -> LoadedModel:
    """Return a method's model of a product that fills the frame: its frames are the crops."""
    graph = bundles._trained(method, folder / "work")
    model = load_model(read_bundle(SHIPPED), threads=1)
    inspector = Inspector(OnnxRunner(graph, threads=1), model.spec.crop_hw)
    scores = [a.score for a in inspector.score(bundles.crops)]
    margin = max(max(scores) - min(scores), 0.2 * abs(max(scores)), 1e-6)
    return replace(
        model,
        finder=WholeFrame(),
        inspector=inspector,
        pose=PoseFinder(),
        spec=replace(model.spec, margin=0.0, stretch=True),
        limits=Limits(max(scores) + margin, 1e9, "above all good parts"),
        outline=None,
        station=None,
        plausibility=plausibility_of(bundles.crops[:KNOWN]),
    )


def verdict_of(model: LoadedModel, pixels: U8Array) -> tuple[str, str]:
    report = offline_line(model).inspect(Frame("cam1", 1, pixels, 0, source_number=1))
    return report.finished[0].state.value, report.finished[0].reason


@pytest.mark.parametrize("method", sorted(NAMES))
def test_no_odd_scene_is_ok(method: str, bundles: LineBundles, tmp_path: Path) -> None:
    """Good crops that nothing was learnt from are OK as before; none of the odd ones is."""
    model = whole_frame_model(bundles, method, tmp_path)
    without = replace(model, plausibility=None)
    for crop in bundles.crops[KNOWN:]:
        assert verdict_of(model, crop) == verdict_of(without, crop)
    shown = list(odd_scenes(bundles.crops[-1]))
    foreign = np.random.default_rng(3).integers(0, 2, (8, 28, 3), dtype=np.uint8) * 200
    shown.append(("tiles", np.kron(foreign, np.ones((16, 16, 1), np.uint8))))
    assert [name for name, pixels in shown if verdict_of(model, pixels)[0] == "OK"] == []
