"""One process at a time in a work folder; and what a build keeps survives its data's removal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from export.build_many.run import build_many
from export.bundle_build.pipeline import label_pictures
from export.bundle_build.records import BuildOptions
from export.cli.main import main
from export.data.dataset import scan_good_pictures
from export.data.split import split
from export.folder_lock import LOCK_FILE, lock_folder
from export.labels import step as label_steps
from export.labels.step import label_step
from export.workspace import Workspace

HOLD = """
import sys
from pathlib import Path
from export.folder_lock import lock_folder
lock = lock_folder(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder's lock."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "locked\n"
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_second_process_is_refused_with_who_and_since_when(tmp_path: Path) -> None:
    with (
        holder(tmp_path / "a.work") as child,
        pytest.raises(DataError, match=rf"in use by .*process {child.pid}, since 20\d\d-"),
    ):
        lock_folder(tmp_path / "a.work")
    assert lock_folder(tmp_path / "a.work") is not None  # it has ended


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert lock_folder(tmp_path) is not None


def test_one_process_shares_its_own_lock_until_the_last_is_gone(tmp_path: Path) -> None:
    first, second = lock_folder(tmp_path), lock_folder(tmp_path)
    assert first is second
    told = json.loads((tmp_path / LOCK_FILE).read_text())
    assert told["pid"] == os.getpid()
    del first, second
    with holder(tmp_path):
        pass


def test_a_holder_that_says_nothing_is_refused_all_the_same(tmp_path: Path) -> None:
    with holder(tmp_path):
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(DataError, match=r"in use by another build\. Wait"):
            lock_folder(tmp_path)


@pytest.mark.parametrize("command", ["build", "label", "detector", "train"])
def test_no_command_works_where_another_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """Before a picture is read: the data need not even be there."""
    with holder(tmp_path / "a.bundle.work"):
        arguments = ["--data", str(tmp_path / "none"), "--out", str(tmp_path / "a.bundle")]
        assert main([command, *arguments, "--product", "a"]) == 2
    assert "a.bundle.work is in use by another build" in capsys.readouterr().err


def test_build_many_and_compare_are_refused_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with holder(tmp_path / "many"), pytest.raises(DataError, match="in use by another build"):
        build_many([], tmp_path / "many", 1, "processes", lambda *_: None)
    options = BuildOptions(tmp_path, tmp_path / "compared" / "shared", "a")  # as compare's are
    with (
        holder(tmp_path / "compared" / "shared.work"),
        pytest.raises(DataError, match="in use by another build"),
    ):
        label_pictures(options, lambda *_: None)


def write_bars(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        rng = np.random.default_rng(i)
        pixels = np.clip(rng.normal(60, 4, (160, 240, 3)), 0, 255).astype(np.uint8)
        x, y = 20 + 5 * (i % 20), 20 + 4 * (i % 17)
        pixels[y : y + 30, x : x + 70] = 210
        cv2.imwrite(str(folder / f"{i:02d}.png"), pixels)


def test_moved_data_resumes_and_no_path_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels are found again by what the pictures hold, and point to where they lie now."""
    write_bars(tmp_path / "before" / "good", 30)

    def labelled(data: Path) -> list[Path]:
        good = scan_good_pictures(data)
        training, _ = split(good.pictures)
        space = Workspace(tmp_path / "a.work", lambda *_: None)
        found = label_step(space, good, training, "auto")
        assert not found.fills_frame
        return [p.source for p in found.pictures if isinstance(p.source, Path)]

    before = labelled(tmp_path / "before")
    assert len(before) > 10
    (tmp_path / "before").rename(tmp_path / "after")
    monkeypatch.setattr(label_steps, "_own_labels", lambda *_: pytest.fail("labelled again"))
    after = labelled(tmp_path / "after")
    assert [p.name for p in after] == [p.name for p in before]
    assert all(p.is_file() for p in after)
    for file in (tmp_path / "a.work").rglob("*.json"):
        assert str(tmp_path) not in file.read_text()
