"""A build's options, and what each of its steps hands to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edge_app.bundle.manifest import DetectorSpec
from edge_app.inspection.stages import ProductFinder
from edge_app.records import U8Array
from export.auto_method.select import MethodChoice
from export.data.crops import FoundPart, PartsFound
from export.data.dataset import GoodPictures, Picture
from export.defects.evidence import Evidence
from export.defects.synthetic import DrawnPatches
from export.labels.step import Labels
from export.methods.inspector_record import InspectorRecord
from export.methods.names import DEFAULT
from export.pose.step import Cutting
from export.workspace import Workspace

View = Literal["whole", "upright"]
"""Ways to the crop."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a person can choose.

    Attributes:
        data: the data set's folder.
        out: the bundle file to write.
        detector: "auto", "always" (no whole picture is tried), "none", or the path of a
            detector.onnx.
        method: "auto", or a name of `export/methods/names.py`.
        auto_budget_s: time in which "auto" compares its candidates.
        steps: optimiser steps of the inspector's pretext training.
        processes: that train the inspector together, on "cuda" one per GPU.
        false_alarm_rate: nominal, as a fraction of good parts; see `calibrate`.
        max_views: how many views of a part are judged on a free-running camera.
        known_defects: one sub-folder per kind of real defects; kept out of every evaluation.
        calibration_defects: real defects that choose the threshold in place of synthetic ones.
        format: 1 leaves out what release 0.1.0 cannot judge; 2 is what the product needs.
    """

    data: Path
    out: Path
    product: str
    detector: str = "auto"
    method: str = DEFAULT
    auto_budget_s: float = 600.0
    seed: int = 0
    device: str = "cpu"
    serial: int = 1
    targets: tuple[str, ...] = ("*",)
    steps: int = 100
    processes: int = 1
    false_alarm_rate: float = 0.02
    max_views: int = 1
    known_defects: Path | None = None
    calibration_defects: Path | None = None

    @property
    def detector_source(self) -> str:
        """How a detector comes about: "auto" (trained), "none", or a file's path."""
        return "auto" if self.detector == "always" else self.detector

    format: int = 2


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The finished bundle and what a person should know.

    Attributes:
        answer: what to expect of it, the most important sentence first.
        weakness: it misses most clearly visible defects, in a sentence; None where it does not.
    """

    path: Path
    sha256: str
    warnings: tuple[str, ...]
    measured: dict[str, float]
    answer: tuple[str, ...] = ()
    weakness: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """After the first step: the pictures, how they are split, and where the products are.

    Attributes:
        patches: synthetic defects that were drawn on them, for all ways to the crop.
    """

    space: Workspace
    good: GoodPictures
    training: list[Picture]
    hold_out: list[Picture]
    labels: Labels
    patches: DrawnPatches = field(default_factory=DrawnPatches)


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """After the second: the detector (None: the product fills the frame) and what it finds."""

    detector: Path | None
    spec: DetectorSpec | None
    finder: ProductFinder
    parts: PartsFound


@dataclass(frozen=True, slots=True, eq=False)
class CutParts:
    """After the third: how crops are cut, and the crops.

    Attributes:
        crops: of the training pictures; nothing is fitted to those of `hold_out_parts`.
        parts: where each of `crops` was found.
        space: where what is learnt from the crops is kept.
        view: "whole" (the picture, or a part of it) or "upright" (found and turned).
        evidence: what cross-fitting needs; None where good parts are held back instead.
        reason: why this way to the crop, in one sentence.
        warnings: what a person should know of the choice.
        mask: uint8 (h, w), where in a crop the product is; None where it fills the frame.
    """

    cutting: Cutting
    crops: list[U8Array]
    hold_out_parts: list[FoundPart]
    hold_out_crops: list[U8Array]
    mask: U8Array | None
    parts: list[FoundPart]
    space: Workspace
    view: View = "upright"
    evidence: Evidence | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """After the fourth: the graph that judges the crops, and what its method says about it.

    Attributes:
        method: the one that trained it.
        inspector: what it says of the graph.
        choice: why that one, if `auto` was asked for.
    """

    cut: CutParts
    method: str
    graph: Path
    inspector: InspectorRecord
    choice: MethodChoice | None = None


@dataclass(frozen=True, slots=True)
class InspectorFacts:
    """What the manifest's notes and the report say of the inspector.

    Attributes:
        chosen_by: why `auto` took its method; None where it was asked for.
        known_defects: which defect classes the bundle names, and how well; None without.
    """

    inspector: InspectorRecord
    chosen_by: str | None = None
    known_defects: str | None = None

    def rows(self) -> list[tuple[str, object]]:
        """Return names and JSON values, sorted by name."""
        more = {"chosen_by": self.chosen_by, "known_kinds": self.known_defects}
        said = {name: text for name, text in more.items() if text is not None}
        return sorted({**self.inspector.as_json(), **said}.items())
