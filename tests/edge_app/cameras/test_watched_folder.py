"""A folder another system writes into: half files, renames, overwrites, crashes, and its loss."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.cameras.registry import open_camera
from edge_app.cameras.watch import WatchCamera
from edge_app.cameras.watch_journal import JOURNAL
from edge_app.errors import CameraUnavailable, ConfigError, FrameCorrupt, FrameTimeout


def picture(level: int, ending: str = ".png") -> bytes:
    """Return an encoded 8 x 6 picture of one grey level."""
    return cv2.imencode(ending, np.full((6, 8, 3), level, np.uint8))[1].tobytes()


def watch(folder: Path, resume_after: int | None = None, **settings: float) -> WatchCamera:
    """Return an open camera that waits for 50 ms of quiet, unless told otherwise."""
    given: dict[str, Any] = {"settle_s": 0.05, "give_up_s": 0.3, **settings}
    camera = WatchCamera(folder, "cam1", **given)
    camera.open(resume_after)
    return camera


def level_of(camera: WatchCamera, timeout_s: float = 3.0) -> tuple[int | None, int]:
    frame = camera.read(timeout_s)
    return frame.source_number, int(frame.pixels_hwc[0, 0, 0])


def test_dropped_pictures_come_oldest_first(tmp_path: Path) -> None:
    """Pictures there before and pictures dropped later are each shown once, by age."""
    for name, level in (("b.png", 10), ("a.png", 20)):
        (tmp_path / name).write_bytes(picture(level))
        time.sleep(0.01)
    camera = watch(tmp_path)
    assert [level_of(camera), level_of(camera)] == [(1, 10), (2, 20)]
    with pytest.raises(FrameTimeout, match="no new picture in"):
        camera.read(0.2)
    (tmp_path / "c.png").write_bytes(picture(30))
    frame = camera.read(3.0)
    assert (frame.source_name, frame.source_number, frame.frame_id) == ("c.png", 3, 3)
    camera.close()


def test_half_written_file_is_waited_for(tmp_path: Path) -> None:
    """A file that grows in slow steps is shown once, whole, and nothing before that."""
    data = picture(77, ".jpg")

    def write_slowly() -> None:
        with (tmp_path / "slow.jpg").open("wb") as file:
            for start in range(0, len(data), len(data) // 8):
                file.write(data[start : start + len(data) // 8])
                file.flush()
                time.sleep(0.1)  # longer than settle_s: only decoding tells that it is not whole

    camera = watch(tmp_path, give_up_s=5.0)
    writer = threading.Thread(target=write_slowly)
    writer.start()
    number, level = level_of(camera, 5.0)
    writer.join()
    camera.close()
    assert number == 1
    assert abs(level - 77) < 3


def test_half_file_that_stays_half_is_a_part_nobody_saw(tmp_path: Path) -> None:
    """A file that never becomes whole is told with its number; those behind it do not wait."""
    (tmp_path / "half.png").write_bytes(picture(5)[:-20])
    time.sleep(0.01)
    (tmp_path / "whole.png").write_bytes(picture(6))
    camera = watch(tmp_path)
    assert level_of(camera) == (1, 6)
    with pytest.raises(FrameCorrupt, match=r"half\.png") as caught:
        camera.read(3.0)
    assert (caught.value.source_number, caught.value.source_name) == (2, "half.png")
    camera.close()


def test_file_written_again_is_a_new_part(tmp_path: Path) -> None:
    """A system that always writes latest.png gets a verdict for each content."""
    camera = watch(tmp_path)
    for number, level in ((1, 40), (2, 50)):
        (tmp_path / "latest.png").write_bytes(picture(level))
        assert level_of(camera) == (number, level)
    camera.close()


def test_restart_shows_what_nobody_judged_and_nothing_twice(tmp_path: Path) -> None:
    """After a crash behind the first verdict, parts 2 and 3 come again, then only new ones."""
    for level in (10, 20, 30):
        (tmp_path / f"{level}.png").write_bytes(picture(level))
        time.sleep(0.01)
    camera = watch(tmp_path)
    for _ in range(3):
        camera.read(3.0)
    with (tmp_path / JOURNAL).open("a") as file:
        file.write('[4, "cut o')  # the power went in the middle of a line
    again = watch(tmp_path, resume_after=1)
    (tmp_path / "40.png").write_bytes(picture(40))
    assert [level_of(again) for _ in range(3)] == [(2, 20), (3, 30), (4, 40)]
    with pytest.raises(FrameTimeout):
        again.read(0.2)
    (tmp_path / "20.png").unlink()
    third = watch(tmp_path, resume_after=1)
    with pytest.raises(FrameCorrupt) as caught:
        third.read(0.2)
    assert caught.value.source_number == 2
    for open_camera_ in (camera, again, third):
        open_camera_.close()


def test_deleted_files_leave_the_journal(tmp_path: Path) -> None:
    """What the other system has cleared away and was judged takes no room for ever."""
    camera = watch(tmp_path)
    (tmp_path / "a.png").write_bytes(picture(1))
    camera.read(3.0)
    camera.close()
    (tmp_path / "a.png").unlink()
    watch(tmp_path, resume_after=1).close()
    assert (tmp_path / JOURNAL).read_text() == ""


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Hidden files, temporary names, texts and sub-folders are no parts."""
    (tmp_path / ".a.png").write_bytes(picture(1))
    (tmp_path / "a.png.part").write_bytes(picture(1))
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "sub").mkdir()
    camera = watch(tmp_path)
    with pytest.raises(FrameTimeout):
        camera.read(0.2)
    (tmp_path / "a.png.part").rename(tmp_path / "a.png")
    assert level_of(camera) == (1, 1)
    camera.close()


def test_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    """A share that is unmounted makes the camera unavailable; mounted again, it goes on."""
    folder = tmp_path / "drop"
    with pytest.raises(CameraUnavailable, match=r"is not there\. Make it, or mount"):
        watch(folder)
    folder.mkdir()
    camera = watch(folder)
    shutil.rmtree(folder)
    with pytest.raises(CameraUnavailable, match="cannot be read any more"):
        camera.read(0.2)
    folder.mkdir()
    (folder / "a.png").write_bytes(picture(9))
    camera.open(resume_after=0)
    assert level_of(camera) == (1, 9)
    camera.close()


def test_address_gives_the_camera(tmp_path: Path) -> None:
    """watch: takes its two times from the address and refuses anything else."""
    camera = open_camera(f"watch:{tmp_path}?settle_s=0.1&give_up_s=2", "cam1")
    assert camera.describe().is_numbered
    with pytest.raises(ConfigError, match="settle"):
        open_camera(f"watch:{tmp_path}?setle_s=1", "cam1")
    with pytest.raises(ConfigError, match="names no folder"):
        open_camera("watch:", "cam1")
    with pytest.raises(CameraUnavailable, match="is closed"):
        camera.read(0.1)


@pytest.mark.parametrize(
    "line",
    [
        f'[{10**30}, "b.png", 7]',
        '[-1, "b.png", 7]',
        '[true, "b.png", 7]',
        '[2, "../a.png", 7]',
        '[0, "b.png", 7]',
        '[1e999, "b.png", 7]',
    ],
)
def test_a_journal_line_that_cannot_be_costs_itself(tmp_path: Path, line: str) -> None:
    """No number from outside outgrows the outbox, no name leads out of the folder."""
    (tmp_path / "a.png").write_bytes(picture(10))
    (tmp_path / JOURNAL).write_text(f"{line}\n")
    camera = watch(tmp_path)
    assert level_of(camera) == (1, 10)
    camera.close()


def test_a_folder_with_the_journals_name_is_said(tmp_path: Path) -> None:
    """The camera is unavailable, with the reason; nothing else ends."""
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(CameraUnavailable, match="no plain file"):
        watch(tmp_path)
