"""Crops for `benchmarks.accuracy`, cut by one written-down recipe, so that methods can be compared.

Whole: the picture is the product, resized to the crop. Upright: the largest segmented area, turned
along its principal axis, wide end to the left, with a margin, never squeezed. Skewness of the area,
which auto-labelling goes by, lays 26 of 320 screws the other way round; the ends' widths none.

`DIR/train/good`, `DIR/test/<kind>` and `DIR/ground_truth/<kind>` are read (MVTec AD's layout).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_app.cameras.pictures import read_picture
from edge_app.errors import DataError
from edge_app.imaging.oriented_box import wrap_turn
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.records import BoxCxcywhr, U8Array
from export.data.dataset import scan_good_pictures
from export.evaluation.data import GOOD, TestPicture, scan_test_pictures
from export.evaluation.pixel_metrics import as_mask
from export.labels.autolabel import segment
from export.labels.part_shape import PartShape, box_of
from export.pose.silhouette import product_silhouette

END_SHARE = 0.15
"""Part of the length at each end whose width tells which end is the wide one."""

Cut = Callable[[U8Array], U8Array]
"""Cuts a picture, or its mask, as one picture's product lies."""


def main() -> None:
    """Write train.npz and test.npz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a data set in MVTec AD's layout")
    parser.add_argument("--out", type=Path, required=True, help="folder for train.npz and test.npz")
    parser.add_argument("--crop-hw", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--upright", action="store_true", help="cut the part out and turn it")
    parser.add_argument("--margin", type=float, default=0.12, help="of the box, on each side")
    options = parser.parse_args()
    spec = CropSpec((options.crop_hw[0], options.crop_hw[1]), options.margin)
    options.out.mkdir(parents=True, exist_ok=True)
    good, bad = write_crops(options.data, options.out, spec, options.upright)
    print(f"{good} good crops for training, {bad} for testing in {options.out}")


def write_crops(data: Path, out: Path, spec: CropSpec, is_upright: bool) -> tuple[int, int]:
    """Write train.npz (crops, mask) and test.npz (crops, kinds, regions); return their lengths.

    Raises:
        DataError: pictures are missing, or one shows no part.
    """
    trained = [p.read() for p in scan_good_pictures(data).pictures]
    crops = np.stack([cutter(x, spec, is_upright)(x) for x in trained])
    kept: dict[str, Any] = {"crops": crops}
    if is_upright:
        kept["mask"] = product_silhouette(crops, np.full(spec.crop_hw, 255, np.uint8))
    np.savez_compressed(out / "train.npz", **kept)
    tests = scan_test_pictures(data, ()).kept
    pairs = [_cut_test(p, spec, is_upright) for p in tests]
    arrays: dict[str, Any] = {
        "crops": np.stack([crop for crop, _ in pairs]),
        "kinds": np.array([p.kind for p in tests]),
    }
    if all(p.is_good or p.mask is not None for p in tests):
        arrays["regions"] = np.stack([region for _, region in pairs])
    np.savez_compressed(out / "test.npz", **arrays)
    return len(crops), len(tests)


def _cut_test(picture: TestPicture, spec: CropSpec, is_upright: bool) -> tuple[U8Array, U8Array]:
    """Return the crop and its defect as uint8 (h, w) 0 / 1; all 0 without a mask."""
    pixels = read_picture(picture.path)
    cut = cutter(pixels, spec, is_upright)
    if picture.kind == GOOD or picture.mask is None:
        return cut(pixels), np.zeros(spec.crop_hw, np.uint8)
    mask = as_mask(read_picture(picture.mask)).astype(np.uint8)
    return cut(pixels), (cut(np.dstack([mask * 255] * 3))[:, :, 0] > 127).astype(np.uint8)


def cutter(pixels_hwc: U8Array, spec: CropSpec, is_upright: bool) -> Cut:
    """Return what cuts this picture and everything that lies on it.

    Raises:
        DataError: nothing differs from the background.
    """
    if not is_upright:
        return lambda x: np.asarray(
            cv2.resize(x, spec.crop_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8
        )
    found = segment(pixels_hwc)
    shapes = found.whole + found.at_border
    if not shapes:
        raise DataError("A picture shows no part on a background: use whole pictures instead.")
    largest = max(shapes, key=lambda shape: shape.area_px)
    box = wide_end_left(largest, box_of(largest, "elongated"))
    return lambda x: upright_crop(x, box, spec)


def wide_end_left(shape: PartShape, box_cxcywhr: BoxCxcywhr) -> BoxCxcywhr:
    """Return the box, turned by half a turn if the part's wider end is on its right."""
    cx, cy, w, h, angle_rad = box_cxcywhr
    axis = np.array([math.cos(angle_rad), math.sin(angle_rad)])
    offset = shape.outline_xy - np.array([cx, cy])
    along, across = offset @ axis, offset @ np.array([-axis[1], axis[0]])
    left = np.ptp(across[along < along.min() + END_SHARE * w])
    right = np.ptp(across[along > along.max() - END_SHARE * w])
    return (cx, cy, w, h, wrap_turn(angle_rad + math.pi)) if right > left else box_cxcywhr


if __name__ == "__main__":
    main()
