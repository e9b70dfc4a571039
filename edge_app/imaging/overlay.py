"""Drawing on copies of frames: boxes, verdicts, defects and the anomaly map.

Used by the page, the evidence pictures and the demo. Nothing here touches the pixels it is given.
Each state differs in colour, in line style and in its word, so none relies on colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_app.errors import ShapeError
from edge_app.imaging.drawing import INK, PAPER, Bgr, Pen, draw_label, draw_outline
from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.upright_crop import LETTERBOX_GREY
from edge_app.records import (
    Anomaly,
    BoxCxcywhr,
    Defect,
    F32Array,
    F64Array,
    FrameReport,
    PartVerdict,
    PointXy,
    U8Array,
    VerdictState,
)

PENDING: Bgr = (190, 190, 190)
STATE_BGR: dict[VerdictState, Bgr] = {
    VerdictState.OK: (148, 199, 46),
    VerdictState.NG: (64, 64, 255),
    VerdictState.NOT_INSPECTED: (0, 176, 255),
}
"""Green with blue in it, red, amber: they differ in lightness too, for red-green colour
blindness."""

SUSPECT: Bgr = (74, 210, 255)
"""A part that is OK but suspect: yellow, a thick dashed line, and its word."""

MAP_MAX_ALPHA = 0.65
MAP_CLEAR_BELOW = 0.25
"""Of the colour scale, where the threshold is 0.5: below it the frame shows through unchanged."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedMap:
    """A part's latest anomaly with the crop's outline and the part's box in the judged frame."""

    anomaly: Anomaly
    crop_corners_xy: tuple[PointXy, ...]
    box_cxcywhr: BoxCxcywhr


def draw_report(report: FrameReport, map_threshold: float | None = None) -> U8Array:
    """Return a copy of the frame with every part's box, verdict, id and defects on it.

    Args:
        report: the result of one frame. Parts that are entering are outlined in grey.
        map_threshold: the bundle's; when given, the anomaly maps are blended in below the boxes.

    Returns:
        uint8 (h, w, 3) BGR, the frame's size.
    """
    picture = as_bgr(report.frame.pixels_hwc)
    if map_threshold is not None:
        picture = _blend_all(picture, report, map_threshold)
    pen = Pen.for_frame(picture)
    if report.several:
        for found in report.several:  # never one product's verdict on another
            is_cut = found.anomaly is None
            corners_xy = corners_of(found.view.detection.box_cxcywhr)
            _draw_part(picture, corners_xy, None if is_cut else found.verdict, pen)
        return picture
    left = {v.part_id: v for v in report.finished}
    for view in report.views:
        verdict = left.get(view.part_id) or report.verdicts.get(view.part_id)
        corners_xy = corners_of(view.detection.box_cxcywhr)
        is_pending = verdict is None or _is_pending(verdict, report)
        _draw_part(picture, corners_xy, None if is_pending else verdict, pen)
    return picture


def as_bgr(pixels_hwc: U8Array) -> U8Array:
    """Return a writable uint8 (h, w, 3) copy of a colour or grey picture.

    Raises:
        ShapeError: it is empty, not uint8, or has neither 1 nor 3 channels.
    """
    planes = pixels_hwc[..., None] if pixels_hwc.ndim == 2 else pixels_hwc
    if planes.ndim != 3 or planes.shape[2] not in (1, 3) or 0 in planes.shape:
        raise ShapeError(f"a picture must be (h, w, 3) or (h, w) and not empty, got {planes.shape}")
    if planes.dtype != np.uint8:
        raise ShapeError(f"a picture must be uint8, got {planes.dtype}; convert it first")
    return np.array(np.broadcast_to(planes, (*planes.shape[:2], 3)), np.uint8, order="C")


def blend_map(
    pixels_hwc: U8Array,
    map_hw: F32Array,
    crop_corners_xy: Sequence[PointXy],
    map_threshold: float,
) -> U8Array:
    """Return a copy of the picture with an anomaly map laid over the crop's outline.

    The colour scale is absolute: 0 .. 2 × threshold, so the same value has the same colour in
    every picture. A map with a NaN, no usable threshold, or no overlap draws nothing.

    Args:
        pixels_hwc: uint8 (h, w, 3) BGR.
        map_hw: float32 (mh, mw), >= 0.
        crop_corners_xy: 4 points from the crop's top left, clockwise, in frame pixels.
        map_threshold: > 0; the middle of the colour scale.
    """
    picture = as_bgr(pixels_hwc)
    if not _is_drawable(map_hw, crop_corners_xy, map_threshold):
        return picture
    x0, y0, x1, y1 = _overlap_xyxy(crop_corners_xy, picture)
    if x0 >= x1 or y0 >= y1:
        return picture
    corners_xy = np.array(crop_corners_xy, np.float64) - (x0, y0)  # (4, 2) in the overlap
    level = _warp_map(map_hw, corners_xy, (y1 - y0, x1 - x0)) / (2 * map_threshold)
    _tint(picture[y0:y1, x0:x1], np.clip(level, 0, 1).astype(np.float32))
    return picture


def contact_sheet(tiles: Sequence[U8Array], columns: int, gap_px: int = 8) -> U8Array:
    """Return the pictures in rows of `columns`, each fitted into a cell, aspect preserved.

    Raises:
        ShapeError: there are no tiles, fewer than one column, or a tile is not a picture.
    """
    if not tiles or columns < 1:
        raise ShapeError(f"a sheet needs tiles and columns >= 1, got {len(tiles)} and {columns}")
    pictures = [as_bgr(tile) for tile in tiles]
    cell_h, cell_w = (max(p.shape[axis] for p in pictures) for axis in (0, 1))
    rows, cols = math.ceil(len(pictures) / columns), min(columns, len(pictures))
    sheet_hw = (rows * (cell_h + gap_px) + gap_px, cols * (cell_w + gap_px) + gap_px)
    sheet = np.full((*sheet_hw, 3), INK, np.uint8)
    for i, picture in enumerate(pictures):
        y = gap_px + (i // columns) * (cell_h + gap_px)
        x = gap_px + (i % columns) * (cell_w + gap_px)
        sheet[y : y + cell_h, x : x + cell_w] = _fit(picture, (cell_h, cell_w))
    return sheet


def _fit(picture: U8Array, cell_hw: tuple[int, int]) -> U8Array:
    h, w = picture.shape[:2]
    scale = min(cell_hw[0] / h, cell_hw[1] / w)
    new_h, new_w = max(1, round(h * scale)), max(1, round(w * scale))
    cell = np.full((*cell_hw, 3), LETTERBOX_GREY // 4, np.uint8)
    y, x = (cell_hw[0] - new_h) // 2, (cell_hw[1] - new_w) // 2
    cell[y : y + new_h, x : x + new_w] = cv2.resize(picture, (new_w, new_h))
    return cell


def _is_drawable(map_hw: F32Array, corners_xy: Sequence[PointXy], threshold: float) -> bool:
    points = np.array(corners_xy, np.float64)
    return bool(
        map_hw.ndim == 2
        and map_hw.size > 0
        and np.isfinite(map_hw).all()
        and points.shape == (4, 2)
        and np.isfinite(points).all()
        and math.isfinite(threshold)
        and threshold > 0
    )


def _overlap_xyxy(corners_xy: Sequence[PointXy], picture: U8Array) -> tuple[int, int, int, int]:
    h, w = picture.shape[:2]
    xs, ys = [p[0] for p in corners_xy], [p[1] for p in corners_xy]
    x0, y0 = max(0, math.floor(min(xs))), max(0, math.floor(min(ys)))
    return x0, y0, min(w, math.ceil(max(xs)) + 1), min(h, math.ceil(max(ys)) + 1)


def _warp_map(map_hw: F32Array, corners_xy: F64Array, out_hw: tuple[int, int]) -> F32Array:
    """Return the map placed in (out_h, out_w) pixels, 0 outside the quadrilateral."""
    mh, mw = map_hw.shape
    edges_xy = np.array([[-0.5, -0.5], [mw - 0.5, -0.5], [mw - 0.5, mh - 0.5]], np.float32)
    matrix = cv2.getAffineTransform(edges_xy, corners_xy[:3].astype(np.float32))
    if abs(np.linalg.det(matrix[:, :2])) < 1e-9:
        return np.zeros(out_hw, np.float32)
    size_wh = (out_hw[1], out_hw[0])
    values = cv2.warpAffine(map_hw, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE)
    inside = np.zeros(out_hw, np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners_xy).astype(np.int32), 1)
    return np.asarray(values * inside, dtype=np.float32)


def _tint(region_hwc: U8Array, level_hw: F32Array) -> None:
    """Colour a region in place: `level` 0..1, 0.5 at the threshold, transparent where low."""
    colours = cv2.applyColorMap((level_hw * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    rising = (level_hw - MAP_CLEAR_BELOW) / (0.5 - MAP_CLEAR_BELOW)
    alpha = (np.clip(rising, 0, 1) * MAP_MAX_ALPHA)[..., None]  # (h, w, 1)
    region_hwc[:] = np.round(region_hwc * (1 - alpha) + colours * alpha).astype(np.uint8)


def _blend_all(picture: U8Array, report: FrameReport, map_threshold: float) -> U8Array:
    if report.several:
        placed = [(found.anomaly, found.crop_corners_xy) for found in report.several]
    else:
        corners = report.crop_corners_xy
        placed = [(found, corners.get(part_id, ())) for part_id, found in report.anomalies.items()]
    for anomaly, corners_xy in placed:
        if anomaly is not None:
            picture = blend_map(picture, anomaly.map_hw, corners_xy, map_threshold)
    return picture


def carry_maps(report: FrameReport, placed: Mapping[str, PlacedMap]) -> FrameReport:
    """Return the report with earlier maps added for parts that were not judged in this frame.

    A part is judged in its first few views only; its map travels on with it until it leaves.
    """
    views = {v.part_id: v for v in report.views}
    carried = {p: placed[p] for p in views if p in placed and p not in report.anomalies}
    if not carried:
        return report
    corners = dict(report.crop_corners_xy)
    for part_id, old in carried.items():
        now_xy = corners_of(views[part_id].detection.box_cxcywhr)
        corners[part_id] = _move(old.crop_corners_xy, _follow(corners_of(old.box_cxcywhr), now_xy))
    anomalies = {**report.anomalies, **{p: old.anomaly for p, old in carried.items()}}
    return replace(report, anomalies=anomalies, crop_corners_xy=corners)


def _move(points_xy: Sequence[PointXy], matrix: F64Array) -> tuple[PointXy, ...]:
    moved = np.array(points_xy, np.float64).reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]
    return tuple((float(x), float(y)) for x, y in moved)


def _is_pending(verdict: PartVerdict, report: FrameReport) -> bool:
    """Return whether the part is still entering the picture and has not been judged."""
    return (
        verdict.state is VerdictState.NOT_INSPECTED
        and verdict.views_judged == 0
        and verdict.part_id not in report.anomalies
        and all(gone.part_id != verdict.part_id for gone in report.finished)
    )


def _draw_part(
    picture: U8Array, corners_xy: Sequence[PointXy], verdict: PartVerdict | None, pen: Pen
) -> None:
    if verdict is None:
        draw_outline(picture, corners_xy, PENDING, pen.width, is_dashed=True)
        return
    colour = SUSPECT if verdict.is_suspect else STATE_BGR[verdict.state]
    is_thick = verdict.state is VerdictState.NG or verdict.is_suspect
    is_dashed = verdict.state is VerdictState.NOT_INSPECTED or verdict.is_suspect
    width = max(3, pen.width * 2) if is_thick else pen.width
    draw_outline(picture, corners_xy, colour, width, is_dashed)
    moved = _follow(verdict.product_corners_xy, corners_xy)
    for defect in verdict.defects:
        _draw_defect(picture, defect, moved, pen)
    draw_label(picture, corners_xy, _label_lines(verdict), colour, pen)


def _follow(from_xy: Sequence[PointXy], to_xy: Sequence[PointXy]) -> F64Array:
    """Return the (2, 3) map that carries a defect along with its part into this frame.

    A verdict's defects lie in the deciding view's frame. A box does not know which corner is its
    first, and parts hardly turn between frames: the corner order that turns least is taken.
    """
    if len(from_xy) != 4:
        return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    old, new = np.array(from_xy, np.float64), np.array(to_xy, np.float64)
    spread = [_turn(old, np.roll(new, k, axis=0)) for k in range(4)]
    new = np.roll(new, int(np.argmin(spread)), axis=0)
    shift = new.mean(axis=0) - old.mean(axis=0)
    u, _, vt = np.linalg.svd((old - old.mean(axis=0)).T @ (new - new.mean(axis=0)))
    turn = (u @ vt).T
    return np.column_stack([turn, old.mean(axis=0) + shift - turn @ old.mean(axis=0)])


def _turn(old_xy: F64Array, new_xy: F64Array) -> float:
    """Return how far the corners lie apart once both centres coincide, in squared pixels."""
    apart = (old_xy - old_xy.mean(axis=0)) - (new_xy - new_xy.mean(axis=0))
    return float((apart**2).sum())


def _draw_defect(picture: U8Array, defect: Defect, moved: F64Array, pen: Pen) -> None:
    """Outline the area, with brackets at some distance around it, so a scratch stays visible."""
    if len(defect.polygon_xy) < 3:
        return
    outline_xy = np.array(_move(defect.polygon_xy, moved))  # (n, 2)
    points = np.round(outline_xy).astype(np.int32)
    cv2.polylines(picture, [points], True, PAPER, pen.width, cv2.LINE_AA)
    air = 5.0 * pen.width
    (x0, y0), (x1, y1) = outline_xy.min(axis=0) - air, outline_xy.max(axis=0) + air
    box_xy = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
    draw_outline(picture, box_xy, STATE_BGR[VerdictState.NG], pen.width, defect.weak_localisation)
    if defect.kind != "unknown":
        draw_label(picture, box_xy, [defect.kind], PAPER, pen)


def _label_lines(verdict: PartVerdict) -> list[str]:
    words = "OK (suspect)" if verdict.is_suspect else verdict.state.value.replace("_", " ")
    share = share_of_limit(verdict.score, verdict.threshold)
    short_id = verdict.part_id.rsplit("-", 1)[-1].lstrip("0") or "0"
    return [words + ("" if share is None else f" {share:.0f}%"), f"part {short_id}"]


def share_of_limit(score: float | None, limit: float) -> float | None:
    """Return a score in percent of its limit, 0 where it is below 0; None: it has no share.

    As the page shows it where a bundle tells no median (`edge_app/page/static/lib/share.js`).
    """
    if score is None or not limit > 0:
        return None
    return max(0.0, 100 * score / limit)
