"""The comparison's report: a page with the parts that two models judged differently, side by side.

It lies on the device and needs nothing but a browser; the next comparison replaces it.
"""

from __future__ import annotations

import html
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.errors import EdgeError
from edge_app.imaging.overlay import draw_report
from edge_app.inspection.judge import Limits
from edge_app.records import FrameReport, ModelIdentity, U8Array

_log = logging.getLogger(__name__)

MAX_PICTURES = 24
"""More pictures of the same add nothing; all disagreements are counted."""

MAX_SIDE_PX = 960
JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class _Row:
    part_id: str
    file: str
    current: str
    candidate: str


class ShadowReport:
    """Collects pictures in a folder of its own. A disk that fails costs pictures, nothing else.

    Args:
        folder: emptied at the start.
        current, candidate: the two models.
    """

    def __init__(self, folder: Path, current: ModelIdentity, candidate: ModelIdentity) -> None:
        self._folder = folder
        self._current, self._candidate = current, candidate
        self._rows: list[_Row] = []
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        except OSError as error:
            _log.warning("no pictures of the comparison: %s", error)

    def add(
        self,
        part_id: str,
        mine: FrameReport,
        limits: Limits,
        theirs: FrameReport,
        candidate_limits: Limits,
    ) -> None:
        """Keep both models' view of one frame, current model on the left."""
        if len(self._rows) >= MAX_PICTURES:
            return
        name = f"{len(self._rows) + 1:03d}.jpg"
        try:
            views = (draw_report(mine, limits.map_threshold),
                     draw_report(theirs, candidate_limits.map_threshold))  # fmt: skip
            _write_picture(self._folder / name, views)
        except (OSError, EdgeError) as error:
            _log.warning("no picture of part %s: %s", part_id, error)
            return
        self._rows.append(
            _Row(
                part_id, name, _score_words(mine, part_id, limits), _words(theirs, candidate_limits)
            )
        )

    def write(self, parts: int) -> str | None:
        """Write the page and return its address, a file on the device; None if it failed."""
        page = self._folder / "report.html"
        try:
            page.write_text(self._page(parts), encoding="utf-8")
        except OSError as error:
            _log.warning("no report of the comparison: %s", error)
            return None
        return page.absolute().as_uri()

    def _page(self, parts: int) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(r.part_id)}<br>now: {html.escape(r.current)}<br>"
            f"new: {html.escape(r.candidate)}</td><td><img src='{r.file}'></td></tr>"
            for r in self._rows
        )
        body = rows or "<tr><td>Both models gave every part the same verdict.</td></tr>"
        return (
            "<!doctype html><meta charset='utf-8'><title>Comparison of two models</title>"
            "<style>body{font:16px sans-serif;margin:2em}td{padding:.5em;vertical-align:top;"
            "border-top:1px solid #ccc}img{max-width:100%}</style>"
            f"<h1>{_name(self._current)} (left) and {_name(self._candidate)} (right)</h1>"
            f"<p>{parts} parts were judged by both; below are those they judged differently, "
            f"at most {MAX_PICTURES}.</p><table>{body}</table>\n"
        )


def _name(identity: ModelIdentity) -> str:
    return f"{html.escape(identity.product)} {identity.serial}"


def _score_words(report: FrameReport, part_id: str, limits: Limits) -> str:
    anomaly = report.anomalies.get(part_id)
    score = "no score" if anomaly is None else f"{anomaly.score:.3f}"
    return f"{score} (limit {limits.score_threshold:.3f})"


def _words(report: FrameReport, limits: Limits) -> str:
    scores = ", ".join(f"{a.score:.3f}" for a in report.anomalies.values()) or "no product found"
    return f"{scores} (limit {limits.score_threshold:.3f})"


def _write_picture(path: Path, views: Sequence[U8Array]) -> None:
    beside = np.hstack(views)
    scale = min(1.0, 2 * MAX_SIDE_PX / max(beside.shape[:2]))
    if scale < 1.0:
        smaller = cv2.resize(beside, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        beside = np.asarray(smaller, np.uint8)
    ok, encoded = cv2.imencode(".jpg", beside, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not ok:
        raise OSError(f"OpenCV cannot encode {path.name}")
    path.write_bytes(encoded.tobytes())
