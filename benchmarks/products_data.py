"""The data sets of `benchmarks.products`, and trials made of their training goods alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_app.cameras.picture_listing import scan_folder
from edge_app.cameras.pictures import read_picture
from edge_app.errors import DataError
from edge_app.records import U8Array
from export.auto_method.anomalies import EVIDENCE_KINDS, with_anomaly
from export.data.dataset import Picture, scan_good_pictures
from export.labels.autolabel import product_fills_frame
from export.labels.segmentation import background_from_border, components, distance_map, work_lab

SETS = (
    "magnetic_tile", "mvtec_screw", "aws_cookies", "dobot_cubes", "screw_presence",
    "mvtec_hazelnut_256", "mvtec_transistor_256",
)  # fmt: skip

RESERVED_SHARE = 1 / 3
"""Of train/good, kept out of the build with --training-goods."""

TRIAL_VERSION = 1
"""Counts up when the trial's pictures would be others."""


def find_sets(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Return the folders of the data sets.

    Raises:
        DataError: one is not there.
    """
    missing = [name for name in names if not (folder / name / "train").is_dir()]
    if missing:
        raise DataError(
            f"{folder} has no data set {', '.join(missing)} (NAME/train/good, NAME/test/good, "
            "NAME/test/KIND): name the folder that holds the sets with --data."
        )
    return {name: folder / name for name in names}


def pictures_of(data: Path, parts: Sequence[str]) -> list[tuple[str, Path]]:
    """Return (relative name, path) of the pictures below some of a set's folders."""
    return [
        (path.relative_to(data).as_posix(), path)
        for part in parts
        for path in scan_folder(data / part).pictures
    ]


def test_counts(names: Sequence[tuple[str, Path]]) -> tuple[int, int]:
    """Return how many pictures of test/good and of other test/KIND there are; none is opened."""
    test = [name for name, _ in names if name.startswith("test/")]
    good = sum(name.startswith("test/good/") for name in test)
    return good, len(test) - good


test_counts.__test__ = False  # type: ignore[attr-defined]  # not a test case for pytest


def reserve(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return (built with, reserved): a fixed third by digest, whatever the names and the order.

    Near-duplicates of one another may come to lie on both sides: the false alarms are then
    flattered.
    """
    ordered = sorted(pictures, key=lambda p: hashlib.sha256(p.sha256.encode()).hexdigest())
    count = max(1, round(RESERVED_SHARE * len(ordered)))
    return ordered[count:], ordered[:count]


def training_goods_trial(data: Path, name: str, work: Path) -> Path:
    """Return a data set made of a set's train/good alone; no test picture is opened.

    train/good: two thirds as they are. test/good: the reserved third. test/KIND: each reserved
    picture with one synthetic anomaly of KIND on the product, where an anomaly can be made. Its
    folder's name is no public set's, so that nothing about it is logged as a look.
    """
    good = scan_good_pictures(data)
    built, reserved = reserve(good.pictures)
    content = [TRIAL_VERSION, sorted(p.sha256 for p in good.pictures)]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
    folder = work / "training-goods" / digest / f"{name}-training-goods"
    if folder.is_dir():
        return folder
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for part, pictures in (("train/good", built), ("test/good", reserved)):
        (partial / part).mkdir(parents=True)
        for picture in pictures:
            shutil.copyfile(picture.path, partial / part / _flat(picture))
    _write_anomalies(reserved, partial / "test")
    partial.rename(folder)
    return folder


def _flat(picture: Picture) -> str:
    """Return a file name that two pictures of different sub-folders do not share."""
    return f"{picture.sha256[:12]}{picture.path.suffix}"


def _write_anomalies(pictures: Sequence[Picture], test: Path) -> None:
    fills_frame, _ = product_fills_frame([p.path for p in pictures])
    for picture in pictures:
        pixels = read_picture(picture.path)
        mask = None if fills_frame else product_mask(pixels)
        rng = np.random.default_rng(int(picture.sha256[:16], 16))
        for kind in EVIDENCE_KINDS:
            try:
                changed = with_anomaly(rng, pixels, mask, kind)
            except DataError:  # none can be made on this picture
                continue
            (test / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(test / kind / f"{picture.sha256[:12]}.png"), changed)


def product_mask(pixels_hwc: U8Array) -> U8Array | None:
    """Return where the largest separate object is, uint8 (h, w), 255 inside; None for no object.

    Args:
        pixels_hwc: uint8 (h, w, 3) BGR.
    """
    lab = work_lab(pixels_hwc)
    found = components(distance_map(lab, background_from_border(lab)))
    if not found:
        return None
    largest = max(found, key=lambda c: c.area_px).mask_hw.astype(np.uint8) * 255
    h, w = pixels_hwc.shape[:2]
    return np.asarray(cv2.resize(largest, (w, h), interpolation=cv2.INTER_NEAREST), np.uint8)
