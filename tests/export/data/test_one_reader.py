"""The same file gives the same pixels through every way in: labels, build, inspect, cameras, ..."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import picture_files as files
from support.small_bundles import write_bright_bundle

import edge_app
from edge_app.bundle.archive import read_bundle
from edge_app.cameras.pictures import read_picture
from edge_app.cameras.registry import open_camera
from edge_app.imaging.picture_header import read_header
from edge_app.model.loaded_model import load_model
from edge_app.model.offline import inspect_pictures
from edge_app.records import FrameReport, U8Array
from export.data.dataset import scan_good_pictures
from export.data.yolo_dataset import LabelledPicture, read_bgr
from export.evaluation.data import scan_test_pictures
from export.evaluation.judge import judge_picture
from export.evaluation.pixel_metrics import PixelCounts

BGR = np.random.default_rng(8).integers(60, 140, (40, 56, 3), np.uint8)
RGB = np.ascontiguousarray(BGR[:, :, ::-1])
RGBA = np.dstack([RGB, RGB[:, :, :1]])
FILES = {
    "turned.jpg": lambda: files.jpeg(BGR, 6),
    "turned.png": lambda: files.png(BGR, 8),
    "turned.webp": lambda: files.webp(BGR, 5),
    "turned.tif": lambda: files.tiff(RGB, 7),
    "alpha.tif": lambda: files.tiff(RGBA, 3, extra_sample=2),
    "twelve.tif": lambda: files.tiff(RGB.astype(np.uint16) * 16, 6),
    "sixteen.tif": lambda: files.tiff(RGB.astype(np.uint16) * 256 + 7),
    "pages.tif": lambda: files.tiff(RGB, pages=2),
    "grey.png": lambda: files.png(np.ascontiguousarray(BGR[:, :, 0])),
}


def through_camera(url: str) -> U8Array:
    camera = open_camera(url, "cam1")
    camera.open()
    try:
        return camera.read(5.0).pixels_hwc
    finally:
        camera.close()


@pytest.mark.parametrize("name", FILES)
def test_every_way_in_gives_the_same_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "data" / "good"
    folder.mkdir(parents=True)
    path = folder / name
    path.write_bytes(FILES[name]())
    expected = read_picture(path)
    found = {
        "labels": read_bgr(path),
        "training": LabelledPicture(path, np.zeros((0, 5))).pixels(),
        "build": scan_good_pictures(tmp_path / "data", min_pictures=1).pictures[0].read(),
        "folder camera": through_camera(f"folder:{folder}"),
        "watched folder": through_camera(f"watch:{folder}?settle_s=0"),
    }
    shown: list[FrameReport] = []
    model = load_model(read_bundle(write_bright_bundle(tmp_path / "a.bundle")))
    list(inspect_pictures(model, [(name, path)], shown.append))
    found["inspect"] = shown[0].frame.pixels_hwc
    (tmp_path / "data" / "bad").mkdir()
    shutil.copy(path, tmp_path / "data" / "bad" / f"bad-{name}")
    tested = scan_test_pictures(tmp_path / "data", ()).kept[0]
    judged: list[U8Array] = []

    def noted(_: object, frame: U8Array) -> list[object]:
        judged.append(frame)
        return []

    monkeypatch.setattr("export.evaluation.judge.look_at", noted)
    judge_picture(model, tested, PixelCounts())
    found["evaluate"] = judged[0]
    for way, pixels in found.items():
        np.testing.assert_array_equal(pixels, expected, err_msg=way)


def test_the_size_in_the_dataset_is_that_of_the_upright_picture(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.jpg").write_bytes(files.jpeg(BGR, 6))
    good = scan_good_pictures(tmp_path, min_pictures=1)
    assert good.pictures[0].hw == (56, 40)
    assert "1 pictures have an EXIF orientation, turned upright" in good.warnings


def test_nothing_else_decodes_a_users_picture() -> None:
    """Whoever adds an `imread` for people's files has to use the reader instead.

    The files named here decode what we wrote ourselves: golden pictures and cues in bundles,
    pictures that a device has kept, and drawn defects that went through JPEG.
    """
    ours = {
        "calibration/precision/int8_choice.py",
        "calibration/parts/identity.py",
        "calibration/precision/variant.py",
        "edge_app/cameras/pictures.py",
        "edge_app/model/golden_check.py",
        "edge_app/model/loaded_model.py",
        "edge_app/page/thumbnails.py",
        "edge_app/replay/kept_parts.py",
        "export/calibrate/golden_set.py",
        "export/feedback_build/kept_jpeg.py",
        "export/pose/step.py",
    }
    root = Path(edge_app.__file__).parents[1]
    sources = [
        p
        for part in ("edge_app", "export", "calibration", "deploy")
        for p in (root / part).rglob("*.py")
    ]
    found = {
        p.relative_to(root).as_posix()
        for p in sources
        if re.search(r"\b(imread|imdecode|imreadmulti)\(|Image\.open\(", p.read_text())
    }
    assert found == ours


def test_a_golden_picture_of_0_1_0_reads_as_it_was_written(tmp_path: Path) -> None:
    """Golden pictures are plain: the header has nothing that a rule would change."""
    demo = read_bundle(Path(edge_app.__file__).parent / "assets" / "demo-tapered.bundle")
    names = [p.file for v in demo.manifest.variants for p in v.golden]
    assert names
    for name in names:
        raw = demo.files[name]
        header = read_header(raw)
        assert header is not None
        assert (header.orientation, header.bits, header.pages) == (1, 8, 1)
        path = tmp_path / f"golden.{header.file_format}"
        path.write_bytes(raw)
        decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(read_picture(path), decoded)
