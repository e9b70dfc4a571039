"""Lens distortion and millimetres of a camera, from pictures of a flat checkerboard.

The first view defines the plane: the board lies where the products lie. Further views, with the
board at all angles and in all corners of the picture, give the lens distortion.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edge_app.cameras.picture_figures import grey
from edge_app.cameras.protocol import Camera
from edge_app.errors import ConfigError, EndOfStream, FrameCorrupt, FrameTimeout
from edge_app.imaging.camera_calibration import Geometry, Lens, save_geometry
from edge_app.records import F32Array, F64Array, U8Array

READ_SLICE_S = 0.5

MIN_LENS_VIEWS = 5
"""Zhang's method needs three; five average out some of the noise."""

MIN_MOVE_SHARE = 0.05
"""A view counts as new when the board has moved by this share of the picture's width: the same view
twice adds no information."""

MAX_PLANE_RMS_SHARE = 0.05
"""If corners deviate by more than this share of a square (root mean square), the board is not flat
or the picture is distorted: the camera needs its lens calibrated, or the views are wrong."""


def find_corners(pixels_hwc: U8Array, corners: tuple[int, int]) -> F32Array | None:
    """Return a board's inner corners, (n, 2) in pixels to a fraction, row by row; None if unseen.

    Args:
        corners: inner corners as (columns, rows).
    """
    found, points = cv2.findChessboardCornersSB(
        grey(pixels_hwc), corners, flags=cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY
    )
    return np.asarray(points, np.float32).reshape(-1, 2) if found else None


def geometry_of(
    views: list[F32Array], frame_hw: tuple[int, int], corners: tuple[int, int], square_mm: float
) -> Geometry:
    """Return the calibration that fits the views.

    Args:
        views: (n, 2) corners each; one gives millimetres only, MIN_LENS_VIEWS the lens as well.

    Raises:
        ConfigError: too few views for the lens, or the board does not fit a plane.

    Source: Zhang, A flexible new technique for camera calibration, 2000, as cv2.calibrateCamera.
    """
    if 1 < len(views) < MIN_LENS_VIEWS:
        raise ConfigError(
            f"{len(views)} views of the board: one is enough for millimetres, the lens needs "
            f"{MIN_LENS_VIEWS} or more. Show the board at more angles, or ask for --views 1."
        )
    board_mm = _board_mm(corners, square_mm)  # (n, 2)
    lens, lens_rms_px = _fit_lens(views, board_mm, frame_hw) if len(views) > 1 else (None, None)
    straight = _straight(views[0], lens)
    to_mm, _ = cv2.findHomography(straight, board_mm)
    if to_mm is None:
        raise ConfigError("The board's corners do not fit a plane. Take the first view again.")
    fitted = cv2.perspectiveTransform(straight.reshape(-1, 1, 2), to_mm).reshape(-1, 2)
    plane_rms_mm = float(np.sqrt(((fitted - board_mm) ** 2).sum(axis=1).mean()))
    if plane_rms_mm > MAX_PLANE_RMS_SHARE * square_mm:
        raise ConfigError(
            f"The first view is off a flat board by {plane_rms_mm:.2f} mm (root mean square), "
            f"allowed {MAX_PLANE_RMS_SHARE * square_mm:.2f}. Lay the board flat; with a wide lens "
            f"show at least {MIN_LENS_VIEWS} views."
        )
    about = {
        "corners": list(corners),
        "square_mm": square_mm,
        "views": len(views),
        "lens_rms_px": None if lens_rms_px is None else round(lens_rms_px, 4),
        "plane_rms_mm": round(plane_rms_mm, 4),
    }
    return Geometry(frame_hw, lens, np.asarray(to_mm, np.float64), about)


def calibrate_camera(
    camera: Camera, file: Path, corners: tuple[int, int], square_mm: float, views: int
) -> Iterator[str]:
    """Collect views, fit, write the file; yields a line for every step.

    Raises:
        CameraUnavailable: the camera cannot be opened, or goes away.
        ConfigError: no board was seen, too few views, no fit, or the file cannot be written.
    """
    yield "First view: lay the board where the products lie."
    found: list[F32Array] = []
    frame_hw = (0, 0)
    for points, frame_hw in _views(camera, corners):
        if found and not _is_another(points, found, frame_hw):
            continue
        found.append(points)
        yield f"view {len(found)} of {views}: the board is seen"
        if len(found) == views:
            break
        if len(found) == 1:
            yield "Further views: tilt it, and show it in all corners of the picture."
    if not found:
        raise ConfigError(
            f"No board with {corners[0]} x {corners[1]} inner corners was seen. Count the corners "
            "where four squares meet; the whole board must be in the picture, with a white edge."
        )
    geometry = geometry_of(found, frame_hw, corners, square_mm)
    save_geometry(geometry, file)
    about = geometry.about
    if about["lens_rms_px"] is not None:
        yield f"lens: off by {about['lens_rms_px']:.2f} px (root mean square)"
    yield f"plane: off by {about['plane_rms_mm']:.3f} mm (root mean square)"
    yield f"{file}: name it as calibration_file in the camera's table"


def _views(camera: Camera, corners: tuple[int, int]) -> Iterator[tuple[F32Array, tuple[int, int]]]:
    """Yield the corners in every picture that shows the board, with the picture's size."""
    camera.open()
    try:
        while True:
            try:
                frame = camera.read(READ_SLICE_S)
            except (FrameTimeout, FrameCorrupt):
                continue
            except EndOfStream:
                return
            points = find_corners(frame.pixels_hwc, corners)
            if points is not None:
                yield points, frame.hw
    finally:
        camera.close()


def _is_another(points: F32Array, known: list[F32Array], frame_hw: tuple[int, int]) -> bool:
    least = min(float(np.linalg.norm(points - other, axis=1).mean()) for other in known)
    return least >= MIN_MOVE_SHARE * frame_hw[1]


def _board_mm(corners: tuple[int, int], square_mm: float) -> F32Array:
    """Return where the inner corners are on the board, (n, 2), row by row."""
    columns, rows = corners
    y, x = np.divmod(np.arange(columns * rows), columns)
    return (np.stack([x, y], axis=1) * square_mm).astype(np.float32)


def _fit_lens(
    views: list[F32Array], board_mm: F32Array, frame_hw: tuple[int, int]
) -> tuple[Lens, float]:
    board_xyz = np.hstack([board_mm, np.zeros((len(board_mm), 1), np.float32)])  # (n, 3)
    rms_px, matrix, distortion, _, _ = cv2.calibrateCamera(
        [board_xyz] * len(views), views, (frame_hw[1], frame_hw[0]), np.eye(3), np.zeros(5)
    )
    return Lens(np.asarray(matrix, np.float64), np.asarray(distortion, np.float64).ravel()), rms_px


def _straight(points_xy: F32Array, lens: Lens | None) -> F64Array:
    """Return corners as they lie in the straight picture, (n, 2)."""
    if lens is None:
        return points_xy.astype(np.float64)
    bent = points_xy.reshape(-1, 1, 2).astype(np.float64)
    straight = cv2.undistortPoints(bent, lens.matrix, lens.distortion, P=lens.matrix)
    return np.asarray(straight, np.float64).reshape(-1, 2)
