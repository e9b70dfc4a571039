"""Maps come to the pictures that are kept: the deciding view's, of bad and of suspect parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.history_parts import alarm, verdict

from edge_app.records import (
    Anomaly,
    F32Array,
    Frame,
    FrameReport,
    KeptPart,
    PartVerdict,
    PointXy,
    UprightCrop,
)
from edge_app.runtime.kept_maps import MAX_REMEMBERED, MapKeeper

CORNERS: tuple[PointXy, ...] = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
ELSEWHERE = tuple((x + 5.0, y) for x, y in CORNERS)


def crop(corners: tuple[PointXy, ...] = CORNERS) -> UprightCrop:
    return UprightCrop(np.zeros((4, 4, 3), np.uint8), corners)


def a_map(value: float) -> F32Array:
    return np.full((2, 2), value, np.float32)


def report(
    number: int, part: PartVerdict, value: float, *, kept: tuple[KeptPart, ...] = (),
    has_left: bool = False, has_alarm: bool = False, corners: tuple[PointXy, ...] = CORNERS,
) -> FrameReport:  # fmt: skip
    """Return the report of frame `number`, in which the part was judged with such a map."""
    frame = Frame("c", number, np.zeros((48, 64, 3), np.uint8), 0)
    event = replace(alarm(part), frame=frame, crop=crop(), reasons=("ng",))
    return FrameReport(
        frame, (), {part.part_id: Anomaly(1.0, a_map(value))}, {part.part_id: corners},
        {part.part_id: part}, (part,) if has_left else (), (event,) if has_alarm else (), kept=kept,
    )  # fmt: skip


def suspect(number: int) -> PartVerdict:
    return replace(verdict(number, score=1.9), is_suspect=True)


def keeping(part: PartVerdict, corners: tuple[PointXy, ...] = CORNERS) -> KeptPart:
    frame = Frame("c", part.frame_id, np.zeros((48, 64, 3), np.uint8), 0)
    return KeptPart(part, frame, ("suspect",), crop(corners))


def map_of(found: FrameReport) -> F32Array | None:
    cut = found.events[0].crop if found.events else found.kept[0].crop
    assert cut is not None
    return cut.map_hw


def test_a_bad_part_gets_the_map_of_the_frame_in_hand() -> None:
    part = verdict(3, "NG", 3.0)
    found = map_of(MapKeeper().completed(report(3, part, 0.5, has_alarm=True)))
    assert found is not None
    assert np.array_equal(found, a_map(0.5))


def test_another_views_map_is_not_put_over_a_crop() -> None:
    """The crop lies elsewhere in the frame: it is of another view."""
    part = verdict(3, "NG", 3.0)
    made = report(3, part, 0.5, has_alarm=True, corners=ELSEWHERE)
    assert map_of(MapKeeper().completed(made)) is None


def test_a_suspect_part_gets_the_map_of_its_deciding_view() -> None:
    """Three views on a belt, the second decided; it leaves with the fourth frame."""
    keeper, part = MapKeeper(), suspect(2)
    keeper.completed(report(1, replace(part, frame_id=1), 0.1))
    keeper.completed(report(2, part, 0.2))
    keeper.completed(report(3, part, 0.3))
    frame = Frame("c", 4, np.zeros((48, 64, 3), np.uint8), 0)
    left = FrameReport(frame, (), {}, {}, {part.part_id: part}, (part,), (), kept=(keeping(part),))
    found = map_of(keeper.completed(left))
    assert found is not None
    assert np.array_equal(found, a_map(0.2))
    assert map_of(keeper.completed(left)) is None, "it has left: its map is forgotten"


def test_others_have_none() -> None:
    """A near miss or a random good part: frame and crop are enough."""
    part = verdict(2)
    made = report(2, part, 0.2, kept=(keeping(part),), has_left=True)
    assert map_of(MapKeeper().completed(made)) is None


def test_a_flood_of_parts_that_never_leave_is_bounded() -> None:
    keeper = MapKeeper()
    for number in range(MAX_REMEMBERED + 50):
        keeper.completed(report(number, verdict(number), 0.1))
    assert len(keeper._seen) == MAX_REMEMBERED
