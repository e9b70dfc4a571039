"""A checkerboard drawn as a known camera sees it: what a calibration has to find out."""

from __future__ import annotations

import cv2
import numpy as np

from edge_app.records import F64Array, U8Array

HW = (600, 800)
CORNERS = (8, 5)
SQUARE_MM = 10.0
MATRIX = np.array([[900.0, 0, 410], [0, 905.0, 290], [0, 0, 1]])
BENT = np.array([-0.22, 0.06, 0.0005, -0.0004, 0.0])
NO_BEND = np.zeros(5)


def board_pixels(scale: int = 20) -> U8Array:
    """A board of 9 x 6 squares with a white edge of one square, `scale` pixels a square."""
    squares = np.indices((CORNERS[1] + 1, CORNERS[0] + 1)).sum(axis=0) % 2
    inked = np.where(squares, 255, 20).astype(np.uint8).repeat(scale, 0).repeat(scale, 1)
    return np.pad(inked, scale, constant_values=255)


def seen(turn_xyz: tuple[float, float, float], at_mm: tuple[float, float, float],
         distortion: F64Array) -> U8Array:  # fmt: skip
    """Return the picture of a board that is turned (radians) and placed before the camera."""
    scale = 20
    board = board_pixels(scale)
    rotation, _ = cv2.Rodrigues(np.array(turn_xyz, np.float64))
    ys, xs = np.indices(HW).reshape(2, -1).astype(np.float64)
    bent = np.stack([xs, ys], 1).reshape(-1, 1, 2)
    rays = cv2.undistortPoints(bent, MATRIX, distortion).reshape(-1, 2)
    rays = np.hstack([rays, np.ones((len(rays), 1))]) @ rotation  # into the board's axes
    origin = -rotation.T @ np.array(at_mm, np.float64)
    hit = origin + rays * (-origin[2] / rays[:, 2:])  # (n, 3) on the board, mm
    middle = np.array([(CORNERS[0] + 1) / 2, (CORNERS[1] + 1) / 2]) * SQUARE_MM
    at_px = ((hit[:, :2] + middle) / SQUARE_MM + 1) * scale - 0.5
    maps = at_px.astype(np.float32).reshape(*HW, 2)
    x, y = maps[..., 0].copy(), maps[..., 1].copy()
    grey = cv2.remap(board, x, y, cv2.INTER_LINEAR, borderValue=(128,))
    bgr = cv2.cvtColor(cv2.GaussianBlur(grey, (3, 3), 0), cv2.COLOR_GRAY2BGR)
    return np.asarray(bgr, dtype=np.uint8)


FLAT = ((0.0, 0.0, 0.1), (0.0, 0.0, 170.0))
POSES = [
    FLAT,
    ((0.35, 0.0, 0.0), (-25.0, -10.0, 190.0)),
    ((-0.35, 0.1, 0.2), (25.0, 12.0, 190.0)),
    ((0.0, 0.4, -0.1), (20.0, -15.0, 185.0)),
    ((0.1, -0.4, 0.3), (-20.0, 15.0, 185.0)),
    ((0.3, 0.3, 0.0), (0.0, 20.0, 200.0)),
    ((-0.3, -0.3, 0.5), (-5.0, -20.0, 200.0)),
]
