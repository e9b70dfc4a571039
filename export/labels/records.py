"""The records of auto-labelling: what one picture shows, what all agree on, and the labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.records import BoxCxcywhr, F64Array
from export.data.yolo_dataset import LabelledPicture
from export.labels.part_shape import Kind, PartShape

WEAK_CONTRAST = 2.5
"""Median distance of an area from the background, in background spreads; less is texture.

Measured: noise and belt texture reach 2.0, the simulated parts start at 6.5, screws at 8.8."""


@dataclass(frozen=True, slots=True, eq=False)
class Segmented:
    """What one picture shows, before anything is known about the others.

    Attributes:
        whole: areas inside the picture, largest first.
        at_border: areas that reach the border.
    """

    frame_hw: tuple[int, int]
    whole: tuple[PartShape, ...]
    at_border: tuple[PartShape, ...]


@dataclass(frozen=True, slots=True)
class Usual:
    """What the pictures agree on: medians over each picture's largest whole area.

    Attributes:
        area_px: in frame pixels.
        elongation: long over short spread, >= 1.
        kind: the most frequent one.
    """

    area_px: float
    elongation: float
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class AutoLabel:
    """One picture's label.

    Attributes:
        frame_hw: picture size.
        boxes: one per part, largest first; convention in `edge_app/imaging/oriented_box.py`.
        has_direction: per part: the angle is a direction (heavy end to light end), not an axis.
        shapes: per part, its outline and measures; `shapes[i].mask(frame_hw)` is its mask.
        cut: areas that are parts cut by the border.
        unsure: why a person should look at it; empty when there is no doubt.
    """

    frame_hw: tuple[int, int]
    boxes: tuple[BoxCxcywhr, ...]
    has_direction: tuple[bool, ...]
    shapes: tuple[PartShape, ...]
    cut: tuple[PartShape, ...]
    unsure: tuple[str, ...]

    @property
    def confidence(self) -> float:
        """Return the least contrasted part's contrast over twice the weakest allowed, 0..1."""
        if self.unsure or not self.shapes:
            return 0.0
        return min(1.0, min(shape.contrast for shape in self.shapes) / (2 * WEAK_CONTRAST))


@dataclass(frozen=True, slots=True, eq=False)
class LabelReport:
    """The labels of a data set.

    Attributes:
        paths: the pictures, in the order given.
        labels: one per picture.
        usual: what they agree on.
        background: "border" (fitted to each picture's border) or "stack" (median picture).
        segmented: what each picture shows, before the rules.
    """

    paths: tuple[Path, ...]
    labels: tuple[AutoLabel, ...]
    usual: Usual
    background: str
    segmented: tuple[Segmented, ...] = ()

    @property
    def unsure(self) -> dict[Path, tuple[str, ...]]:
        """Return the doubtful pictures and why."""
        pairs = zip(self.paths, self.labels, strict=True)
        return {path: label.unsure for path, label in pairs if label.unsure}

    def labelled(self) -> list[LabelledPicture]:
        """Return the pictures without doubt, ready for training; cut parts are hidden."""
        pairs = zip(self.paths, self.labels, strict=True)
        return [_as_training(path, label) for path, label in pairs if not label.unsure]


def _as_training(path: Path, label: AutoLabel) -> LabelledPicture:
    boxes: F64Array = np.array(label.boxes, np.float64).reshape(-1, 5)
    return LabelledPicture(path, boxes, hidden_xy=tuple(shape.outline_xy for shape in label.cut))
