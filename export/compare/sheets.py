"""The same few test pictures as each method sees them: one row of panels per picture, on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edge_app.bundle.archive import read_bundle
from edge_app.cameras.pictures import read_picture
from edge_app.errors import CameraError
from edge_app.imaging.overlay import contact_sheet
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import JsonObject, U8Array
from export.evaluation.data import TestPicture
from export.evaluation.judge import defects_of, inspected_parts, read_mask
from export.evaluation.pixel_metrics import frame_map
from export.evaluation.sheets import PANEL_WH, row_of
from export.methods.reconstruction import rebuild

DEFECTIVE_ROWS, GOOD_ROWS = 4, 1
"""Pictures shown per method: spread over the kinds, the same for all methods."""

JPEG_QUALITY = 80


def pictures_shown(pictures: Sequence[TestPicture]) -> list[TestPicture]:
    """Return some defective pictures, evenly over the sorted kinds, and a good one."""
    good = [p for p in pictures if p.is_good]
    bad = sorted((p for p in pictures if not p.is_good), key=lambda p: (p.kind, p.name))
    picks = np.linspace(0, len(bad) - 1, min(DEFECTIVE_ROWS, len(bad))).astype(int)
    return [*(bad[i] for i in picks), *good[:GOOD_ROWS]]


def write_rows(
    bundle: Path, pictures: Sequence[TestPicture], reconstruction: Path | None, out: Path
) -> list[JsonObject]:
    """Write one JPEG per readable picture into `out`; return file names and captions.

    Args:
        reconstruction: the method's reconstruction.onnx; adds a panel with the rebuilt crop.

    Raises:
        BundleError, ModelError: a graph cannot be used.
    """
    model = load_model(read_bundle(bundle))
    out.mkdir(parents=True, exist_ok=True)
    rows: list[JsonObject] = []
    for number, picture in enumerate(pictures):
        try:
            frame = read_picture(picture.path)
        except CameraError:
            continue
        row, caption = _row(model, picture, frame, reconstruction)
        file = f"{number:02d}.jpg"
        cv2.imwrite(str(out / file), row, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        rows.append({"file": file, "caption": f"{picture.name}: {caption}"})
    return rows


def _row(
    model: LoadedModel, picture: TestPicture, frame: U8Array, reconstruction: Path | None
) -> tuple[U8Array, str]:
    looks, reason = inspected_parts(model, frame)
    mask, _ = read_mask(picture, frame)
    map_hw = frame_map(looks, model.spec, (int(frame.shape[0]), int(frame.shape[1])))
    row = row_of(model, frame, looks, defects_of(model, looks), map_hw, mask)
    if not looks:
        return row, f"not inspected, {reason}"
    if reconstruction is not None:
        row = _beside(row, rebuild(reconstruction, looks[0].crop))
    score = max(k.anomaly.score for k in looks)
    verdict = "NG" if score >= model.limits.score_threshold else "OK"
    return row, f"{verdict}, score {score:.4g}, threshold {model.limits.score_threshold:.4g}"


def _beside(row: U8Array, rebuilt: U8Array) -> U8Array:
    """Return the row with the rebuilt crop as its last panel."""
    scale = min(PANEL_WH[0] / rebuilt.shape[1], row.shape[0] / rebuilt.shape[0])
    size_wh = (max(1, round(rebuilt.shape[1] * scale)), max(1, round(rebuilt.shape[0] * scale)))
    panel = np.asarray(cv2.resize(rebuilt, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
    last = contact_sheet([panel], 1, gap_px=4)
    canvas = np.full((max(row.shape[0], last.shape[0]), row.shape[1] + last.shape[1], 3), 0)
    canvas[: row.shape[0], : row.shape[1]] = row
    canvas[: last.shape[0], row.shape[1] :] = last
    return canvas.astype(np.uint8)
