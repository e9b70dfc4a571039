"""Which files a watched folder takes for new ones, what it leaves out, and whose folder it is."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.cameras import watch as watch_module
from edge_app.cameras.picture_listing import scan_folder
from edge_app.cameras.watch import WatchCamera
from edge_app.cameras.watch_journal import JOURNAL
from edge_app.errors import CameraUnavailable, FrameTimeout


def picture(level: int) -> bytes:
    """Return a BMP, whose size is the same for every level."""
    return cv2.imencode(".bmp", np.full((6, 8, 3), level, np.uint8))[1].tobytes()


def watch(folder: Path, resume_after: int | None = None) -> WatchCamera:
    camera = WatchCamera(folder, "cam1", settle_s=0.05, give_up_s=0.3)
    camera.open(resume_after)
    return camera


def level_of(camera: WatchCamera, timeout_s: float = 3.0) -> tuple[int | None, int]:
    frame = camera.read(timeout_s)
    return frame.source_number, int(frame.pixels_hwc[0, 0, 0])


@pytest.mark.parametrize("how", ["in place", "renamed over"])
def test_a_file_replaced_within_one_time_stamp_is_judged(tmp_path: Path, how: str) -> None:
    """latest.bmp of the same name, size and time with other bytes is a new part."""
    file = tmp_path / "latest.bmp"
    camera = watch(tmp_path)
    for number, level in enumerate((40, 50, 60), start=1):
        new = file if how == "in place" else tmp_path / "new"
        new.write_bytes(picture(level))
        os.utime(new, ns=(1_700_000_000 * 10**9, 1_700_000_000 * 10**9))
        new.replace(file)
        assert level_of(camera) == (number, level)
    camera.close()


def test_a_file_whose_looks_tell_nothing_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system whose times are coarse everything looks as before: the bytes tell."""

    class Coarse:
        st_mtime_ns = st_ctime_ns = 10**18
        st_ino, st_mode, st_size = 7, 0o100644, len(picture(1))

    class Entry:
        name = "latest.bmp"

        def stat(self) -> Coarse:
            return Coarse()

    note = WatchCamera._note
    monkeypatch.setattr(WatchCamera, "_note", lambda self, e, j, s: note(self, Entry(), j, s))  # type: ignore[arg-type]
    camera = watch(tmp_path)
    for number, level in enumerate((40, 50), start=1):
        (tmp_path / "latest.bmp").write_bytes(picture(level))
        assert level_of(camera) == (number, level)
    with pytest.raises(FrameTimeout):
        camera.read(0.4)
    camera.close()


def test_a_file_that_was_only_touched_is_not_judged_again(tmp_path: Path) -> None:
    """Other rights, another owner, a hard link: the time of change moves, the bytes do not."""
    file = tmp_path / "a.bmp"
    file.write_bytes(picture(9))
    camera = watch(tmp_path)
    assert level_of(camera) == (1, 9)
    file.chmod(0o600)
    os.link(file, tmp_path / "a.link")
    with pytest.raises(FrameTimeout):
        camera.read(0.4)
    camera.close()


def test_one_replaced_while_the_camera_was_away(tmp_path: Path) -> None:
    """The newest files are compared with what the journal kept of their bytes."""
    file = tmp_path / "latest.bmp"
    stamp = (1_700_000_000 * 10**9,) * 2
    for resume_after, level in ((None, 40), (1, 50)):
        file.write_bytes(picture(level))
        os.utime(file, ns=stamp)
        camera = watch(tmp_path, resume_after)
        assert level_of(camera) == ((resume_after or 0) + 1, level)
        camera.close()
    camera = watch(tmp_path, 2)
    with pytest.raises(FrameTimeout):
        camera.read(0.4)
    camera.close()


def test_the_journal_of_0_1_0_is_understood_and_it_understands_ours(tmp_path: Path) -> None:
    """Its lines have three fields; it passes over lines that have others."""
    file = tmp_path / "a.bmp"
    file.write_bytes(picture(9))
    mtime_ns = file.stat().st_mtime_ns
    (tmp_path / JOURNAL).write_text(json.dumps([4, "a.bmp", mtime_ns]) + "\n")
    camera = watch(tmp_path, 4)
    (tmp_path / "b.bmp").write_bytes(picture(10))
    assert level_of(camera) == (5, 10)
    camera.close()
    lines = [json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines()]
    assert lines[0] == [4, "a.bmp", mtime_ns]
    plain = [line for line in lines if isinstance(line, list)]
    assert [line[:2] for line in plain] == [[4, "a.bmp"], [5, "b.bmp"]]
    assert all(len(line) == 3 for line in plain)
    assert [line["of"] for line in lines if isinstance(line, dict)] == [5]
    for line in lines:  # as 0.1.0 reads it
        try:
            number, _name, _mtime_ns = line
        except ValueError:
            continue
        int(number)


def test_what_cannot_be_read_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Links in a circle, pipes, folders with a picture's name: each is said once, others come."""
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "nowhere.png").symlink_to("gone.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "a.bmp").write_bytes(picture(3))
    camera = watch(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert level_of(camera) == (1, 3)
        with pytest.raises(FrameTimeout):
            camera.read(0.5)
    camera.close()
    told = sorted(r.getMessage().split()[3] for r in caplog.records)
    assert told == ["folder.png", "loop.png", "pipe.png"]


def test_another_folder_in_its_place_is_noticed(tmp_path: Path) -> None:
    """A share mounted over the folder, or unmounted below it: the camera is opened again, with
    that folder's own journal, and nothing is judged twice."""
    folder, share = tmp_path / "drop", tmp_path / "share"
    for place in (folder, share):
        place.mkdir()
    (share / "a.bmp").write_bytes(picture(7))
    first = watch(share)
    assert level_of(first) == (1, 7)
    first.close()
    camera = watch(folder, 1)
    folder.rename(tmp_path / "below")
    share.rename(folder)
    with pytest.raises(CameraUnavailable, match="is another folder now: a share was mounted"):
        camera.read(1.0)
    camera.open(1)
    (folder / "b.bmp").write_bytes(picture(8))
    assert level_of(camera) == (2, 8)
    camera.close()


def test_a_share_that_is_not_mounted_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it was a mount point, or where the system's table of mounts says that it is one."""
    is_mount = True
    monkeypatch.setattr(os.path, "ismount", lambda _: is_mount)
    camera = watch(tmp_path)
    camera.close()
    is_mount = False
    with pytest.raises(CameraUnavailable, match="is not mounted"):
        camera.open()
    table = tmp_path / "fstab"
    table.write_text(f"# {tmp_path}/a x\n//nas/a {tmp_path}/b cifs ro 0 0\nbad\n")
    assert watch_module._is_to_be_mounted(tmp_path / "b", table)
    assert not watch_module._is_to_be_mounted(tmp_path / "a", table)
    assert not watch_module._is_to_be_mounted(tmp_path / "b", tmp_path / "no table")


def test_a_forbidden_sub_folder_is_left_out_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lost+found costs itself, and is named; the folder that a person names must be readable."""
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    (tmp_path / "lost+found").mkdir()
    scandir = os.scandir
    forbidden = {str(tmp_path / "lost+found")}

    def refusing(path: str) -> object:
        if str(path) in forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = scan_folder(tmp_path)
    assert [p.name for p in found.pictures] == ["a.png"]
    assert [(o.name, o.why) for o in found.left_out] == [
        ("lost+found/", "folders that cannot be read")
    ]
    forbidden.add(str(tmp_path))
    with pytest.raises(CameraUnavailable, match="cannot be listed: Permission denied"):
        scan_folder(tmp_path)


def test_finished_files_are_not_read_again_and_again(tmp_path: Path) -> None:
    """A file's bytes are compared while it is young, not for ever."""
    (tmp_path / "a.bmp").write_bytes(picture(3))
    now_s = [100.0]
    camera = WatchCamera(
        tmp_path, "cam1", settle_s=0.0, monotonic=lambda: now_s[0], sleep=lambda _: None
    )
    camera.open()
    assert level_of(camera) == (1, 3)
    reads: list[str] = []
    digest = camera._digest

    def noted(name: str) -> str:
        reads.append(name)
        return digest(name)

    camera._digest = noted  # type: ignore[method-assign]
    for _ in range(100):
        now_s[0] += 1.0
        assert camera._journal is not None
        camera._look(camera._journal)
    camera.close()
    assert 1 <= len(reads) <= 3
