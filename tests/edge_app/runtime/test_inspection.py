"""The inspection thread: nothing numbered passes without a verdict or a gap."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.brokers import wait_until
from support.small_bundles import write_bright_bundle, write_pictures

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.folder import FolderCamera
from edge_app.cameras.grabber import Grabber
from edge_app.inspection.tracker import BeltTracker
from edge_app.model.loaded_model import load_model, make_line, make_tracker
from edge_app.records import AlarmEvent, Detection, EventKind, FrameReport
from edge_app.runtime.inspection_thread import CameraPipeline, GapWatch, InspectionThread


@pytest.mark.parametrize(
    ("last", "numbers", "gaps"),
    [
        (None, [5, 6], []),
        (3, [4, 5], []),
        (3, [7], [(4, 6, "restart")]),
        (3, [4, 8], [(5, 7, "lost")]),
        (9, [1, 2], []),
        (3, [None, 4], []),
    ],
)
def test_gaps_in_the_numbers(
    last: int | None, numbers: list[int | None], gaps: list[tuple[int, int, str]]
) -> None:
    """Missing numbers are told once; a first start and a source that starts over are no gap."""
    watch = GapWatch(last)
    assert [g for g in map(watch.before, numbers) if g] == gaps


class Sink:
    """Writes down what was delivered."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[list[AlarmEvent], int | None]] = []
        self.forgotten: list[str] = []

    def deliver(
        self, camera: str, events: Sequence[AlarmEvent], finished_number: int | None
    ) -> None:
        self.deliveries.append((list(events), finished_number))

    def forget_progress(self, camera: str) -> None:
        self.forgotten.append(camera)


def run_folder(
    folder: Path,
    tmp_path: Path,
    last: int | None = None,
    show: Callable[[FrameReport], None] | None = None,
) -> tuple[Sink, list[FrameReport]]:
    """Judge a folder to its end; `last` is the last finished number of an earlier run."""
    model = load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle")))
    camera = FolderCamera(folder, "cam")
    tracker = make_tracker(camera.describe(), "cam-1", model.fills_frame)
    line = make_line(model, "cam", tracker, lambda: "alarm")
    grabber = Grabber(camera, "cam", resume_after=last)
    sink, reports = Sink(), list[FrameReport]()
    pipeline = CameraPipeline("cam", grabber, line, GapWatch(last), can_resume=True)
    thread = InspectionThread([pipeline], sink, show or reports.append)
    grabber.start()
    thread.start()
    thread._thread.join(20)
    grabber.stop()
    assert not thread.is_alive()
    assert thread.failure is None
    return sink, reports


def test_every_picture_gets_one_verdict_in_order(tmp_path: Path) -> None:
    """Ten pictures, two bad: ten finished numbers in order, alarms for the two."""
    sink, reports = run_folder(write_pictures(tmp_path / "in", 10, {3, 7}), tmp_path)
    assert [n for _, n in sink.deliveries] == list(range(11))  # 0: nothing before the first
    alarmed = [n for events, n in sink.deliveries if events]
    assert alarmed == [3, 7]
    assert sum(len(r.finished) for r in reports) == 10
    assert sink.forgotten == ["cam"]  # shown to its end: the next start begins anew


def test_a_corrupt_picture_is_a_part_that_was_not_inspected(tmp_path: Path) -> None:
    """A truncated file keeps its number, is published, and the rest is judged."""
    folder = write_pictures(tmp_path / "in", 5, set())
    whole = (folder / "0003.png").read_bytes()
    (folder / "0003.png").write_bytes(whole[: len(whole) // 2])
    sink, reports = run_folder(folder, tmp_path)
    verdicts = [v for r in reports for v in r.finished]
    assert [v.source_number for v in verdicts] == [1, 2, 3, 4, 5]
    assert [v.reason for v in verdicts] == ["", "", "corrupt_picture", "", ""]
    assert [len(events) for events, _ in sink.deliveries] == [0, 0, 0, 2, 0, 0]


def test_a_one_pixel_picture_is_judged(tmp_path: Path) -> None:
    """A picture of one pixel ends no line."""
    folder = write_pictures(tmp_path / "in", 1, set())
    cv2.imwrite(str(folder / "0002.png"), np.full((1, 1, 3), 90, np.uint8))
    _, reports = run_folder(folder, tmp_path)
    assert [v.state.value for r in reports for v in r.finished] == ["OK", "OK"]


def test_a_restart_goes_on_behind_the_last_finished_part(tmp_path: Path) -> None:
    """With parts 1 to 4 finished before, the folder resumes at 5 and there is no gap."""
    sink, _ = run_folder(write_pictures(tmp_path / "in", 6, set()), tmp_path, last=4)
    assert [n for _, n in sink.deliveries] == [5, 6]
    assert all(not events for events, _ in sink.deliveries)


def test_a_page_that_fails_ends_no_inspection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When showing a frame fails every part is judged all the same."""
    caplog.set_level(logging.CRITICAL)

    def broken(_report: FrameReport) -> None:
        raise ZeroDivisionError

    sink, _ = run_folder(write_pictures(tmp_path / "in", 4, {2}), tmp_path, show=broken)
    assert [n for _, n in sink.deliveries] == [0, 1, 2, 3, 4]


def test_a_stop_gives_open_alarms_their_end(tmp_path: Path) -> None:
    """Stopped with a bad part still in the picture, its alarm ends and the part is closed."""
    model = load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle")))
    camera = FolderCamera(write_pictures(tmp_path / "in", 1, {1}), "cam", loop=True, interval_s=5.0)
    tracker = BeltTracker("b")
    line = make_line(replace(model, finder=StandingPart()), "cam", tracker, lambda: "alarm")
    grabber = Grabber(camera, "cam")
    sink, reports = Sink(), list[FrameReport]()
    thread = InspectionThread(
        [CameraPipeline("cam", grabber, line, GapWatch(None))], sink, reports.append
    )
    grabber.start()
    thread.start()
    wait_until(lambda: any(r.events for r in reports))
    grabber.stop()
    thread.stop()
    kinds = [e.kind for events, _ in sink.deliveries for e in events]
    assert kinds == [EventKind.NEW, EventKind.END]


class StandingPart:
    """A finder that sees one part lying still in the middle of the picture."""

    def find(self, pixels_hwc: object) -> list[Detection]:
        return [Detection((48.0, 40.0, 60.0, 30.0, 0.0), 0.9)]
