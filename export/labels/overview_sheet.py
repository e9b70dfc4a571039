"""The auto-labels on one picture, for a person to look through: doubtful ones first, in red."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.imaging.oriented_box import corners_of
from edge_app.imaging.upright_crop import LETTERBOX_GREY, letterbox
from edge_app.records import F64Array, U8Array
from export.data.yolo_dataset import read_bgr
from export.labels.records import AutoLabel, LabelReport

TILE_HW = (200, 240)
CAPTION_PX = 18
COLUMNS = 6
SHEET_PICTURES = 60

SURE_BGR = (60, 200, 60)
UNSURE_BGR = (40, 40, 230)
CUT_BGR = (0, 170, 255)


def overview_sheet(report: LabelReport, most: int = SHEET_PICTURES) -> U8Array:
    """Return a contact sheet: uint8 (h, w, 3), BGR.

    Green: the boxes, with a line from the middle along the direction where one was found.
    Red caption: a doubtful picture and why. Orange: parts cut by the border.
    """
    chosen = _chosen(report.labels, most)
    tiles = [_tile(report.paths[i], report.labels[i]) for i in chosen]
    tiles += [_blank()] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    return np.vstack(rows)


def write_overview(report: LabelReport, path: Path, most: int = SHEET_PICTURES) -> None:
    """Write the contact sheet as PNG; the folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", overview_sheet(report, most))[1].tobytes())


def _chosen(labels: Sequence[AutoLabel], most: int) -> list[int]:
    """Return which pictures to show: all doubtful ones that fit, then sure ones evenly spread."""
    unsure = [i for i, label in enumerate(labels) if label.unsure][:most]
    sure = [i for i, label in enumerate(labels) if not label.unsure]
    places = min(most - len(unsure), len(sure))
    return unsure + [sure[i * len(sure) // places] for i in range(places)]


def _tile(path: Path, label: AutoLabel) -> U8Array:
    picture, mapping = letterbox(read_bgr(path), TILE_HW)
    pad = np.array([mapping.pad_x, mapping.pad_y])

    def placed(points_xy: F64Array) -> list[NDArray[np.int32]]:
        return [np.rint((points_xy + 0.5) * mapping.scale + pad).astype(np.int32)]

    for shape in label.cut:
        cv2.polylines(picture, placed(shape.outline_xy.astype(np.float64)), True, CUT_BGR, 1)
    for box, is_directed in zip(label.boxes, label.has_direction, strict=True):
        corners = np.array(corners_of(box))
        cv2.polylines(picture, placed(corners), True, SURE_BGR, 1, cv2.LINE_AA)
        if is_directed:
            arrow = np.array([corners.mean(axis=0), (corners[1] + corners[2]) / 2])
            cv2.polylines(picture, placed(arrow), False, SURE_BGR, 1, cv2.LINE_AA)
    return np.vstack([picture, _caption(path, label)])


def _caption(path: Path, label: AutoLabel) -> U8Array:
    strip = np.zeros((CAPTION_PX, TILE_HW[1], 3), np.uint8)
    text = f"{path.stem}: {label.unsure[0]}" if label.unsure else path.stem
    colour = UNSURE_BGR if label.unsure else SURE_BGR
    cv2.putText(strip, text, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.34, colour, 1, cv2.LINE_AA)
    return strip


def _blank() -> U8Array:
    return np.full((TILE_HW[0] + CAPTION_PX, TILE_HW[1], 3), LETTERBOX_GREY, np.uint8)
