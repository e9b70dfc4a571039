"""Where the products are before any detector: the build's first step, kept in its workspace."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.imaging.oriented_box import corners_of
from edge_app.records import BoxCxcywhr
from export.data.crops import NoUprightViewError
from export.data.dataset import GoodPictures, Picture, digests_of
from export.data.label_files import (
    SavedLabel,
    labelled_pictures,
    saved_labels,
    write_label_files,
)
from export.data.yolo_dataset import LabelledPicture
from export.labels.autolabel import autolabel_folder, product_fills_frame, write_overview
from export.labels.given.read import given_labels
from export.labels.part_shape import ELONGATED_ASPECT, Kind
from export.labels.rules import CUT_AT_BORDER
from export.labels.station import is_fixed_station
from export.labels.symmetry import symmetry_of
from export.workspace import OnProgress, Workspace

MIN_LABELS = 10
"""Fewer labelled pictures than this train no detector."""

LABEL_RECIPE = 2
"""Grows when the same pictures give other labels."""

MANY_UNSURE = 0.05
"""A larger share of unlabelled pictures gives a warning."""

REGION_GROWN = 0.2
"""Of a part's longer side, on each side of it: what is bent or out of place still shows."""

MIN_SURE_SHARE = 0.5
"""Fewer labelled pictures than this share: the background defeats segmentation."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Where the products are, before any detector.

    Attributes:
        fills_frame: the product is the whole picture; no detector is needed.
        pictures: the labelled pictures the detector learns from.
        shape: what kind of outline the parts have; None where only boxes were given.
        reason: one sentence for the report.
        warnings: what a person should look at; the overview sheet shows it.
        fixed_box: the upright box that all parts lie in, as shares (x, y, w, h) of the frame from
            its top left, where they always lie at the same place; otherwise None.
    """

    fills_frame: bool
    pictures: list[LabelledPicture]
    shape: Kind | None
    reason: str
    warnings: tuple[str, ...] = ()
    fixed_box: tuple[float, float, float, float] | None = None

    @property
    def has_axis(self) -> bool:
        """The product is clearly longer than wide (assumed where no box says otherwise)."""
        boxes = [b for p in self.pictures for b in p.boxes_cxcywhr]
        aspects = [max(b[2], b[3]) / max(min(b[2], b[3]), 1e-6) for b in boxes]
        return not aspects or float(np.median(aspects)) >= ELONGATED_ASPECT


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """What the step keeps; see Labels."""

    fills_frame: bool
    pictures: tuple[SavedLabel, ...]
    shape: Kind | None
    reason: str
    warnings: tuple[str, ...] = ()
    fixed_box: tuple[float, float, float, float] | None = None


def label_step(
    space: Workspace, good: GoodPictures, training: Sequence[Picture], detector: str
) -> Labels:
    """Find out whether the product fills the frame, and if not, where it is.

    Raises:
        NoUprightViewError: there are separate objects, and hardly any can be labelled.
        DataError: labels were given and cannot be used; a class of theirs means bad parts.
    """
    given = given_labels(good.pictures, good.folder, good.root)
    trained = {picture.path for picture in training}

    def work(folder: Path, report: OnProgress) -> LabelRecord:
        if detector == "none":
            return LabelRecord(True, (), None, "the product fills the frame, as asked for")
        if detector != "auto":
            return LabelRecord(False, (), None, "a detector was given")
        if given.pictures:
            mine = [p for p in given.pictures if p.source in trained]
            reason = f"labels of {len(mine)} pictures were given"
            saved = saved_labels(mine, training)
            return LabelRecord(False, saved, None, reason, given.warnings)
        return _own_labels(training, folder, report)

    settings = {
        "detector": detector,
        "pictures": digests_of(training),
        "labels": given.digest,
        "recipe": LABEL_RECIPE,
    }
    _, found = space.step("labels", settings, LabelRecord, work)
    pictures = labelled_pictures(found.pictures, training)
    return Labels(
        found.fills_frame, pictures, found.shape, found.reason, found.warnings, found.fixed_box
    )


def _own_labels(training: Sequence[Picture], folder: Path, report: OnProgress) -> LabelRecord:
    paths = [p.path for p in training]
    fills, reason = product_fills_frame(paths)
    if fills:
        return LabelRecord(True, (), None, reason)
    found = autolabel_folder(paths, lambda done, count: report("", done / count))
    overview = folder / "overview.png"
    write_overview(found, overview)
    sure = found.labelled()
    names = {p.path: p.name for p in training}
    unsure = {names[path]: list(why) for path, why in found.unsure.items()}
    (folder / "unsure.json").write_text(json.dumps(unsure, indent=1))
    write_label_files(folder / "yolo_obb", sure, training)
    cut = sum(CUT_AT_BORDER in why for why in unsure.values())
    if len(sure) < max(MIN_LABELS, MIN_SURE_SHARE * (len(training) - cut)):
        raise NoUprightViewError(
            f"Only {len(sure)} of {len(training)} pictures could be labelled with certainty, {cut} "
            f"show the part cut by the border (see {overview}). Photograph the part on a plain "
            "background and wholly inside the picture, put YOLO-OBB labels beside the pictures, "
            "or use --detector none."
        )
    symmetry = symmetry_of([s for label in found.labels if not label.unsure for s in label.shapes])
    frame_hw = Counter(p.hw for p in training).most_common(1)[0][0]
    station = is_fixed_station(found.segmented, frame_hw)
    reason = (
        f"{len(sure)} pictures labelled by segmentation, {len(unsure)} unsure and left out; "
        f"{symmetry.sentence()}; {station.reason}"
    )
    fixed = _region(station.box_cxcywhr, frame_hw) if station.is_fixed else None
    warnings = _label_warnings(unsure, len(training))
    return LabelRecord(
        False, saved_labels(sure, training), found.usual.kind, reason, warnings, fixed
    )


def _region(
    box: BoxCxcywhr | None, frame_hw: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Return the upright rectangle round a box, grown, as shares of the frame."""
    if box is None:
        return None
    corners = np.array(corners_of(box))
    room = REGION_GROWN * max(box[2], box[3])
    w, h = float(frame_hw[1]), float(frame_hw[0])
    x0, y0 = np.clip((corners.min(axis=0) - room) / (w, h), 0.0, 0.95)
    x1, y1 = np.clip((corners.max(axis=0) + room) / (w, h), 0.05, 1.0)
    return float(x0), float(y0), float(x1 - x0), float(y1 - y0)


def _label_warnings(unsure: Mapping[str, Sequence[str]], count: int) -> tuple[str, ...]:
    """Return a sentence when many pictures were left out, with their reasons."""
    if len(unsure) < MANY_UNSURE * count:
        return ()
    reasons = Counter(re.sub(r"[0-9.]+", "N", why) for found in unsure.values() for why in found)
    listed = "; ".join(f"{n} times {why!r}" for why, n in reasons.most_common(3))
    return (
        f"{len(unsure)} of {count} pictures were left out of the detector's training ({listed}): "
        "two products mixed, or parts cut by the border? labels/overview.png in the work folder "
        "shows them",
    )
