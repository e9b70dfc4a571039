"""DeepPCB's boards: read, drawn, taken anew, and where their defects are marked.

A board is `N_test.jpg`, its defect-free `N_temp.jpg`, and `N.txt`: one `x1 y1 x2 y2 kind` a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.errors import DataError
from edge_app.records import U8Array

PATCH_STRIDE = 8
"""Pixels per step of the patch grid."""

BOX_MARGIN_PX = 12
"""A peak this far beyond a box still counts as on it: one and a half steps of the patch grid."""

REACH_PX = 34
"""Half of block 4's receptive field (67 px), rounded up: further away a patch sees no defect."""


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """One board.

    Attributes:
        template: uint8 (h, w, 3), without defects.
        test: uint8 (h, w, 3), with defects.
        boxes_xyxy: (k, 4) int64, the marked defects, in pixels.
    """

    template: U8Array
    test: U8Array
    boxes_xyxy: NDArray[np.int64]


def drawn(folder: Path, trained: int, tested: int, seed: int) -> tuple[list[Board], list[Board]]:
    """Return boards to fit and boards to judge, drawn at random, no board in both.

    Raises:
        DataError: the folder holds fewer boards.
    """
    names = sorted(path.name.removesuffix("_temp.jpg") for path in folder.glob("*_temp.jpg"))
    if len(names) < trained + tested:
        raise DataError(
            f"{trained} + {tested} boards are wanted, {folder.name} holds {len(names)} "
            "(N_temp.jpg): give smaller --trained and --tested."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    boards = [read_board(folder, names[i]) for i in order[: trained + tested]]
    return boards[tested:], boards[:tested]


def read_board(folder: Path, name: str) -> Board:
    """Return one board.

    Raises:
        DataError: one of its files is missing or no picture.
    """
    pictures = [cv2.imread(str(folder / f"{name}_{kind}.jpg")) for kind in ("temp", "test")]
    marks = folder / f"{name}.txt"
    if pictures[0] is None or pictures[1] is None or not marks.is_file():
        raise DataError(
            f"Board {name} needs {name}_temp.jpg, {name}_test.jpg and {name}.txt: one is missing "
            "or cannot be read."
        )
    boxes = np.loadtxt(marks, dtype=np.int64, ndmin=2)[:, :4]
    return Board(np.asarray(pictures[0], np.uint8), np.asarray(pictures[1], np.uint8), boxes)


def reimaged(template_hwc: U8Array, rng: np.random.Generator) -> U8Array:
    """Return the template as if taken anew: moved, turned a little, and cut to two levels again.

    Up to 4 px and 0.3 degrees; blur and noise before the threshold roughen the edges a little.
    """
    h, w = template_hwc.shape[:2]
    shift = np.zeros((2, 3))
    shift[:, 2] = rng.uniform(-4, 4, 2)
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -0.3 + 0.6 * rng.random(), 1.0) + shift
    grey = cv2.cvtColor(template_hwc, cv2.COLOR_BGR2GRAY).astype(np.float32)
    moved = cv2.warpAffine(grey, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
    noise = cv2.GaussianBlur(rng.normal(0, 40, (h, w)).astype(np.float32), (0, 0), 1.5)
    soft = cv2.GaussianBlur(moved, (0, 0), 1.0) + noise
    return np.repeat(((soft > 127) * 255).astype(np.uint8)[:, :, None], 3, 2)


def defect_grid(board: Board, grid_hw: tuple[int, ...], margin_px: int) -> NDArray[np.bool_]:
    """Return (gh, gw), true where a step of the patch grid touches a marked defect's margin."""
    on = np.zeros(grid_hw, np.bool_)
    for x1, y1, x2, y2 in board.boxes_xyxy:
        low = [max(0, int(v) - margin_px) // PATCH_STRIDE for v in (y1, x1)]
        high = [(int(v) + margin_px) // PATCH_STRIDE + 1 for v in (y2, x2)]
        on[low[0] : high[0], low[1] : high[1]] = True
    return on
