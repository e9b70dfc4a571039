"""One picture, many ways in: the same pixels, the same box and the same score, to the last bit.

A part of the simulated line is written in every format without loss, upright and turned by EXIF,
and goes through labels, build, evaluation, `inspect`, and each camera that shows files.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import picture_files as files
from support.needs import ROOT

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.registry import open_camera
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.model.offline import inspect_pictures, offline_line
from edge_app.records import Frame, FrameReport, U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from edge_app.simulator.truth import SEEDS
from export.data.crops import find_parts
from export.data.dataset import scan_good_pictures
from export.data.picture import Picture
from export.evaluation.data import TestPicture
from export.evaluation.judge import judge_picture
from export.evaluation.pixel_metrics import PixelCounts
from export.labels.autolabel import autolabel_folder

pytestmark = pytest.mark.needs("the extra train")

Seen = tuple[bytes, tuple[tuple[float, ...], ...], tuple[float, ...]]
"""Pixels, the corners of every judged crop, the scores."""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(read_bundle(ROOT / "edge_app" / "assets" / "demo-tapered.bundle"))


@pytest.fixture(scope="module")
def pixels() -> U8Array:
    return good_line(SimulatorConfig(seed=SEEDS["training"])).single(3)[0]


def turned(upright: U8Array, orientation: int) -> U8Array:
    """Return the pixels that a reader which applies the orientation turns upright."""
    stored = upright
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (5, 6, 7, 8):
        stored = stored.swapaxes(0, 1)
    return np.ascontiguousarray(stored)


def rgb(pixels: U8Array) -> U8Array:
    return np.ascontiguousarray(pixels[:, :, ::-1])


Writer = Callable[[U8Array], bytes]
FORMATS: dict[str, Writer] = {
    "a.png": files.png,
    "a.bmp": lambda p: cv2.imencode(".bmp", p)[1].tobytes(),
    "a.webp": files.webp,
    "a.tif": lambda p: files.tiff(rgb(p)),
    "sixteen.tif": lambda p: files.tiff(rgb(p).astype(np.uint16) * 257),
    "sixteen.png": lambda p: cv2.imencode(".png", p.astype(np.uint16) * 257)[1].tobytes(),
    "alpha.png": lambda p: cv2.imencode(".png", np.dstack([p, p[:, :, :1]]))[1].tobytes(),
    **{f"exif{k}.png": partial(lambda k, p: files.png(turned(p, k), k), k) for k in range(2, 9)},
    **{f"exif{k}.webp": partial(lambda k, p: files.webp(turned(p, k), k), k) for k in (3, 6)},
    **{f"exif{k}.tif": partial(lambda k, p: files.tiff(turned(rgb(p), k), k), k) for k in (5, 8)},
}


def of_report(report: FrameReport) -> Seen:
    corners = tuple(
        tuple(v for point in report.crop_corners_xy[name] for v in point)
        for name in sorted(report.crop_corners_xy)
    )
    scores = tuple(report.anomalies[name].score for name in sorted(report.anomalies))
    return report.frame.pixels_hwc.tobytes(), corners, scores


def by_inspect(model: LoadedModel, path: Path) -> Seen:
    shown: list[FrameReport] = []
    list(inspect_pictures(model, [(path.name, path)], shown.append))
    return of_report(shown[0])


def by_camera(model: LoadedModel, url: str) -> Seen:
    """What `edge-app run` sees and judges of a camera's first picture."""
    camera = open_camera(url, "cam1")
    camera.open()
    try:
        frame = camera.read(5.0)
    finally:
        camera.close()
    numbered = Frame("cam1", 1, frame.pixels_hwc, 0, source_number=1)
    return of_report(offline_line(model, "cam1").inspect(numbered))


def as_video(folder: Path, pixels: U8Array) -> Path:
    """Write an FFV1 video of one frame, which loses nothing."""
    path = folder / "line.mkv"
    h, w = pixels.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (w, h))
    assert writer.isOpened()
    writer.write(pixels)
    writer.release()
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_every_way_in_sees_the_same_part(
    tmp_path: Path, model: LoadedModel, pixels: U8Array, name: str
) -> None:
    """Cameras, inspect, build and evaluation agree with the plain PNG, whatever the format."""
    plain, folder = tmp_path / "plain.png", tmp_path / "data"
    folder.mkdir()
    plain.write_bytes(files.png(pixels))
    path = folder / name
    path.write_bytes(FORMATS[name](pixels))
    meant = by_inspect(model, plain)
    assert meant[0] == pixels.tobytes()
    assert len(meant[2]) == 1  # one part, with a score
    ways = {
        "inspect": by_inspect(model, path),
        "run, folder": by_camera(model, f"folder:{folder}"),
        "run, watched folder": by_camera(model, f"watch:{folder}?settle_s=0"),
        "run, video": by_camera(model, f"video:{as_video(tmp_path, pixels)}"),
    }
    for way, found in ways.items():
        assert found == meant, way
    (picture,) = scan_good_pictures(folder, min_pictures=1).pictures
    (reference,) = find_parts(model.finder, [_plain(pixels)], False, lambda _: None).parts
    (part,) = find_parts(model.finder, [picture], False, lambda _: None).parts
    assert part.box_cxcywhr == reference.box_cxcywhr
    judged, _ = judge_picture(model, TestPicture(path, name, "bent", "0", None), PixelCounts())
    assert judged.score == meant[2][0]
    labels = [autolabel_folder([p]).labels[0].boxes for p in (plain, path)]
    assert labels[0] == labels[1]


def _plain(pixels: U8Array) -> Picture:
    """Return the pixels as a picture of a data set."""

    class Plain(Picture):
        def read(self) -> U8Array:
            return pixels

    return Plain(Path("plain"), "plain", "", (pixels.shape[0], pixels.shape[1]))
