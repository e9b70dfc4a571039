"""The benchmark of growth: its pictures show what they say, its figures and its chart add up."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from support.needs import require

require("the extra train")

from benchmarks.growth import (
    BASE,
    CHART,
    RESULT,
    VALUES,
    Timed,
    clocks_of,
    judge,
    paired,
)
from benchmarks.growth_cases import (
    TILE_HW,
    case_of,
    demo_scene,
    enlarged,
    frame_of,
    laid_out,
)
from benchmarks.growth_chart import chart, limits, nice_top
from edge_app.errors import DataError

pytestmark = pytest.mark.needs("the extra train")


@pytest.mark.parametrize("count", [1, 3, 12])
def test_every_part_of_every_picture_is_judged(count: int, tmp_path: Path) -> None:
    """So many parts lie in each picture, and each is judged again in the next."""
    case = case_of("parts", count, tmp_path)
    line = case.new_line()
    for number, pixels in enumerate([*case.pictures, *case.pictures], 1):
        assert len(line.inspect(frame_of(pixels, number)).anomalies) == count


def test_parts_that_are_laid_out_have_the_known_size(tmp_path: Path) -> None:
    """Registration believes them at once; it would try all its starts on parts of another size."""
    case = case_of("parts", 1, tmp_path)
    aligner = case.model.pose.aligner
    assert aligner is not None
    for pixels in case.pictures:
        (found,) = case.model.finder.find(pixels)
        start = aligner.start_at(pixels, found.box_cxcywhr)
        assert aligner.registered(start, [(0.0, 0.0)]) is not None


def test_more_parts_than_fit_are_refused() -> None:
    """A fourteenth part has no room: no part is laid upon another."""
    belt = np.zeros((768, 1024, 3), np.uint8)
    tile = np.full((*TILE_HW, 3), 255, np.uint8)
    picture, middles = laid_out(belt, [tile] * 12)
    assert int((picture[..., 0] > 0).sum()) == 12 * TILE_HW[0] * TILE_HW[1]
    assert len(set(middles)) == 12
    with pytest.raises(DataError, match="no room"):
        laid_out(belt, [tile] * 14)


def test_a_finer_camera_sees_the_same_parts(tmp_path: Path) -> None:
    """With six times the pixels the one part is judged, and its score is about the same."""
    scores = []
    for megapixels in (0.79, 5.04):
        case = case_of("picture", megapixels, tmp_path)
        report = case.new_line().inspect(frame_of(case.pictures[0], 1))
        scores += [anomaly.score for anomaly in report.anomalies.values()]
    demo, fine = scores
    assert abs(demo - fine) < 1.5  # the limit is 5.8


def test_the_known_size_grows_with_the_pixels() -> None:
    """It is in picture pixels; all else of the model stays."""
    model = demo_scene().model
    fine = enlarged(model, 2.0)
    assert model.pose.aligner is not None
    assert fine.pose.aligner is not None
    assert fine.pose.aligner.size_px == tuple(2 * v for v in model.pose.aligner.size_px or ())
    assert fine.inspector is model.inspector


def test_a_small_crop_is_judged_by_what_was_made_for_it(tmp_path: Path) -> None:
    """Cue, template and inspector of 64 px crops judge the demo's part."""
    case = case_of("crop", 64, tmp_path)
    assert case.model.spec.crop_hw == (64, 64)
    report = case.new_line().inspect(frame_of(case.pictures[0], 1))
    (anomaly,) = report.anomalies.values()
    assert np.isfinite(anomaly.score)
    assert anomaly.map_hw.shape == (16, 16)


def test_a_case_that_loses_a_part_is_no_figure(tmp_path: Path) -> None:
    """Its time would be of less work."""
    case = replace(case_of("parts", 1, tmp_path), parts=2)
    with pytest.raises(DataError, match="1 parts were judged where there are 2"):
        judge(Timed(case, case.new_lines(), []))


def test_ratios_are_of_one_turn_each() -> None:
    """A turn in which the machine was twice as slow changes no ratio."""
    assert paired([3.0, 6.0, 3.0], [1.0, 2.0, 1.0]) == 3.0


def test_every_camera_has_a_line_and_a_picture_of_its_own(tmp_path: Path) -> None:
    """Two cameras show different pictures, and both are judged in each turn."""
    case = case_of("cameras", 2, tmp_path)
    assert case.of_camera(0, 0) is not case.of_camera(0, 1)
    assert case.of_camera(0, 1) is case.of_camera(1, 0)
    lines = case.new_lines()
    assert len({id(line.tracker) for line in lines}) == 2
    judge(Timed(case, lines, []))


def test_axes_end_at_round_figures() -> None:
    """The next round one above, and itself where it is one."""
    assert [nice_top(v) for v in (0.9, 12, 15, 16, 512, 100)] == [1, 15, 15, 20, 600, 100]


def test_limits_lie_in_the_panel_and_apart() -> None:
    """Up to 600 ms there is room for 2, 5 and 10 a second; 20 lies too near the axis."""
    assert limits(600, 178) == [(500, 2), (200, 5), (100, 10)]


def test_the_chart_in_the_documents_is_of_the_figures() -> None:
    """It is what --draw makes of the committed results; it has a panel for all four."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    drawn = CHART.read_text(encoding="utf-8")
    assert drawn == chart(found)
    assert drawn.count("<polyline") == 2 * len(VALUES)
    ElementTree.fromstring(drawn)
    for sweep, points in found.items():
        if sweep != "machine":
            assert [p["value"] for p in points] == list(VALUES[sweep])
            assert next(p for p in points if p["value"] == BASE[sweep])["ratio"] == 1.0


def test_the_command_line_tells_what_grows() -> None:
    """Its help names what is measured and what is not."""
    command = [sys.executable, "-m", "benchmarks.growth", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--draw" in said
    assert "Not measured" in said


def test_turns_add_up(tmp_path: Path) -> None:
    """The first turn is not counted; what is outside the graphs is less than all."""
    case = case_of("parts", 1, tmp_path)
    (clocks,) = clocks_of([case])
    one = Timed(case, case.new_lines(), clocks)
    for _ in range(3):
        judge(one)
    assert len(one.total_ms) == len(one.outside_ms) == 2
    assert all(0 < out < all_ms for out, all_ms in zip(one.outside_ms, one.total_ms, strict=True))


def test_cases_that_share_a_graph_share_its_clock(tmp_path: Path) -> None:
    """What one takes in a graph is not counted twice."""
    one, two = clocks_of([case_of("parts", count, tmp_path) for count in (1, 2)])
    assert one == two
