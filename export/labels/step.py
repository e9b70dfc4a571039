"""Where the products are before any detector: the build's first step, kept in its workspace."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.errors import DataError
from export.data.dataset import GoodPictures, Picture, digests_of
from export.data.label_files import (
    SavedLabel,
    given_labels,
    has_labels,
    labelled_pictures,
    saved_labels,
    write_label_files,
)
from export.data.yolo_dataset import LabelledPicture
from export.labels.autolabel import autolabel_folder, product_fills_frame, write_overview
from export.labels.part_shape import ELONGATED_ASPECT, Kind
from export.labels.rules import CUT_AT_BORDER
from export.workspace import OnProgress, Workspace

MIN_LABELS = 10
"""Fewer labelled pictures than this train no detector."""

MANY_UNSURE = 0.05
"""A larger share of unlabelled pictures gives a warning."""

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
    """

    fills_frame: bool
    pictures: list[LabelledPicture]
    shape: Kind | None
    reason: str
    warnings: tuple[str, ...] = ()

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


def label_step(
    space: Workspace, good: GoodPictures, training: Sequence[Picture], detector: str
) -> Labels:
    """Find out whether the product fills the frame, and if not, where it is."""

    def work(folder: Path, report: OnProgress) -> LabelRecord:
        if detector == "none":
            return LabelRecord(True, (), None, "the product fills the frame, as asked for")
        if detector != "auto":
            return LabelRecord(False, (), None, "a detector was given")
        if has_labels(good.folder):
            given = given_labels(training, good.folder)
            reason = f"labels of {len(given)} pictures were given"
            return LabelRecord(False, saved_labels(given, training), None, reason)
        return _own_labels(training, folder, report)

    settings = {
        "detector": detector,
        "pictures": digests_of(training),
        **_label_digest(good.folder),
    }
    _, found = space.step("labels", settings, LabelRecord, work)
    pictures = labelled_pictures(found.pictures, training)
    return Labels(found.fills_frame, pictures, found.shape, found.reason, found.warnings)


def _label_digest(folder: Path) -> dict[str, str]:
    """Return what the labels beside the pictures hash to, so that corrected ones are read again."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.txt"), *(folder / "labels").glob("*.txt")]):
        digest.update(file.name.encode() + file.read_bytes())
    return {"labels": digest.hexdigest()}


def _own_labels(training: Sequence[Picture], folder: Path, report: OnProgress) -> LabelRecord:
    paths = [p.path for p in training]
    fills, reason = product_fills_frame(paths)
    if fills:
        return LabelRecord(True, (), None, reason)
    found = autolabel_folder(paths, lambda done, count: report("", done / count))
    overview = folder / "overview.png"
    write_overview(found, overview)
    sure = found.labelled()
    unsure = {path.name: list(why) for path, why in found.unsure.items()}
    (folder / "unsure.json").write_text(json.dumps(unsure, indent=1))
    write_label_files(folder / "yolo_obb", sure)
    cut = sum(CUT_AT_BORDER in why for why in unsure.values())
    if len(sure) < max(MIN_LABELS, MIN_SURE_SHARE * (len(training) - cut)):
        raise DataError(
            f"Only {len(sure)} of {len(training)} pictures could be labelled with certainty, {cut} "
            f"show the part cut by the border (see {overview}). Photograph the part on a plain "
            "background and wholly inside the picture, put YOLO-OBB labels beside the pictures, "
            "or use --detector none."
        )
    reason = f"{len(sure)} pictures labelled by segmentation, {len(unsure)} unsure and left out"
    warnings = _label_warnings(unsure, len(training))
    return LabelRecord(False, saved_labels(sure, training), found.usual.kind, reason, warnings)


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
