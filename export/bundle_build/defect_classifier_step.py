"""The build's step for known defect kinds: classifier.onnx, its threshold and golden regions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.manifest import ClassifierSpec, GoldenRegions
from edge_app.inspection.defect_classifier import DefectClassifier
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import JsonObject, U8Array
from export.defect_classifier.graph import write_classifier
from export.defect_classifier.train import (
    ClassifierFigures,
    TrainedClassifier,
    train_classifier,
    usable,
)
from export.defects.labelled import known_defects, mask_of
from export.defects.pictures import DefectPictures
from export.workspace import OnProgress, Workspace

GOLDEN_FILE = "golden/regions.png"
GOLDEN_PER_KIND = 3


@dataclass(frozen=True, slots=True, eq=False)
class ClassifierFound:
    """What the bundle gets for its known defect kinds.

    Attributes:
        files: member name → bytes: the graph and its golden regions.
        golden: None where no example is named surely enough to be asked for.
        figures: recipe and cross-validated figures.
    """

    spec: ClassifierSpec
    threshold: float
    files: dict[str, bytes]
    golden: GoldenRegions | None
    figures: ClassifierFigures

    @property
    def summary(self) -> str:
        """Return one sentence for the manifest and the report."""
        found = self.figures
        counts = ", ".join(f"{count} {kind}" for kind, count in found.kinds.items())
        text = (
            f"{counts}; margin {found.margin}, "
            f"{'all turns' if found.turned else 'as cut'}, l2 {found.l2}; "
            f"{found.cross_validated_accuracy:.1%} named rightly in cross-validation"
        )
        kept_out = found.left_out_kind_is_unknown
        if kept_out is None:
            return text
        return f"{text}; of a kind never shown {kept_out:.0%} are unknown"


@dataclass(frozen=True, slots=True)
class ClassifierRecord:
    """What the step keeps besides classifier.onnx and regions.png; nothing but warnings without.

    Attributes:
        golden: the golden regions' classes, in the order of regions.png.
    """

    is_trained: bool
    warnings: tuple[str, ...]
    spec: ClassifierSpec | None = None
    threshold: float | None = None
    golden: tuple[str, ...] = ()
    about: ClassifierFigures | None = None


def defect_classifier_step(
    space: Workspace, pictures: DefectPictures, model: LoadedModel, seed: int
) -> tuple[ClassifierFound | None, tuple[str, ...]]:
    """Train the classifier, or say why there is none.

    Args:
        pictures: real defects; those in no sub-folder have no kind and are passed over.
        model: the finished inspector with its thresholds.

    Raises:
        DataError: a mask does not fit its picture.
    """
    if not any(pictures.classes):
        return None, ()

    def work(folder: Path, report: OnProgress) -> ClassifierRecord:
        defects, partless = known_defects(pictures, model)
        enough, thin = usable(defects)
        if not enough:
            return ClassifierRecord(False, (*partless, *thin))
        trained = train_classifier(enough, seed, report)
        write_classifier(trained.graph, trained.spec.region_hw, folder / "classifier.onnx")
        expected = _golden_regions(trained, folder)
        return ClassifierRecord(
            is_trained=True,
            warnings=(*partless, *thin, *trained.warnings),
            spec=trained.spec,
            threshold=trained.threshold,
            golden=tuple(expected),
            about=trained.figures,
        )

    folder, kept = space.step("kinds", _settings(pictures, model, seed), ClassifierRecord, work)
    return _found(folder, kept), kept.warnings


def _settings(pictures: DefectPictures, model: LoadedModel, seed: int) -> JsonObject:
    masks = [mask_of(picture) for picture in pictures.pictures]
    return {
        "pictures": [p.sha256 for p in pictures.pictures],
        "masks": [m and hashlib.sha256(m.read_bytes()).hexdigest() for m in masks],
        "kinds": list(pictures.classes),
        "map_threshold": model.limits.map_threshold,
        "seed": seed,
    }


def _found(folder: Path, kept: ClassifierRecord) -> ClassifierFound | None:
    if kept.spec is None or kept.threshold is None or kept.about is None:
        return None
    files = {"classifier.onnx": (folder / "classifier.onnx").read_bytes()}
    golden = None
    if kept.golden:
        files[GOLDEN_FILE] = (folder / "regions.png").read_bytes()
        golden = GoldenRegions(file=GOLDEN_FILE, kinds=kept.golden)
    return ClassifierFound(kept.spec, kept.threshold, files, golden, kept.about)


def _golden_regions(trained: TrainedClassifier, folder: Path) -> list[str]:
    """Write regions that are named surely, one below the other; return their kinds.

    Surely: at least halfway from the threshold to 1, so that rounding turns no name.
    """
    threshold, kinds = trained.threshold, trained.spec.kinds
    runner = OnnxRunner(folder / "classifier.onnx", threads=1)
    namer = DefectClassifier(runner, trained.spec.to_spec(), kinds, (1 + threshold) / 2)
    guesses = [namer.guess(region[None])[0] for region in trained.regions]
    chosen: list[tuple[str, U8Array]] = []
    for kind in kinds:
        sure = [r for g, r in zip(guesses, trained.regions, strict=True) if g.kind == kind]
        chosen += [(kind, region) for region in sure[:GOLDEN_PER_KIND]]
    if chosen:
        cv2.imwrite(str(folder / "regions.png"), np.concatenate([region for _, region in chosen]))
    return [kind for kind, _ in chosen]
