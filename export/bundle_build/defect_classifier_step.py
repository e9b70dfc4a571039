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
from export.defect_classifier.train import TrainedKinds, train_kinds, usable
from export.defects.labelled import known_defects, mask_of
from export.defects.pictures import DefectPictures
from export.workspace import Report, Workspace

GOLDEN_FILE = "golden/regions.png"
GOLDEN_PER_KIND = 3


@dataclass(frozen=True, slots=True, eq=False)
class KindsFound:
    """What the bundle gets for its known defect kinds.

    Attributes:
        files: member name → bytes: the graph and its golden regions.
        golden: None where no example is named surely enough to be asked for.
        about: recipe and cross-validated figures.
    """

    spec: ClassifierSpec
    threshold: float
    files: dict[str, bytes]
    golden: GoldenRegions | None
    about: JsonObject

    @property
    def told(self) -> str:
        """Return one sentence for the manifest and the report."""
        counts = ", ".join(f"{count} {kind}" for kind, count in self.about["kinds"].items())
        text = (
            f"{counts}; margin {self.about['margin']}, "
            f"{'all turns' if self.about['turned'] else 'as cut'}, l2 {self.about['l2']}; "
            f"{self.about['cross_validated_accuracy']:.1%} named rightly in cross-validation"
        )
        kept_out = self.about.get("left_out_kind_is_unknown")
        if kept_out is None:
            return text
        return f"{text}; of a kind never shown {kept_out:.0%} are unknown"


def kinds_step(
    space: Workspace, pictures: DefectPictures, model: LoadedModel, seed: int
) -> tuple[KindsFound | None, tuple[str, ...]]:
    """Train the classifier, or say why there is none.

    Args:
        pictures: real defects; those in no sub-folder have no kind and are passed over.
        model: the finished inspector with its thresholds.

    Raises:
        DataError: a mask does not fit its picture.
    """
    if not any(pictures.kinds):
        return None, ()

    def work(folder: Path, report: Report) -> JsonObject:
        defects, partless = known_defects(pictures, model)
        enough, thin = usable(defects)
        if not enough:
            return {"is_trained": False, "warnings": [*partless, *thin]}
        trained = train_kinds(enough, seed, report)
        write_classifier(trained.graph, trained.spec.region_hw, folder / "classifier.onnx")
        expected = _golden_regions(trained, folder)
        return {
            "is_trained": True,
            "warnings": [*partless, *thin, *trained.warnings],
            "spec": trained.spec.model_dump(mode="json"),
            "threshold": trained.threshold,
            "golden": expected,
            "about": trained.about,
        }

    folder, result = space.step("kinds", _settings(pictures, model, seed), work)
    warnings = tuple(result["warnings"])
    return (_found(folder, result) if result["is_trained"] else None), warnings


def _settings(pictures: DefectPictures, model: LoadedModel, seed: int) -> JsonObject:
    masks = [mask_of(picture) for picture in pictures.pictures]
    return {
        "pictures": [p.sha256 for p in pictures.pictures],
        "masks": [m and hashlib.sha256(m.read_bytes()).hexdigest() for m in masks],
        "kinds": list(pictures.kinds),
        "map_threshold": model.limits.map_threshold,
        "seed": seed,
    }


def _found(folder: Path, result: JsonObject) -> KindsFound:
    files = {"classifier.onnx": (folder / "classifier.onnx").read_bytes()}
    golden = None
    if result["golden"]:
        files[GOLDEN_FILE] = (folder / "regions.png").read_bytes()
        golden = GoldenRegions(file=GOLDEN_FILE, kinds=tuple(result["golden"]))
    spec = ClassifierSpec.model_validate(result["spec"])
    return KindsFound(spec, result["threshold"], files, golden, result["about"])


def _golden_regions(trained: TrainedKinds, folder: Path) -> list[str]:
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
