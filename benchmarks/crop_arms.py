"""What the upright crop is worth: one bundle's parts cut three ways, for `benchmarks.accuracy`.

    python -m benchmarks.crop_arms --bundle B --data DIR --out ARMS
    python -m benchmarks.accuracy --crops ARMS/upright/train.npz --test ARMS/upright/test.npz ...

raw: the whole picture, 256 × 256. axis: a square round the product that the bundle's detector
found, at the part's scale, not turned. upright: the crop that the bundle's inspector sees, after
detector, direction cue and alignment. A contact sheet of 50 upright crops is written beside them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.pictures import read_picture
from edge_app.errors import DataError
from edge_app.imaging.overlay import contact_sheet
from edge_app.imaging.upright_crop import CropSpec, crop_box, upright_crop
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.model.looks import whole_products
from edge_app.records import BoxCxcywhr, U8Array
from export.data.dataset import scan_good_pictures
from export.evaluation.data import scan_test_pictures
from export.pose.silhouette import product_silhouette

ARMS = ("raw", "axis", "upright")
RAW_HW = (256, 256)
SHEET_CROPS, SHEET_COLUMNS = 50, 5
SIDE_STEP_PX = 32


def main() -> None:
    """Write DIR/ARM/train.npz and DIR/ARM/test.npz for the three arms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="in MVTec AD's layout")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(read_bundle(options.bundle))
    train = [p.path for p in scan_good_pictures(options.data).pictures]
    tests = scan_test_pictures(options.data, ()).kept
    trained = _cut_all(model, train)
    tested = _cut_all(model, [p.path for p in tests])
    kinds = np.array([p.kind for p in tests])
    for arm in ARMS:
        folder = options.out / arm
        folder.mkdir(parents=True, exist_ok=True)
        crops = trained[arm]
        masks: dict[str, Any] = {}
        if arm == "upright":
            masks["mask"] = product_silhouette(crops, np.full(crops.shape[1:3], 255, np.uint8))
        np.savez_compressed(folder / "train.npz", crops=crops, **masks)
        np.savez_compressed(folder / "test.npz", crops=tested[arm], kinds=kinds)
        print(f"{arm}: {len(crops)} to train, {len(kinds)} to test, {crops.shape[1:3]} pixels")
    picks = np.linspace(0, len(trained["upright"]) - 1, SHEET_CROPS).astype(int)
    sheet = contact_sheet([trained["upright"][i] for i in picks], SHEET_COLUMNS)
    cv2.imwrite(str(options.out / "upright.png"), sheet)


def _cut_all(model: LoadedModel, paths: Sequence[Path]) -> dict[str, U8Array]:
    """Return every picture's one part, cut in each way: arm → uint8 (n, h, w, 3)."""
    cut: dict[str, list[U8Array]] = {arm: [] for arm in ARMS}
    for path in paths:
        pixels = read_picture(path)
        box, upright = _only_part(model, pixels, path.name)
        resized = cv2.resize(pixels, RAW_HW[::-1], interpolation=cv2.INTER_AREA)
        cut["raw"].append(np.asarray(resized, np.uint8))
        cut["axis"].append(_axis_crop(pixels, box, model.spec))
        cut["upright"].append(upright)
    return {arm: np.stack(crops) for arm, crops in cut.items()}


def _only_part(model: LoadedModel, pixels: U8Array, name: str) -> tuple[BoxCxcywhr, U8Array]:
    products = whole_products(model, pixels)
    if len(products) != 1:
        raise DataError(f"{name} shows {len(products)} whole products, exactly one is expected.")
    return products[0]


def _axis_crop(pixels: U8Array, box: BoxCxcywhr, spec: CropSpec) -> U8Array:
    """Return the square round a part whose side is the upright crop's length, at its scale."""
    side_px = crop_box(box, spec)[2]
    side = round(max(spec.crop_hw) / SIDE_STEP_PX) * SIDE_STEP_PX
    square: BoxCxcywhr = (box[0], box[1], side_px, side_px, 0.0)
    return upright_crop(pixels, square, CropSpec((side, side), 0.0))


if __name__ == "__main__":
    main()
