"""Drawing: on copies, on any frame size, and with an absolute colour scale for the map."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edge_app.errors import ShapeError
from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.overlay import (
    STATE_BGR,
    SUSPECT,
    as_bgr,
    blend_map,
    contact_sheet,
    draw_report,
    share_of_limit,
)
from edge_app.records import (
    Anomaly,
    BoxCxcywhr,
    Defect,
    Detection,
    F32Array,
    Frame,
    FrameReport,
    PartVerdict,
    PartView,
    PointXy,
    U8Array,
    VerdictState,
)

BOX: BoxCxcywhr = (150.0, 100.0, 120.0, 60.0, 0.2)
WHOLE = ((-0.5, -0.5), (299.5, -0.5), (299.5, 199.5), (-0.5, 199.5))
"""The outline of a 300 × 200 frame, clockwise from its top left."""


def grey(hw: tuple[int, int] = (200, 300), value: int = 100) -> U8Array:
    return np.full((*hw, 3), value, np.uint8)


def verdict(state: VerdictState, box: BoxCxcywhr = BOX, views_judged: int = 1) -> PartVerdict:
    return PartVerdict(
        camera="cam1",
        part_id="cam1-1-000007",
        state=state,
        reason="" if views_judged else "never_whole",
        score=3.5 if views_judged else None,
        threshold=2.0,
        threshold_id="calibrated-1",
        frame_id=1,
        frame_hw=(200, 300),
        captured_at_ns=0,
        model=None,
        product_corners_xy=corners_of(box),
        views_judged=views_judged,
    )


def report(
    judged: PartVerdict | None, box: BoxCxcywhr = BOX, pixels_hwc: U8Array | None = None
) -> FrameReport:
    frame = Frame("cam1", 1, grey() if pixels_hwc is None else pixels_hwc, 0)
    view = PartView("cam1-1-000007", 0, Detection(box, 0.9), True)
    verdicts = {} if judged is None else {judged.part_id: judged}
    return FrameReport(frame, (view,), {}, {}, verdicts, (), ())


def has_colour(picture: U8Array, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


@pytest.mark.parametrize("state", list(VerdictState))
def test_each_verdict_is_drawn_in_its_own_colour_on_a_copy(state: VerdictState) -> None:
    """OK, NG and NOT_INSPECTED are told apart, and the frame itself is untouched."""
    shown = report(verdict(state))
    picture = draw_report(shown)
    assert picture.shape == (200, 300, 3)
    others = [STATE_BGR[s] for s in VerdictState if s is not state]
    assert has_colour(picture, STATE_BGR[state])
    assert not any(has_colour(picture, other) for other in others)
    assert (shown.frame.pixels_hwc == 100).all()


def test_verdicts_differ_without_colour_too() -> None:
    """NG's outline is thicker than OK's, NOT_INSPECTED's has gaps: seen on the lower edge."""
    drawn = {state: draw_report(report(verdict(state))) for state in VerdictState}
    lower = {state: int((p[125:] != 100).any(axis=2).sum()) for state, p in drawn.items()}
    assert lower[VerdictState.NG] > 1.15 * lower[VerdictState.OK]
    assert lower[VerdictState.NOT_INSPECTED] < 0.85 * lower[VerdictState.OK]


def test_a_suspect_part_differs_in_colour_and_line() -> None:
    """Its own yellow, none of the verdicts' colours; thick, with gaps."""
    good = verdict(VerdictState.OK)
    suspect = draw_report(report(replace(good, is_suspect=True)))
    assert has_colour(suspect, SUSPECT)
    assert not any(has_colour(suspect, colour) for colour in STATE_BGR.values())
    drawn = (suspect[125:] != 100).any(axis=2).sum()
    lower = {s: (draw_report(report(verdict(s)))[125:] != 100).any(axis=2).sum()
             for s in VerdictState}  # fmt: skip
    assert 1.15 * lower[VerdictState.NOT_INSPECTED] < drawn < 0.9 * lower[VerdictState.NG]


def test_a_part_that_is_only_entering_has_no_verdict_colour() -> None:
    """A part not yet whole in the picture is outlined in grey, not called NOT INSPECTED."""
    entering = verdict(VerdictState.NOT_INSPECTED, views_judged=0)
    for shown in (report(None), report(entering)):
        picture = draw_report(shown)
        assert not any(has_colour(picture, colour) for colour in STATE_BGR.values())
        assert (picture != 100).any()


def test_a_part_that_left_uninspected_is_drawn_as_such() -> None:
    """Once it has finished, the same part is amber."""
    missed = verdict(VerdictState.NOT_INSPECTED, views_judged=0)
    picture = draw_report(replace(report(missed), finished=(missed,)))
    assert has_colour(picture, STATE_BGR[VerdictState.NOT_INSPECTED])


@pytest.mark.parametrize("hw", [(1, 1), (1, 400), (3, 2), (40, 700), (2000, 31)])
@pytest.mark.parametrize("state", list(VerdictState))
def test_any_frame_size_can_be_drawn(hw: tuple[int, int], state: VerdictState) -> None:
    """One pixel, one row, very wide and very tall frames keep their size."""
    part = replace(verdict(state), defects=(square_defect(0, 0, 4),))
    picture = draw_report(report(part, pixels_hwc=grey(hw)), map_threshold=1.0)
    assert picture.shape == (*hw, 3)


def test_boxes_far_outside_the_frame_are_no_error() -> None:
    """A wild detection at 1e9 pixels is clipped, not raised."""
    far: BoxCxcywhr = (1e9, -1e9, 5e8, 1e8, 0.3)
    draw_report(report(verdict(VerdictState.NG, far), far))


def square_defect(x: float, y: float, side: float) -> Defect:
    corners = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    return Defect(corners, (x, y, x + side, y + side), 3.0)


@pytest.mark.parametrize("flip_rad", [0.0, math.pi])
def test_a_defect_travels_with_its_part(flip_rad: float) -> None:
    """Found 60 px further left two frames ago, the defect is drawn where the part is now.

    The box may be named from its other end in the newer frame; the defect does not jump.
    """
    before: BoxCxcywhr = (90.0, 100.0, 100.0, 60.0, 0.0)
    now: BoxCxcywhr = (150.0, 110.0, 100.0, 60.0, flip_rad)
    part = replace(verdict(VerdictState.NG, before), defects=(square_defect(110, 95, 10),))
    white = np.argwhere((draw_report(report(part, now)) > 230).all(axis=2))  # (n, 2): y, x
    middle_y, middle_x = (white.min(axis=0) + white.max(axis=0)) / 2
    assert middle_x == pytest.approx(175, abs=2)
    assert middle_y == pytest.approx(110, abs=2)


def test_the_map_colours_are_absolute() -> None:
    """The same value has the same colour beside a huge maximum and alone."""
    calm, wild = np.full((20, 30), 1.0, np.float32), np.full((20, 30), 1.0, np.float32)
    wild[0, 29] = 50.0
    one, other = (blend_map(grey(), m, WHOLE, 1.0) for m in (calm, wild))
    assert (one[150, 50] == other[150, 50]).all()
    assert (one[150, 50] != 100).any()


def test_low_map_values_leave_the_frame_as_it_is() -> None:
    """Below half the threshold nothing is tinted."""
    picture = blend_map(grey(), np.full((20, 30), 0.49, np.float32), WHOLE, 1.0)
    assert (picture == 100).all()


def test_the_map_lies_where_the_crop_was_cut() -> None:
    """A hot spot at the crop's right end, crop turned by 90°, shows at the part's lower end."""
    hot: F32Array = np.zeros((10, 40), np.float32)
    hot[:, 34:] = 4.0
    turned = corners_of((150.0, 100.0, 120.0, 30.0, math.pi / 2))
    touched = np.argwhere((blend_map(grey(), hot, turned, 1.0) != 100).any(axis=2))
    y_middle, x_middle = touched.mean(axis=0)
    assert y_middle > 140
    assert x_middle == pytest.approx(150, abs=1.5)
    assert touched[:, 0].max() <= 161
    assert 134 <= touched[:, 1].min() <= touched[:, 1].max() <= 166


@pytest.mark.parametrize(
    ("map_hw", "corners_xy", "threshold"),
    [
        (np.full((5, 5), np.nan, np.float32), WHOLE, 1.0),
        (np.full((5, 5), np.inf, np.float32), WHOLE, 1.0),
        (np.zeros((0, 0), np.float32), WHOLE, 1.0),
        (np.full((5, 5), 9.0, np.float32), (), 1.0),
        (np.full((5, 5), 9.0, np.float32), tuple((x + 900, y) for x, y in WHOLE), 1.0),
        (np.full((5, 5), 9.0, np.float32), tuple((x, y - 900) for x, y in WHOLE), 1.0),
        (np.full((5, 5), 9.0, np.float32), ((5.0, 5.0),) * 4, 1.0),
        (np.full((5, 5), 9.0, np.float32), ((math.nan, 0.0), *WHOLE[1:]), 1.0),
        (np.full((5, 5), 9.0, np.float32), WHOLE, 0.0),
        (np.full((5, 5), 9.0, np.float32), WHOLE, math.nan),
    ],
    ids=["nan", "inf", "empty", "no-corners", "right-of-frame", "above-frame", "no-area",
         "nan-corner", "threshold-0", "threshold-nan"],
)  # fmt: skip
def test_a_map_that_means_nothing_is_not_drawn(
    map_hw: F32Array, corners_xy: tuple[PointXy, ...], threshold: float
) -> None:
    """NaN, nothing, nowhere: the frame comes back unchanged."""
    assert (blend_map(grey(), map_hw, corners_xy, threshold) == 100).all()


def test_a_map_half_outside_is_drawn_as_far_as_it_reaches() -> None:
    """Only the part of the crop inside the frame is tinted."""
    corners = tuple((x - 150, y) for x, y in WHOLE)
    picture = blend_map(grey(), np.full((1, 1), 9.0, np.float32), corners, 1.0)
    assert (picture[:, :149] != 100).any(axis=2).all()
    assert (picture[:, 152:] == 100).all()


def test_the_report_shows_maps_only_when_asked() -> None:
    """With a threshold the map is blended in, without one it is not."""
    part = verdict(VerdictState.OK)
    hot = Anomaly(3.5, np.full((8, 16), 9.0, np.float32))
    shown = replace(
        report(part), anomalies={part.part_id: hot}, crop_corners_xy={part.part_id: corners_of(BOX)}
    )
    assert (draw_report(shown)[100, 150] == 100).all()
    assert (draw_report(shown, map_threshold=1.0)[100, 150] != 100).any()


def test_grey_pictures_become_colour_and_wrong_ones_are_refused() -> None:
    """(h, w) and (h, w, 1) are accepted; floats, four channels and nothing are named errors."""
    assert as_bgr(np.full((4, 6), 7, np.uint8)).tolist() == grey((4, 6), 7).tolist()
    assert as_bgr(np.full((4, 6, 1), 7, np.uint8)).shape == (4, 6, 3)
    for wrong in (np.zeros((4, 6, 4), np.uint8), np.zeros((0, 6, 3), np.uint8)):
        with pytest.raises(ShapeError, match="a picture must be"):
            as_bgr(wrong)
    with pytest.raises(ShapeError, match="uint8, got float32"):
        as_bgr(np.zeros((4, 6, 3), np.float32))


def test_a_contact_sheet_fits_tiles_of_any_size_unsqueezed() -> None:
    """Three tiles in two columns: two rows of cells as large as the largest tile."""
    sheet = contact_sheet(
        [grey((40, 60), 255), grey((20, 60), 255), grey((1, 1), 255)], 2, gap_px=4
    )
    assert sheet.shape == (2 * 44 + 4, 2 * 64 + 4, 3)
    assert (sheet[4:44, 4:64] == 255).all()
    second = sheet[4:44, 68:128]
    assert (second[10:30] == 255).all()
    assert (second[:9] != 255).all()


def test_an_empty_sheet_is_refused() -> None:
    """No tiles or no columns is a caller's mistake."""
    for tiles, columns in (([], 2), ([grey()], 0)):
        with pytest.raises(ShapeError, match="columns >= 1"):
            contact_sheet(tiles, columns)


def test_a_label_tells_the_score_as_a_share_of_the_limit() -> None:
    """As the page does: a raw score means nothing to the person who sees it; NaN has none."""
    assert share_of_limit(3.5, 2.0) == 175
    assert share_of_limit(-1.0, 2.0) == 0
    assert share_of_limit(3.5, 0.0) is None
    assert share_of_limit(None, 2.0) is None
    twice = replace(verdict(VerdictState.NG), score=7.0, threshold=4.0)
    same, other = report(verdict(VerdictState.NG)), report(replace(twice, threshold=2.0))
    assert (draw_report(report(twice)) == draw_report(same)).all()
    assert (draw_report(other) != draw_report(same)).any()
