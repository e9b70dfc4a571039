"""Figures of merit for maps, pixel by pixel, in memory that does not grow with the pictures.

A map value of 0 or more keeps its order when its float32 bits are read as a whole number: the
number's upper bits are the bin. Bins are 1/2048 of the value wide, so no range has to be known.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.errors import ShapeError
from edge_app.imaging.upright_crop import CropSpec, crop_to_frame
from edge_app.model.looks import Look
from edge_app.records import Defect, F32Array, F64Array, U8Array
from export.data.masks import marked_pixels

PRO_LIMIT = 0.3
"""PRO is integrated up to this false-positive rate (Bergmann et al., MVTec AD, CVPR 2019)."""

_DROPPED_BITS = 12
_BINS = 1 << (31 - _DROPPED_BITS)  # 31: a value >= 0 has no sign bit

BoolArray = NDArray[np.bool_]


def frame_map(looks: Sequence[Look], spec: CropSpec, frame_hw: tuple[int, int]) -> F32Array:
    """Return the maps of a picture's products in their places, float32 (h, w), >= 0.

    Outside the crops the map is 0; where crops overlap the larger value counts. A value that is
    not a number is 0: the device outlines nothing there.
    """
    h, w = frame_hw
    whole = np.zeros((h, w), np.float32)
    crop_h, crop_w = spec.crop_hw
    for look in looks:
        if look.anomaly.map_hw.size == 0:
            continue
        finite = np.nan_to_num(look.anomaly.map_hw, nan=0.0)
        smooth = cv2.resize(finite, (crop_w, crop_h), interpolation=cv2.INTER_LINEAR)
        matrix = crop_to_frame(look.box_cxcywhr, spec)
        placed = cv2.warpAffine(smooth, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.warpAffine(
            np.ones(spec.crop_hw, np.uint8), matrix, (w, h), flags=cv2.INTER_NEAREST
        )
        whole = np.maximum(whole, placed * inside)
    return np.asarray(whole, dtype=np.float32)


class PixelCounts:
    """Histograms of map values: normal pixels, defective pixels, and each region's overlap.

    Kinds are counted apart; a kind's figures set its defects against the normal pixels of its own
    pictures and of all good ones.
    """

    def __init__(self) -> None:
        self._normal: dict[str, F64Array] = {}
        self._defective: dict[str, F64Array] = {}
        self._overlap: dict[str, F64Array] = {}
        self._regions: dict[str, int] = {}

    def add_good(self, map_hw: F32Array) -> None:
        """Count a good picture: every pixel is normal."""
        _add(self._normal, "", _histogram(_bins_of(map_hw)))

    def add_bad(self, kind: str, map_hw: F32Array, mask_hw: BoolArray) -> None:
        """Count a defective picture.

        Args:
            map_hw: float32 (h, w), >= 0, at the frame's size.
            mask_hw: bool (h, w), True on the defect, at least once.

        Raises:
            ShapeError: the two differ in size.
        """
        if map_hw.shape != mask_hw.shape:
            raise ShapeError(f"map {map_hw.shape} and mask {mask_hw.shape} must be the same size")
        bins = _bins_of(map_hw)
        _add(self._normal, kind, _histogram(bins[~mask_hw]))
        _add(self._defective, kind, _histogram(bins[mask_hw]))
        count, labels = cv2.connectedComponents(mask_hw.astype(np.uint8), connectivity=8)
        areas = np.bincount(labels.ravel(), minlength=count)
        shares = 1.0 / np.maximum(areas, 1)[labels[mask_hw]]  # each region weighs 1 in all
        _add(self._overlap, kind, _histogram(bins[mask_hw], shares))
        self._regions[kind] = self._regions.get(kind, 0) + count - 1

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that have masks."""
        return tuple(sorted(self._defective))

    def auroc(self, kind: str | None = None) -> float:
        """Return the pixel AUROC of one kind, or of all; ties (one bin) count half."""
        normal, defective = self._normals(kind), self._of(self._defective, kind)
        below = np.cumsum(normal) - normal / 2
        return float((defective @ below) / (defective.sum() * normal.sum()))

    def pro(self, kind: str | None = None, limit: float = PRO_LIMIT) -> float:
        """Return the mean per-region overlap over false-positive rates up to `limit`, 0..1.

        The area under the curve, divided by `limit`.
        """
        normal = self._normals(kind)[::-1]
        regions = sum(n for k, n in self._regions.items() if kind in (None, k))
        rate = np.concatenate([[0.0], np.cumsum(normal) / normal.sum()])
        overlap = np.cumsum(self._of(self._overlap, kind)[::-1]) / regions
        overlap = np.concatenate([[0.0], overlap])
        inside = rate <= limit
        x = np.append(rate[inside], limit)
        y = np.append(overlap[inside], np.interp(limit, rate, overlap))
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / limit)

    def _normals(self, kind: str | None) -> F64Array:
        good = self._normal.get("", np.zeros(_BINS))
        own = [v for k, v in self._normal.items() if k and kind in (None, k)]
        return np.asarray(sum(own, good), np.float64)

    def _of(self, histograms: dict[str, F64Array], kind: str | None) -> F64Array:
        found = [v for k, v in histograms.items() if kind in (None, k)]
        return np.asarray(sum(found, np.zeros(_BINS)), np.float64)


def regions_met(mask_hw: BoolArray, defects: Sequence[Defect]) -> tuple[int, int, int]:
    """Return (regions of the mask, those met by a predicted box, boxes that meet a region).

    A box meets a region when at least one of the region's pixels lies in it.
    """
    count, labels = cv2.connectedComponents(mask_hw.astype(np.uint8), connectivity=8)
    met: set[int] = set()
    boxes_on_defects = 0
    for defect in defects:
        touched = set(np.unique(_inside(labels, defect)).tolist()) - {0}
        boxes_on_defects += bool(touched)
        met |= touched
    return count - 1, len(met), boxes_on_defects


def _inside(labels: np.ndarray, defect: Defect) -> np.ndarray:
    x0, y0, x1, y1 = defect.box_xyxy
    rows = slice(max(0, int(np.floor(y0))), max(0, int(np.ceil(y1)) + 1))
    return labels[rows, max(0, int(np.floor(x0))) : max(0, int(np.ceil(x1)) + 1)]


def as_mask(pixels_hwc: U8Array) -> BoolArray:
    """Return a mask picture that was read as uint8 (h, w, 3) as bool (h, w); see `masks.py`."""
    return marked_pixels(pixels_hwc)


def _bins_of(map_hw: F32Array) -> NDArray[np.int64]:
    positive = np.maximum(np.nan_to_num(map_hw, nan=0.0), 0) + np.float32(0.0)  # −0 becomes 0
    bits = np.ascontiguousarray(positive, dtype=np.float32).view(np.uint32)
    return (bits >> _DROPPED_BITS).astype(np.int64)


def _histogram(bins: NDArray[np.int64], weights: F64Array | None = None) -> F64Array:
    counts = np.bincount(bins.ravel(), weights=weights, minlength=_BINS)
    return np.asarray(counts, dtype=np.float64)


def _add(histograms: dict[str, F64Array], kind: str, more: F64Array) -> None:
    histograms[kind] = histograms[kind] + more if kind in histograms else more
