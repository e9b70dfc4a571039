"""Everything that can be wrong is refused in words before the first picture is read."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.errors import DataError
from export.bundle_build import pipeline
from export.bundle_build.early_check import check_build, check_defects
from export.bundle_build.records import BuildOptions
from export.cli import border
from export.cli.main import main
from export.data.dataset import scan_good_pictures
from export.defects.labelled import read_mask
from export.defects.pictures import scan_defects
from export.labels.given.read import given_labels


@pytest.fixture
def options(tmp_path: Path) -> BuildOptions:
    return BuildOptions(tmp_path / "data", tmp_path / "out" / "a.bundle", "part-1")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "umlaut and blanks": ({"product": "Müller Teil 5"}, "'Mueller_Teil_5' would do"),
    "too long": ({"product": "x" * 65}, "1 to 64 letters"),
    "nothing legal": ({"product": "検査"}, "'part1' would do"),
    "seed": ({"seed": -1}, "--seed is -1; expected a whole number from 0"),
    "large seed": ({"seed": 2**32}, "--seed is 4294967296"),
    "serial": ({"serial": -3}, "--serial is -3"),
    "steps": ({"steps": 0}, "--steps is 0"),
    "processes": ({"processes": 0}, "--processes is 0"),
    "rate": ({"false_alarm_rate": 5.0}, "--false-alarm-rate is 5; expected a share"),
    "no rate": ({"false_alarm_rate": 0.0}, "--false-alarm-rate is 0"),
    "rate that is no number": ({"false_alarm_rate": float("nan")}, "--false-alarm-rate is nan"),
    "budget": ({"auto_budget_s": 0.0}, "--auto-budget is 0 s"),
    "detector": ({"detector": "missing.onnx"}, "missing.onnx is not there: expected auto"),
    "device": ({"device": "gpu"}, "--device 'gpu' is none"),
    "other device": ({"device": "mps"}, "--device 'mps' is not supported"),
    "no such GPU": ({"device": "cuda:99"}, "--device cuda:99: this machine has"),
}


@pytest.mark.parametrize(("change", "reason"), WRONG.values(), ids=WRONG)
def test_wrong_options_are_refused(
    options: BuildOptions, change: dict[str, Any], reason: str
) -> None:
    check_build(options)  # the rest is right
    with pytest.raises(DataError, match=reason):
        check_build(replace(options, **change))


def test_everything_wrong_is_told_at_once_and_no_picture_is_read(
    options: BuildOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "scan_good_pictures", lambda _: pytest.fail("read"))
    wrong = replace(options, seed=-1, serial=-3, false_alarm_rate=5.0, product="a b")
    with pytest.raises(DataError) as caught:
        pipeline.build(wrong, lambda *_: None)
    for name in ("--seed", "--serial", "--false-alarm-rate", "--product"):
        assert name in str(caught.value)
    assert not options.out.parent.exists()


@pytest.mark.parametrize("command", ["build", "label", "detector", "train"])
def test_every_command_refuses_within_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    started = time.monotonic()
    code = main([command, "--data", str(tmp_path), "--out", str(tmp_path), "--seed", "-1"])
    assert code == 2
    told = capsys.readouterr().err
    assert "--seed is -1" in told
    assert "is a folder; expected the name of the bundle" in told
    assert time.monotonic() - started < 20


def test_compare_and_build_many_refuse_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "many" / "a" / "good").mkdir(parents=True)
    (tmp_path / "many" / "a" / "good" / "0.png").touch()
    compare = ["compare", "--data", str(tmp_path), "--out"]
    many = ["build-many", str(tmp_path / "many"), "--out"]
    for arguments, reason in (
        ([*compare, str(tmp_path / "file")], "is a file. Expected a folder"),
        ([*compare, str(tmp_path / "c"), "--false-alarm-rate", "2"], "--false-alarm-rate is 2"),
        ([*compare, str(tmp_path / "c"), "--product", "a b"], "'a_b' would do"),
        ([*compare, str(tmp_path / "c"), "--product", "a", "--latency-ms", "0"], "more than 0"),
        ([*compare, str(tmp_path / "c"), "--product", "a"], "holds no test pictures"),
        ([*many, str(tmp_path / "file")], "is a file. Expected a folder"),
        ([*many, str(tmp_path / "m"), "--seed", "-1"], "--seed is -1"),
        ([*many, str(tmp_path / "m"), "--device", "cuda:99"], "--device cuda:99"),
    ):
        assert main(arguments) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
    assert not (tmp_path / "c").exists()


@pytest.mark.needs("an ordinary user")
def test_a_folder_that_cannot_be_written_is_refused(options: BuildOptions, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(DataError, match=r"nothing can be written to .*locked: Permission denied"):
        check_build(replace(options, out=tmp_path / "locked" / "deeper" / "a.bundle"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_takes_nothing_is_refused(
    options: BuildOptions, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(DataError, match=f"nothing can be written to .*{os.strerror(number)}"):
        check_build(options)


def test_a_nearly_full_disk_is_refused(
    options: BuildOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 20 << 20

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(DataError, match=r"20 MB are free where .* at least 300 MB are needed"):
        check_build(options)


def test_a_file_where_the_steps_go_is_refused(options: BuildOptions) -> None:
    options.out.parent.mkdir()
    options.out.with_name("a.bundle.work").touch()
    with pytest.raises(DataError, match=r"a\.bundle\.work is in the way"):
        check_build(options)


def write_defects(folder: Path, mask: np.ndarray, ending: str = "png") -> None:
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "1.png"), np.full((20, 30, 3), 90, np.uint8))
    cv2.imwrite(str(folder / f"1_mask.{ending}"), mask)


@pytest.mark.parametrize(
    ("top", "dtype"),
    [(1, np.uint8), (3, np.uint8), (255, np.uint8), (1, np.uint16), (65535, np.uint16)],
)
def test_masks_of_any_numbers_mark_the_same_pixels(
    tmp_path: Path, top: int, dtype: type[np.unsignedinteger[Any]]
) -> None:
    """0/1, numbers of kinds, 0/255, in 8 and 16 bits."""
    mask = np.zeros((20, 30), dtype)
    mask[4:9, 5:12] = top
    write_defects(tmp_path / "real" / "dent", mask)
    check_defects(BuildOptions(tmp_path, tmp_path / "a", "a", known_defects=tmp_path / "real"))
    (picture,) = scan_defects(tmp_path / "real").pictures
    read = read_mask(picture.path.with_name("1_mask.png"), picture)
    np.testing.assert_array_equal(read[:, :, 0] > 127, mask > 0)
    assert read.shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.full((20, 31), 255, np.uint8), "draw it on the picture itself"),
        (np.zeros((20, 30), np.uint8), "marks nothing"),
    ],
    ids=["another size", "empty"],
)
def test_a_mask_that_is_of_no_use_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: np.ndarray, reason: str
) -> None:
    monkeypatch.setattr(pipeline, "scan_good_pictures", lambda _: pytest.fail("read"))
    write_defects(tmp_path / "real" / "dent", mask)
    options = BuildOptions(tmp_path, tmp_path / "a", "a", known_defects=tmp_path / "real")
    with pytest.raises(DataError, match=reason):
        pipeline.build(options, lambda *_: None)


def test_a_kind_that_no_bundle_takes_is_refused(tmp_path: Path) -> None:
    write_defects(tmp_path / "real" / ("k" * 65), np.full((20, 30), 255, np.uint8))
    options = BuildOptions(tmp_path, tmp_path / "a", "a", known_defects=tmp_path / "real")
    with pytest.raises(DataError, match="cannot name a kind of defect"):
        check_defects(options)


LABELS = {
    "pixels": ("0 10 10 60 10 60 40 10 40", "corners are fractions of the picture"),
    "above 1": ("0 .1 .1 1.2 .1 1.2 .4 .1 .4", "corners are fractions of the picture"),
    "not a number": ("0 nan .1 .6 .1 .6 .4 .1 .4", "is not a YOLO-OBB label"),
    "endless": ("0 inf .1 .6 .1 .6 .4 .1 .4", "is not a YOLO-OBB label"),
    "class that is no number": ("nan .1 .1 .6 .1 .6 .4 .1 .4", "is not a YOLO-OBB label"),
    "no area": ("0 .1 .1 .1 .1 .1 .1 .1 .1", "enclose nothing"),
    "not text": (b"\xff\xfe0 .1", "cannot be read as text"),
}


@pytest.mark.parametrize(("line", "reason"), LABELS.values(), ids=LABELS)
def test_labels_that_cannot_be_are_refused(tmp_path: Path, line: str | bytes, reason: str) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.random.default_rng(0).integers(0, 255, (60, 90, 3)))
    label = tmp_path / "1.txt"
    pictures = scan_good_pictures(tmp_path, min_pictures=1).pictures
    label.write_bytes(line if isinstance(line, bytes) else line.encode())
    with pytest.raises(DataError, match=reason):
        given_labels(pictures, tmp_path)
    label.write_text("0 .1 .1 .6 .1 .6 1.05 .1 1.05")  # a turned box may reach over the border
    assert len(given_labels(pictures, tmp_path).pictures) == 1


ERRORS = {
    "full disk": (OSError(errno.ENOSPC, "No space", "a.png"), 2, r"the disk is full \(a\.png\)"),
    "read-only": (OSError(errno.EROFS, "Read-only", "a.png"), 2, "the disk is read-only"),
    "rights": (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "may not do that"),
    "stopped": (KeyboardInterrupt(), 1, "stopped. The same command goes on"),
    "memory": (MemoryError(), 1, "memory is not enough"),
    "GPU": (RuntimeError("CUDA error: out of memory\nmore"), 1, "the GPU failed: CUDA error"),
}


@pytest.mark.parametrize(("error", "code", "sentence"), ERRORS.values(), ids=ERRORS)
def test_what_goes_wrong_in_the_middle_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    sentence: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, "label_pictures", fail)
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "a.bundle"), "--product", "a"]
    assert main(["build", *arguments]) == code
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert re.search(sentence, told[0])


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    assert border.told(ValueError("a bug")) is None
    assert border.told(RuntimeError("a bug")) is None
