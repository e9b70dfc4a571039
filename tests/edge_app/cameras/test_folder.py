"""A folder of pictures as a camera: order, numbers, resuming, damage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.cameras.folder import FolderCamera, from_url
from edge_app.cameras.grabber import Grabber
from edge_app.cameras.picture_health import PictureHealth
from edge_app.cameras.registry import open_camera
from edge_app.errors import (
    CameraUnavailable,
    ConfigError,
    EndOfStream,
    FrameCorrupt,
    FrameTimeout,
)


def fill(folder: Path, *names: str) -> Path:
    """Write 4 × 7 pictures whose grey level is 10 × their place in the order given."""
    for place, name in enumerate(names, start=1):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((4, 7, 3), place * 10, np.uint8))
    return folder


def read_all(camera: FolderCamera) -> list[tuple[int | None, str | None, int]]:
    seen: list[tuple[int | None, str | None, int]] = []
    while True:
        try:
            frame = camera.read(0.1)
        except EndOfStream:
            return seen
        seen.append((frame.source_number, frame.source_name, int(frame.pixels_hwc[0, 0, 0])))


def test_pictures_are_numbered_parts_in_natural_order(tmp_path: Path) -> None:
    """Each picture is one part, numbered from 1, named by its path below the folder."""
    camera = FolderCamera(fill(tmp_path, "p2.png", "p10.png", "q/p1.bmp"), "cam1")
    camera.open()
    assert read_all(camera) == [(1, "p2.png", 10), (2, "p10.png", 20), (3, "q/p1.bmp", 30)]
    info = camera.describe()
    assert (info.mode, info.is_numbered, info.can_resume) == ("file", True, True)


def test_frame_says_who_and_when(tmp_path: Path) -> None:
    """Camera name, size, and the time of reading are in the frame."""
    camera = FolderCamera(fill(tmp_path, "a.png"), "cam1", wall_ns=lambda: 1234)
    camera.open()
    frame = camera.read(0.1)
    assert (frame.camera, frame.frame_id, frame.hw) == ("cam1", 1, (4, 7))
    assert (frame.captured_at_ns, frame.trigger_id) == (1234, None)


def test_corrupt_picture_is_reported_and_the_next_one_follows(tmp_path: Path) -> None:
    """The lost part carries its number and name; nothing after it is lost."""
    fill(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    camera = FolderCamera(tmp_path, "cam1")
    camera.open()
    assert camera.read(0.1).source_number == 1
    with pytest.raises(FrameCorrupt) as lost:
        camera.read(0.1)
    assert (lost.value.source_number, lost.value.source_name) == (2, "b.png")
    last = camera.read(0.1)
    assert (last.source_number, last.frame_id) == (3, 2)


def test_reading_goes_on_behind_the_last_finished_part(tmp_path: Path) -> None:
    """Opening with resume_after = 2 shows part 3 first; beyond the end there is nothing."""
    camera = FolderCamera(fill(tmp_path, "a.png", "b.png", "c.png"), "cam1")
    camera.open(resume_after=2)
    assert read_all(camera) == [(3, "c.png", 30)]
    camera.open(resume_after=3)
    assert read_all(camera) == []


def test_loop_goes_on_counting(tmp_path: Path) -> None:
    """The second lap's numbers follow the first's, also after a resume."""
    camera = FolderCamera(fill(tmp_path, "a.png", "b.png"), "cam1", loop=True)
    camera.open()
    seen = [(f.source_number, f.source_name) for f in (camera.read(0.1) for _ in range(5))]
    assert seen == [(1, "a.png"), (2, "b.png"), (3, "a.png"), (4, "b.png"), (5, "a.png")]
    camera.open(resume_after=5)
    assert camera.read(0.1).source_name == "b.png"


def test_interval_holds_pictures_back(tmp_path: Path) -> None:
    """With an interval of 2 s the reader gets a time-out until the picture is due."""
    now_s = [100.0]
    camera = FolderCamera(
        fill(tmp_path, "a.png", "b.png"),
        "cam1",
        interval_s=2.0,
        monotonic=lambda: now_s[0],
        sleep=lambda seconds: now_s.__setitem__(0, now_s[0] + seconds),
    )
    camera.open()
    assert (camera.read(0.5).source_number, now_s[0]) == (1, 100.0)
    for _ in range(3):
        with pytest.raises(FrameTimeout):
            camera.read(0.5)
    assert (camera.read(0.5).source_number, now_s[0]) == (2, 102.0)


def test_folder_that_goes_away_is_unavailable_not_corrupt(tmp_path: Path) -> None:
    """A pulled USB disk makes the grabber come back later, it does not use up the parts."""
    folder = fill(tmp_path / "disk", "a.png", "b.png")
    camera = FolderCamera(folder, "cam1")
    camera.open()
    camera.read(0.1)
    folder.rename(tmp_path / "gone")
    with pytest.raises(CameraUnavailable, match="has gone"):
        camera.read(0.1)
    (tmp_path / "gone").rename(folder)
    assert camera.read(0.1).source_number == 2


def test_closed_camera_says_so(tmp_path: Path) -> None:
    """Closing twice is allowed; reading afterwards is a clear error."""
    camera = FolderCamera(fill(tmp_path, "a.png"), "cam1")
    camera.open()
    camera.close()
    camera.close()
    with pytest.raises(CameraUnavailable, match="closed"):
        camera.read(0.1)


def test_empty_folder_cannot_be_opened(tmp_path: Path) -> None:
    """The error is the picture list's own."""
    with pytest.raises(CameraUnavailable, match="holds no picture"):
        FolderCamera(tmp_path, "cam1").open()


def test_address_sets_every_option(tmp_path: Path) -> None:
    """loop, recursive and interval_s are read; the default looks into sub-folders and ends."""
    fill(tmp_path, "a.png", "sub/b.png")
    plain = from_url(f"folder:{tmp_path}", name="cam1")
    plain.open()
    assert [name for _, name, _ in read_all(plain)] == ["a.png", "sub/b.png"]
    flat = from_url(f"folder://{tmp_path}?recursive=0&loop=1&interval_s=0.0", name="cam1")
    flat.open()
    assert [flat.read(0.1).source_name for _ in range(3)] == ["a.png"] * 3


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("folder:", "names no folder"),
        ("folder:x?lop=1", "did you mean 'loop'"),
        ("folder:x?loop=yes", "loop must be 0 or 1, got 'yes'"),
        ("folder:x?interval_s=-1", "interval_s must be a number >= 0, got '-1'"),
        ("folder:x?interval_s=nan", "got 'nan'"),
        ("folder:x?loop", "expected name=value"),
        ("folder:x?loop=1&loop=0", "once each"),
    ],
)
def test_wrong_address_is_explained(url: str, said: str) -> None:
    """Every mistake in an address names what was expected and what was got."""
    with pytest.raises(ConfigError, match=said):
        from_url(url, name="cam1")


def test_black_and_white_pictures_of_a_folder_are_not_judged(tmp_path: Path) -> None:
    """As a camera's: each is a part nobody saw, with its reason; the same one twice is two."""
    for name, level in (("a", 0), ("b", 90), ("c", 255), ("d", 90)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((8, 8, 3), level, np.uint8))
    grabber = Grabber(open_camera(f"folder:{tmp_path}", "cam1"), "cam1", health=PictureHealth())
    grabber.start()
    seen = []
    while not grabber.is_finished():
        item = grabber.next(0.2)
        if item is not None:
            seen.append((item.source_number, getattr(item, "reason", "")))
    grabber.stop()
    assert seen == [(1, "black_picture"), (2, ""), (3, "white_picture"), (4, "")]
