"""One row per picture for evaluation.html: original, map, overlay and mask, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge_app.imaging.drawing import draw_outline
from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.overlay import STATE_BGR, blend_map, contact_sheet
from edge_app.imaging.upright_crop import crop_corners
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.looks import Look
from edge_app.records import Defect, F32Array, PointXy, U8Array, VerdictState
from export.evaluation.pixel_metrics import BoolArray

PANEL_WH = (280, 220)
"""A panel's largest width and height in pixels: four of them fit a page."""

MARGIN = 0.05
"""Of the shown region's longer side, added round products and mask."""


def row_of(
    model: LoadedModel,
    frame: U8Array,
    looks: Sequence[Look],
    defects: Sequence[Defect],
    map_hw: F32Array,
    mask: BoolArray | None,
) -> U8Array:
    """Return the panels, uint8 (h, w, 3): original, map, overlay and, where there is one, mask.

    They show the products and the mask with a margin, or the whole picture if nothing was found.

    Args:
        map_hw: float32, at the frame's size.
    """
    x0, y0, x1, y1 = _region_xyxy(model, frame, looks, mask)
    stroke = max(1, round(max((x1 - x0) / PANEL_WH[0], (y1 - y0) / PANEL_WH[1])))
    panels = [frame, _coloured(model, map_hw), _overlay(model, frame, looks, defects, stroke)]
    if mask is not None:
        panels.append(np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2))
    return contact_sheet([_fitted(p[y0:y1, x0:x1]) for p in panels], len(panels), gap_px=4)


def _region_xyxy(
    model: LoadedModel, frame: U8Array, looks: Sequence[Look], mask: BoolArray | None
) -> tuple[int, int, int, int]:
    h, w = frame.shape[:2]
    points: list[PointXy] = [p for k in looks for p in crop_corners(k.box_cxcywhr, model.spec)]
    if not points:
        return 0, 0, w, h
    if mask is not None:
        ys, xs = np.nonzero(mask)
        points += [(float(xs.min()), float(ys.min())), (float(xs.max()), float(ys.max()))]
    xy = np.array(points)  # (n, 2)
    air = MARGIN * float(np.ptp(xy, axis=0).max())
    (x0, y0), (x1, y1) = np.floor(xy.min(axis=0) - air), np.ceil(xy.max(axis=0) + air) + 1
    return max(0, int(x0)), max(0, int(y0)), min(w, int(x1)), min(h, int(y1))


def _coloured(model: LoadedModel, map_hw: F32Array) -> U8Array:
    """Return the map in colours on the overlay's absolute scale, 0 .. 2 × map threshold."""
    top = 2 * model.limits.map_threshold
    level = np.clip(map_hw / (top if top > 0 else 1.0), 0, 1)
    return np.asarray(
        cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO), np.uint8
    )


def _overlay(
    model: LoadedModel,
    frame: U8Array,
    looks: Sequence[Look],
    defects: Sequence[Defect],
    stroke: int,
) -> U8Array:
    picture: U8Array = frame.copy()
    for look in looks:
        corners_xy = crop_corners(look.box_cxcywhr, model.spec)
        picture = blend_map(picture, look.anomaly.map_hw, corners_xy, model.limits.map_threshold)
    for look in looks:
        is_ng = look.anomaly.score >= model.limits.score_threshold
        colour = STATE_BGR[VerdictState.NG if is_ng else VerdictState.OK]
        draw_outline(picture, corners_of(look.box_cxcywhr), colour, stroke, is_dashed=False)
    for defect in defects:
        x0, y0, x1, y1 = defect.box_xyxy
        box_xy = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        draw_outline(picture, box_xy, STATE_BGR[VerdictState.NG], stroke, defect.weak_localisation)
    return picture


def _fitted(panel: U8Array) -> U8Array:
    h, w = panel.shape[:2]
    scale = min(PANEL_WH[0] / w, PANEL_WH[1] / h)
    size_wh = (max(1, round(w * scale)), max(1, round(h * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(panel, size_wh, interpolation=how), np.uint8)
