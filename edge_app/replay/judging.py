"""One kept part before one model: the verdict that the line would have given."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edge_app.imaging.overlay import draw_report
from edge_app.inspection.judge import judge_score
from edge_app.model.loaded_model import LoadedModel
from edge_app.model.offline import offline_line
from edge_app.records import (
    Frame,
    FrameReport,
    PartVerdict,
    PointXy,
    U8Array,
    VerdictState,
)
from edge_app.replay.kept_parts import KeptPart

MARGIN = 0.15
"""Of the part's longer side, shown round it."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What a model says of a part.

    Attributes:
        score: None where it could not be inspected.
        view_hwc: uint8 (h, w, 3): the part with outline, map and defects drawn.
    """

    state: VerdictState
    reason: str
    score: float | None
    threshold: float
    is_suspect: bool
    view_hwc: U8Array

    def words(self) -> str:
        """Return the verdict for people."""
        if self.score is None:
            return f"not inspected ({self.reason})"
        name = "bad" if self.state is VerdictState.NG else "good"
        shown = f"{name}, score {self.score:.3g} of limit {self.threshold:.3g}"
        return f"{shown} (suspect)" if self.is_suspect else shown


class Judge:
    """Shows kept parts to one model.

    Of several products in a frame the one that lies where the part lay is the part.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.name = f"{model.identity.product} {model.identity.serial}"
        self._model = model
        self._line = offline_line(model, "replay")
        self._frames = 0

    def said_on_line(self, part: KeptPart) -> VerdictState | None:
        """Return what this very model made of a part on the line, by its limits of today; None
        where another model judged it, or none did."""
        said, mine = part.on_line, self._model.identity
        if said is None or said.score is None:
            return None
        if (said.bundle_sha256, said.precision) != (mine.bundle_sha256, mine.precision):
            return None
        return judge_score(said.score, self._model.limits)[0]

    def judge(self, part: KeptPart) -> Judgement:
        """Return the model's verdict on a part."""
        self._frames += 1
        frame = Frame(
            "replay", self._frames, part.pixels_hwc, 0,
            source_number=self._frames, source_name=part.part_id,
        )  # fmt: skip
        report = self._line.inspect(frame)
        verdict = verdict_at(report, part.corners_xy)
        limits = self._model.limits
        drawn = draw_report(report, limits.map_threshold)
        where = verdict.product_corners_xy or part.corners_xy
        return Judgement(
            verdict.state,
            verdict.reason,
            verdict.score,
            limits.score_threshold,
            verdict.is_suspect,
            cut_round(drawn, where),
        )


def verdict_at(report: FrameReport, corners_xy: tuple[PointXy, ...]) -> PartVerdict:
    """Return the verdict on the product that lies nearest to an outline; of the one, if it is one.

    Args:
        corners_xy: in frame pixels; () means the frame's only product, or its worst.
    """
    (whole,) = report.finished
    if not report.several or not corners_xy:
        return whole
    middle = np.mean(corners_xy, axis=0)

    def distance(verdict: PartVerdict) -> float:
        if not verdict.product_corners_xy:
            return math.inf
        return float(np.hypot(*(np.mean(verdict.product_corners_xy, axis=0) - middle)))

    return min((found.verdict for found in report.several), key=distance)


def cut_round(pixels_hwc: U8Array, corners_xy: tuple[PointXy, ...]) -> U8Array:
    """Return the part of a picture that shows a part, with a margin; all of it without corners."""
    x0, y0, x1, y1 = place_round((pixels_hwc.shape[0], pixels_hwc.shape[1]), corners_xy)
    return np.ascontiguousarray(pixels_hwc[y0:y1, x0:x1])


def place_round(
    frame_hw: tuple[int, int], corners_xy: tuple[PointXy, ...]
) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of the place round a part, with a margin; the frame without corners."""
    h, w = frame_hw
    if not corners_xy:
        return 0, 0, w, h
    points = np.asarray(corners_xy)
    low, high = points.min(0), points.max(0)
    room = MARGIN * float((high - low).max())
    x0, y0 = (max(0, int(v)) for v in low - room)
    x1, y1 = (min(side, int(v) + 1) for side, v in zip((w, h), high + room, strict=True))
    return (0, 0, w, h) if x1 - x0 < 2 or y1 - y0 < 2 else (x0, y0, x1, y1)
