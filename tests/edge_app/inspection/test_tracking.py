"""The same object keeps one id for as long as it is in the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_app.inspection.tracker import BeltTracker, OnePartPerFrame, Sighting
from edge_app.records import Detection, Frame

HW = (400, 1000)


def frame(at_s: float, number: int | None = None) -> Frame:
    return Frame("cam", 0, np.zeros((*HW, 3), np.uint8), int(at_s * 1e9), source_number=number)


def part(x: float, y: float = 200.0, w: float = 120.0) -> Detection:
    return Detection((x, y, w, 60.0, 0.0), 0.9)


def ids(sighting: Sighting) -> list[str]:
    return [v.part_id for v in sighting.views]


def run_belt(
    tracker: BeltTracker, frames: list[list[float]], step_s: float = 0.2
) -> list[Sighting]:
    """Show parts at the given x positions, frame after frame."""
    return [tracker.follow(frame(i * step_s), [part(x) for x in xs]) for i, xs in enumerate(frames)]


def test_one_part_crosses_the_picture() -> None:
    """A part seen four times is one part with views 0 to 3, and leaves once."""
    seen = run_belt(BeltTracker("c"), [[100], [300], [500], [700], []])
    assert {i for s in seen[:4] for i in ids(s)} == {"c-000001"}
    assert [s.views[0].view for s in seen[:4]] == [0, 1, 2, 3]
    departed = [i for s in seen for i in s.departed]
    assert departed == [] or departed == ["c-000001"]


def test_a_part_that_has_left_is_said_to_have_left() -> None:
    """Once its predicted place is outside, a part departs at once."""
    seen = run_belt(BeltTracker("c"), [[300], [600], [900], []])
    assert seen[3].departed == ("c-000001",)


def test_parts_in_a_row_are_not_mixed_up() -> None:
    """Parts 300 px apart on a belt that moves 200 px a frame keep their ids."""
    tracker = BeltTracker("c", (1000.0, 0.0))
    seen = run_belt(tracker, [[400, 100], [600, 300], [800, 500, 200]])
    assert ids(seen[0]) == ["c-000001", "c-000002"]
    assert ids(seen[1]) == ["c-000001", "c-000002"]
    assert ids(seen[2]) == ["c-000001", "c-000002", "c-000003"]


def test_the_speed_is_learnt() -> None:
    """Without a hint the speed is known after the first match."""
    tracker = BeltTracker("c")
    run_belt(tracker, [[200], [350]])
    speed = tracker.speed_px_per_s
    assert speed is not None
    assert speed[0] == pytest.approx(750)
    assert speed[1] == pytest.approx(0)


def test_skipped_frames_do_not_matter() -> None:
    """The speed is per second: after a pause of three frames the part is still the same."""
    tracker = BeltTracker("c", (500.0, 0.0))
    tracker.follow(frame(0.0), [part(100)])
    tracker.follow(frame(0.2), [part(200)])
    assert ids(tracker.follow(frame(1.0), [part(600)])) == ["c-000001"]


def test_a_missed_detection_does_not_make_a_new_part() -> None:
    """A part the detector overlooks once goes on with its old id."""
    tracker = BeltTracker("c", (500.0, 0.0))
    seen = run_belt(tracker, [[100], [200], [], [400]])
    assert seen[2].departed == ()
    assert ids(seen[3]) == ["c-000001"]


def test_a_belt_that_stands_still() -> None:
    """A stopped belt shows one part, however long it stands."""
    seen = run_belt(BeltTracker("c"), [[500]] * 20)
    assert {i for s in seen for i in ids(s)} == {"c-000001"}


def test_a_box_at_the_border_is_not_whole() -> None:
    """What touches the border may be cut off, so the view is not judged."""
    seen = run_belt(BeltTracker("c"), [[50], [250]])
    assert not seen[0].views[0].is_whole
    assert seen[1].views[0].is_whole
    assert ids(seen[0]) == ids(seen[1])


def test_the_end_of_the_source_closes_every_part() -> None:
    """At the end all parts still in the picture have left, once."""
    tracker = BeltTracker("c")
    run_belt(tracker, [[300, 700]])
    assert sorted(tracker.finish()) == ["c-000001", "c-000002"]
    assert tracker.finish() == ()


def test_a_numbered_frame_is_one_part() -> None:
    """On a triggered camera the frame's number makes the id, and the part is over at once."""
    tracker = OnePartPerFrame("t", whole_frame=False)
    sighting = tracker.follow(frame(0, number=7), [part(300), part(700)])
    assert ids(sighting) == ["t-000007", "t-000007"]
    assert sighting.departed == ("t-000007",)


def test_an_empty_numbered_frame_still_is_a_part() -> None:
    """A trigger without a product in the picture is not forgotten."""
    sighting = OnePartPerFrame("t", whole_frame=False).follow(frame(0, number=3), [])
    assert sighting.views == ()
    assert sighting.departed == ("t-000003",)


def test_a_product_that_fills_the_frame_has_no_border_to_fear() -> None:
    """Whole-frame products are judged although they touch every border."""
    tracker = OnePartPerFrame("t", whole_frame=True)
    detection = Detection((499.5, 199.5, 1000.0, 400.0, 0.0), 1.0)
    assert tracker.follow(frame(0, number=1), [detection]).views[0].is_whole


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
def test_a_belt_that_changes_its_pace_splits_no_part(factor: float) -> None:
    """A belt that stops, slows down or speeds up keeps every part's id."""
    tracker = BeltTracker("c")
    ids_seen = set()
    x = 80.0
    for i in range(8):
        sighting = tracker.follow(frame(i * 0.2), [part(x)])
        ids_seen |= set(ids(sighting))
        x += 80 if i < 3 else 80 * factor
    assert ids_seen == {"c-000001"}


@pytest.mark.parametrize(
    ("length", "spacing", "step"), [(100, 200, 150), (200, 480, 300), (200, 930, 900)]
)
def test_evenly_spaced_parts_in_line_need_the_hint(length: int, spacing: int, step: int) -> None:
    """Where backwards fits as well as forwards, the hint decides and every part has one id."""
    tracker = BeltTracker("c", (step / 0.2, 0.0))
    seen: dict[int, set[str]] = {}
    for i in range(40):
        there = [(n, step * i - spacing * n) for n in range(60)]
        there = [(n, x) for n, x in there if length / 2 + 6 < x < 994 - length / 2]
        sighting = tracker.follow(frame(i * 0.2), [part(x, w=length) for _, x in there])
        for (n, _), view in zip(there, sighting.views, strict=True):
            seen.setdefault(n, set()).add(view.part_id)
    assert all(len(found) == 1 for found in seen.values())
    assert len(set.union(*seen.values())) == len(seen)


def test_the_part_cut_off_at_the_exit_is_still_the_same() -> None:
    """At the exit a box shrinks and its centre lags: no new part comes of it."""
    tracker = BeltTracker("c", (1000.0, 0.0))
    tracker.follow(frame(0.0), [part(700, w=200)])
    tracker.follow(frame(0.2), [part(900, w=198)])
    sliver = Detection((990.0, 200.0, 20.0, 60.0, 0.0), 0.6)
    assert ids(tracker.follow(frame(0.4), [sliver])) == ["c-000001"]


def test_a_belt_whose_step_is_half_the_pitch_is_not_misread() -> None:
    """With parts 480 px apart and 240 px a frame, +240 and −240 fit equally well along the belt.

    Parts lie at different heights, and one detection is missing: still every part keeps one id.
    """
    rng = np.random.default_rng(1)
    heights = rng.uniform(100, 300, 12)
    places = 480 * np.arange(12) + rng.uniform(-36, 36, 12)
    tracker = BeltTracker("c")
    seen: dict[int, set[str]] = {}
    for i in range(24):
        there = [(n, 240 * i - p) for n, p in enumerate(places) if 70 < 240 * i - p < 930]
        there = [(n, x) for n, x in there if (i, n) != (5, 1)]
        boxes = [part(x, heights[n]) for n, x in there]
        sighting = tracker.follow(frame(i * 0.2), boxes)
        for (n, _), view in zip(there, sighting.views, strict=True):
            seen.setdefault(n, set()).add(view.part_id)
    assert all(len(found) == 1 for found in seen.values())
    assert len(set.union(*seen.values())) == len(seen)


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_set_by_an_hour_changes_no_part_and_no_speed(jump_s: int) -> None:
    """In the middle of a part's way the wall clock jumps: the part and the speed stay the same."""
    tracker, seen = BeltTracker("c"), []
    for number, x in enumerate([100, 200, 300, 400, 500, 600]):
        wall_s = 10_000 + 0.2 * number + (jump_s if number >= 3 else 0)
        stamped = replace(frame(wall_s), monotonic_ns=round(0.2 * number * 1e9))
        seen.append(tracker.follow(stamped, [part(x)]))
    assert {i for s in seen for i in ids(s)} == {"c-000001"}
    assert tracker.speed_px_per_s == pytest.approx((500, 0))
