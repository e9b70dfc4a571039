"""From camera pixels to undistorted pixels, and to millimetres on the plane of the products.

The lens model (Brown's, as in OpenCV) removes distortion; a homography of the plane gives
millimetres. Both come from a checkerboard, see `edge_app/camera_setup/calibrating.py`. Millimetres
are correct on the plane: something 1 % of the camera's distance above it appears 1 % larger.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.errors import ConfigError, FrameCorrupt
from edge_app.host.small_file import read_small_text
from edge_app.records import Defect, F64Array, JsonObject, PointXy, U8Array

FORMAT = "cropliq-edge-geometry-1"


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """The distortion of the lens.

    Attributes:
        matrix: (3, 3) float64, focal lengths and centre in pixels.
        distortion: (5,) float64, Brown's k1, k2, p1, p2, k3.
    """

    matrix: F64Array
    distortion: F64Array


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """One camera's calibration.

    Attributes:
        frame_hw: (height, width) the calibration was made with; others are refused.
        lens: None if distortion is neglected.
        to_mm: (3, 3) float64 homography from undistorted pixels to millimetres on the plane.
        about: its source and its residual error, for people.
    """

    frame_hw: tuple[int, int]
    lens: Lens | None
    to_mm: F64Array
    about: JsonObject

    def points_mm(self, points_xy: Sequence[PointXy]) -> F64Array:
        """Return points of an undistorted picture on the plane, (n, 2) in mm."""
        pixels = np.asarray(points_xy, np.float64).reshape(-1, 1, 2)
        return np.asarray(cv2.perspectiveTransform(pixels, self.to_mm), np.float64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class ExtentMm:
    """A defect's place and size on the plane.

    Attributes:
        centre_mm: (x, y) from the checkerboard's first inner corner, along its rows and columns.
        size_mm: (length, width) of the smallest enclosing rectangle, longer side first.
        area_mm2: inside the outline.
    """

    centre_mm: PointXy
    size_mm: tuple[float, float]
    area_mm2: float


def extent_mm(defect: Defect, geometry: Geometry) -> ExtentMm | None:
    """Return a defect's extent on the plane; None for an outline without a finite area."""
    if len(defect.polygon_xy) < 3 or not np.isfinite(defect.polygon_xy).all():
        return None  # OpenCV would map NaN to 0
    outline = geometry.points_mm(defect.polygon_xy)
    points = outline.astype(np.float32)
    (cx, cy), sides, _ = cv2.minAreaRect(points)
    length, width = max(sides), min(sides)
    area = abs(float(cv2.contourArea(points)))
    return ExtentMm((float(cx), float(cy)), (float(length), float(width)), area)


class Straightener:
    """Removes the lens distortion from a camera's pictures.

    Args:
        geometry: with a lens.
    """

    def __init__(self, geometry: Geometry, lens: Lens) -> None:
        self._hw = geometry.frame_hw
        h, w = self._hw
        # Fixed-point maps: half the time of float ones, exact to 1/32 pixel.
        self._maps = cv2.initUndistortRectifyMap(
            lens.matrix, lens.distortion, np.eye(3), lens.matrix, (w, h), cv2.CV_16SC2
        )

    def __call__(self, pixels_hwc: U8Array) -> U8Array:
        """Return the undistorted picture, of the same size.

        Raises:
            FrameCorrupt: the picture has another size than the calibration.
        """
        if pixels_hwc.shape[:2] != self._hw:
            h, w = self._hw
            raise FrameCorrupt(
                f"The picture is {pixels_hwc.shape[1]} x {pixels_hwc.shape[0]}, the camera was "
                f"calibrated at {w} x {h}. Set its size back, or calibrate it again."
            )
        straight = cv2.remap(pixels_hwc, *self._maps, cv2.INTER_LINEAR)
        return np.asarray(straight, dtype=np.uint8)


def save_geometry(geometry: Geometry, file: Path) -> None:
    """Write a calibration as JSON.

    Raises:
        ConfigError: the file cannot be written.
    """
    lens = geometry.lens
    content = {
        "format": FORMAT,
        "frame_hw": list(geometry.frame_hw),
        "lens_matrix": None if lens is None else lens.matrix.tolist(),
        "lens_distortion": None if lens is None else lens.distortion.tolist(),
        "to_mm": geometry.to_mm.tolist(),
        "about": geometry.about,
    }
    try:
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}.") from error


def load_geometry(file: Path) -> Geometry:
    """Return a calibration from its file.

    Raises:
        ConfigError: the file is missing, or is not one that `edge-app camera calibrate` wrote.
    """
    try:
        content = json.loads(read_small_text(file))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}, expected {FORMAT!r}")
        height, width = (int(v) for v in content["frame_hw"])
        lens = None
        if content["lens_matrix"] is not None:
            lens = Lens(
                _finite(content["lens_matrix"], (3, 3)), _finite(content["lens_distortion"], (5,))
            )
        to_mm = _finite(content["to_mm"], (3, 3))
        return Geometry((height, width), lens, to_mm, dict(content["about"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(
            f"The calibration {file} cannot be used: {error}. "
            "Make it again with edge-app camera calibrate."
        ) from error


def _finite(values: object, shape: tuple[int, ...]) -> F64Array:
    found = np.asarray(values, object)  # a long text would be taken for a number for seconds
    if found.shape != shape or not all(type(v) in (int, float) for v in found.flat):
        raise ValueError(f"expected {shape} finite numbers, got {found.shape}")
    array = found.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("expected finite numbers")
    return array
