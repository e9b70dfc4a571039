"""The latest frame as JPEG, drawn on request, once per frame for all clients."""

from __future__ import annotations

import threading

import cv2

from edge_app.alerts.evidence_files import encode_jpeg
from edge_app.imaging.overlay import draw_report
from edge_app.page.source import LineSource
from edge_app.records import U8Array

MAX_SIDE_PX = 1280
JPEG_QUALITY = 82


class PictureCache:
    """Draws and encodes in the caller's thread, which is never the line's.

    Keeps one JPEG per camera and kind; a second request for the same frame costs nothing.
    """

    def __init__(self, source: LineSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._jpegs: dict[tuple[str, bool], tuple[int, bytes]] = {}

    def jpeg(self, camera: str, with_map: bool) -> tuple[int, bytes] | None:
        """Return the latest picture's number and its JPEG bytes; None while there is none."""
        latest = self._source.picture(camera)
        if latest is None:
            return None
        sequence, report = latest.sequence, latest.report
        with self._lock:
            known = self._jpegs.get((camera, with_map))
            if known is not None and known[0] >= sequence:
                return known
            threshold = latest.map_threshold if with_map else None
            data = encode_jpeg(fit_screen(draw_report(report, threshold)), JPEG_QUALITY)
            if data is None:
                return None
            self._jpegs[camera, with_map] = sequence, data
            return sequence, data


def fit_screen(pixels_hwc: U8Array) -> U8Array:
    """Return the picture no larger than a screen needs; mobile connections are slow."""
    h, w = pixels_hwc.shape[:2]
    scale = MAX_SIDE_PX / max(h, w)
    if scale >= 1:
        return pixels_hwc
    size_wh = (max(1, round(w * scale)), max(1, round(h * scale)))
    return cv2.resize(pixels_hwc, size_wh, interpolation=cv2.INTER_AREA).astype("uint8")
