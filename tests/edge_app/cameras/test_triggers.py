"""Triggers in = parts out: the book of triggers, and fired cameras that lose, hang and crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from support.brokers import patient_s

from edge_app.cameras.device_clock import DeviceClock
from edge_app.cameras.grabber import Grabber, GrabberLimits, Unjudged
from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.isolation.frame_ids import GVSP_16_BIT_LAST, FrameIdGaps
from edge_app.cameras.isolation.triggers import TriggerBook
from edge_app.errors import CameraUnavailable, FrameCorrupt
from edge_app.records import Frame

MakeCamera = Callable[..., IsolatedCamera]


@pytest.fixture
def camera_of() -> Iterator[MakeCamera]:
    """Return a function that makes a triggered camera with an odd driver; closed at the end."""
    made: list[IsolatedCamera] = []

    def make(trigger: Any, odd: str, interval_s: float = 0.0, **settings: Any) -> IsolatedCamera:
        settings = {"odd": odd, **settings}
        module = "tests.edge_app.cameras.odd_drivers"
        driver = IsolatedDriver("odd:", module, settings, trigger, interval_s)
        made.append(IsolatedCamera(driver, "cam1", silence_s=2.0))
        return made[-1]

    yield make
    for camera in made:
        camera.close()


def outcomes(camera: IsolatedCamera, count: int) -> list[tuple[int | None, bool]]:
    """Read `count` triggers; return each number and whether it has a picture."""
    seen: list[tuple[int | None, bool]] = []
    while len(seen) < count:
        try:
            seen.append((camera.read(5.0).source_number, True))
        except FrameCorrupt as error:
            seen.append((error.source_number, False))
    return seen


def test_fired_frames_carry_their_trigger(camera_of: MakeCamera) -> None:
    """A frame carries the id it was asked under, and a number that grows by one."""
    camera = camera_of("fired", "Fired")
    camera.open()
    camera.fire("plc-77")
    frame = camera.read(5.0)
    assert (frame.trigger_id, frame.source_number) == ("plc-77", 1)
    camera.fire()
    assert camera.read(5.0).trigger_id == "cam1-2"
    assert camera.describe().mode == "triggered"
    assert camera.describe().is_numbered


def test_every_trigger_comes_out_once_when_frames_fail(camera_of: MakeCamera) -> None:
    """Of nine triggers every third frame fails on its way: nine parts come out, in order."""
    camera = camera_of("fired", "Fired", lose_every=3)
    camera.open()
    seen = []
    for _ in range(9):
        camera.fire()
        seen += outcomes(camera, 1)
    assert seen == [(n, n % 3 != 0) for n in range(1, 10)]


def test_trigger_while_the_camera_is_busy_is_not_photographed_late(camera_of: MakeCamera) -> None:
    """Of five triggers at once the first gets a picture, the others are told as lost, in order."""
    camera = camera_of("fired", "Fired", period_s=0.2)
    camera.open()
    for _ in range(5):
        camera.fire()
    assert outcomes(camera, 5) == [(1, True), (2, False), (3, False), (4, False), (5, False)]
    camera.fire("next")
    assert camera.read(5.0).trigger_id == "next"


def test_trigger_in_flight_survives_a_hung_driver(camera_of: MakeCamera) -> None:
    """The trigger a driver hangs on is told as lost, then the loss of the camera."""
    camera = camera_of("fired", "Fired", hang_at=2)
    camera.open()
    camera.fire()
    assert outcomes(camera, 1) == [(1, True)]
    camera.fire()
    with pytest.raises(FrameCorrupt, match=r"no picture for trigger cam1-2: .* has not returned"):
        camera.read(5.0)
    with pytest.raises(CameraUnavailable, match="has not returned"):
        camera.read(5.0)
    camera.fire()  # comes while the camera is away
    camera.open(resume_after=2)
    assert outcomes(camera, 1) == [(3, False)]
    camera.fire()
    assert outcomes(camera, 1) == [(4, True)]


def test_numbers_go_on_behind_the_last_run(camera_of: MakeCamera) -> None:
    """After a restart the numbers continue; they never begin again at one."""
    camera = camera_of("fired", "Fired")
    camera.open(resume_after=41)
    assert camera.fire() == 42


def test_interval_fires_by_the_clock(camera_of: MakeCamera) -> None:
    """With an interval of 0.1 s a second holds ten parts, each once."""
    camera = camera_of("fired", "Fired", interval_s=0.1)
    camera.open()
    started_s = time.monotonic()
    assert outcomes(camera, 8) == [(n, True) for n in range(1, 9)]
    assert 0.6 < time.monotonic() - started_s < patient_s(3.0)


def test_lost_pulses_of_a_line_take_their_numbers(camera_of: MakeCamera) -> None:
    """On a hardware input every frame missing in the camera's count is a part of its own."""
    camera = camera_of("line", "Gaps")
    camera.open()
    seen = outcomes(camera, 8)
    assert [number for number, _ in seen] == list(range(1, 9))
    assert [is_seen for _, is_seen in seen] == [True, True, False, False] * 2


def test_fire_is_safe_from_another_thread(camera_of: MakeCamera) -> None:
    """Behind the grabber, forty triggers from two threads give forty parts."""
    camera = camera_of("fired", "Fired", lose_every=5)
    grabber = Grabber(camera, "cam1", limits=GrabberLimits(queue_depth=50, verdict_deadline_s=60))
    grabber.start()
    askers = [threading.Thread(target=lambda: [camera.fire() for _ in range(20)]) for _ in range(2)]
    for asker in askers:
        asker.start()
    items: list[Frame | Unjudged] = []
    until_s = time.monotonic() + 10
    while len(items) < 40 and time.monotonic() < until_s:
        item = grabber.next(0.5)
        if item is not None:
            items.append(item)
    grabber.stop()
    for asker in askers:
        asker.join()
    assert [item.source_number for item in items] == list(range(1, 41))
    assert all(item.trigger_id == f"cam1-{item.source_number}" for item in items)


def test_missed_beats_are_not_made_up_for() -> None:
    """A reader that was away for ten intervals finds one trigger due, not ten."""
    book = TriggerBook("cam1", 1.0)

    def numbers_at(now_s: float) -> list[int]:
        due = book.take_due(now_s)
        return [] if due is None else [book.answered(due.number).number]

    assert [numbers_at(t) for t in (100.0, 100.5, 101.0)] == [[1], [], [2]]
    assert [numbers_at(t) for t in (111.0, 111.0, 111.5)] == [[3], [], []]


@pytest.mark.parametrize(
    ("ids", "wraps_after", "missing"),
    [
        ([1, 2, 3], None, [0, 0, 0]),
        ([7, 9, 13], None, [0, 1, 3]),
        ([65534, 65535, 1, 2], GVSP_16_BIT_LAST, [0, 0, 0, 0]),
        ([65534, 2], GVSP_16_BIT_LAST, [0, 2]),
        ([500, 1], GVSP_16_BIT_LAST, [0, 0]),
        ([500, 1], None, [0, 0]),
        ([None, 5, None, 9], None, [0, 0, 0, 0]),
    ],
)
def test_losses_are_counted_across_the_wrap(
    ids: list[int | None], wraps_after: int | None, missing: list[int]
) -> None:
    """Gaps in the camera's count are losses; its wrap and its restart are not."""
    gaps = FrameIdGaps(wraps_after)
    assert [gaps.missing_before(frame_id) for frame_id in ids] == missing


def test_delayed_frame_keeps_its_age() -> None:
    """A frame that was held up on the way is dated when the camera took it."""
    clock = DeviceClock()
    ms = 1_000_000
    for n in range(10):
        assert clock.host_ns(n * 100 * ms, 5_000 * ms + n * 100 * ms) == 5_000 * ms + n * 100 * ms
    late = clock.host_ns(1_000 * ms, 5_000 * ms + 1_730 * ms)
    assert late == 5_000 * ms + 1_000 * ms


def test_restarted_camera_clock_begins_a_new_mapping() -> None:
    """A device clock that goes back by an hour does not make frames an hour old."""
    clock = DeviceClock()
    hour = 3_600_000_000_000
    clock.host_ns(hour, 10)
    assert clock.host_ns(5, 2_000) == 2_000


def test_wall_clock_jumps_move_only_themselves(camera_of: MakeCamera) -> None:
    """An hour's jump of the wall clock, either way, leaves a frame as old as it is."""
    camera = camera_of("free", "Steady")
    hour = 3_600_000_000_000
    for jump_ns in (hour, -hour):
        camera._wall_ns = partial(lambda jump_ns: time.time_ns() + jump_ns, jump_ns)
        camera.open()
        frame = camera.read(5.0)
        age_ns = time.time_ns() + jump_ns - frame.captured_at_ns
        assert 0 <= age_ns < 2_000_000_000
