"""The last step of a build: manifest, files and warnings of the bundle, the record beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.bundle.manifest import (
    DetectorSpec,
    Manifest,
    Provenance,
    RegionOfFrame,
    StationSpec,
    Variant,
    ViewRule,
)
from edge_app.records import JsonObject
from export.auto_method.select import MethodChoice
from export.bundle_build.defect_classifier_step import ClassifierFound
from export.bundle_build.records import BuildOptions, InspectorFacts
from export.calibrate.golden_set import GoldenFile
from export.calibrate.thresholds import Calibration
from export.data.dataset import Picture
from export.pose.step import Cutting, models_of
from export.versions import training_versions
from export.workspace import Workspace

WIDE_BOUND = 0.05
"""An upper bound of the false-alarm rate above it is worth a word: one good part in twenty."""


@dataclass(frozen=True, slots=True, eq=False)
class Assembly:
    """What the bundle's files are made of.

    Attributes:
        work: the workspace's folder; it holds the cue's and the aligner's pictures.
        classifier: the classifier of known defects; None without one.
        station: how sound pictures look where a missing product is NG; None where it is not.
    """

    cutting: Cutting
    detector: Path | None
    graph: Path
    work: Path
    golden: list[GoldenFile]
    report: str
    classifier: ClassifierFound | None = None
    station: StationSpec | None = None


def files_of(assembly: Assembly) -> dict[str, bytes]:
    """Return the bundle's members but the manifest: name → bytes."""
    report = assembly.report.encode(errors="backslashreplace")  # names of files hold any bytes
    files = {"inspector.onnx": assembly.graph.read_bytes(), "report.html": report}
    learnt = assembly.work / "orientation"
    if assembly.detector is not None:
        files["detector.onnx"] = assembly.detector.read_bytes()
    if assembly.cutting.pose.cue is not None:
        files["cue.png"] = (learnt / "cue.png").read_bytes()
    if assembly.cutting.pose.aligner is not None:
        files["align.png"] = (learnt / "align.png").read_bytes()
    if assembly.classifier is not None:
        files |= assembly.classifier.files
    return {**files, **{g.picture.file: g.data for g in assembly.golden}}


def manifest_of(
    options: BuildOptions,
    detector: DetectorSpec | None,
    assembly: Assembly,
    found: Calibration,
    facts: InspectorFacts,
    seen: tuple[Sequence[Picture], Sequence[Picture]],
) -> Manifest:
    """Return the manifest; `seen` are the pictures that trained and those that set a threshold."""
    orientation, crop, alignment = models_of(assembly.cutting)
    classifier, thresholds = assembly.classifier, found.thresholds
    if classifier is not None:
        thresholds = thresholds.model_copy(update={"softmax_threshold": classifier.threshold})
    variant = Variant(
        precision="fp32",
        detector="detector.onnx" if detector else None,
        inspector="inspector.onnx",
        thresholds=thresholds,
        golden=tuple(g.picture for g in assembly.golden),
        classifier="classifier.onnx" if classifier else None,
        golden_regions=classifier.golden if classifier else None,
    )
    training, calibration = seen
    return Manifest(
        product=options.product,
        serial=options.serial,
        targets=options.targets,
        detector=detector,
        orientation=orientation,
        crop=crop,
        alignment=alignment,
        classifier=classifier.spec if classifier else None,
        views=ViewRule(max_views=options.max_views),
        region=_region_of(assembly.cutting),
        station=assembly.station,
        variants=(variant,),
        provenance=Provenance(
            method=options.method,
            data=f"{len(training) + len(calibration)} pictures",
            seed=options.seed,
            versions=training_versions(),
            notes=tuple(f"{k}: {v}" for k, v in facts.rows()),
            training_sha256=tuple(p.sha256 for p in training),
            calibration_sha256=tuple(p.sha256 for p in calibration),
            measured={"calibration_recall": round(found.recall, 4)},
        ),
    )


def _region_of(cutting: Cutting) -> RegionOfFrame | None:
    region = cutting.region
    if region is None:
        return None
    return RegionOfFrame(x=region.x, y=region.y, w=region.w, h=region.h)


def warnings_of(found: Calibration) -> tuple[str, ...]:
    """Return what a person must know of the threshold besides the answer on top."""
    choice, warnings = found.choice, []
    if choice.rate_bound > WIDE_BOUND:
        warnings.append(
            f"{choice.good_count} good parts say little about the false-alarm rate: it may be up "
            f"to {choice.rate_bound:.1%} (95 % confidence); take more pictures of good parts, or "
            "set the limit from the line with edge-calibrate thresholds --from, which guarantees "
            "0.5 % from 598 good parts on"
        )
    if found.bad_are_real and found.recall < 0.5:
        warnings.append(
            f"the threshold catches only {found.recall:.0%} of the "
            f"{found.thresholds.defects_from} it was chosen with"
        )
    return tuple(warnings)


def write_build_record(
    options: BuildOptions, space: Workspace, digest: str, choice: MethodChoice | None
) -> None:
    """Times and paths belong to this run, not to the bundle: they go beside it.

    Args:
        choice: what `auto` compared; its times are of the run that compared.
    """
    record: JsonObject = {
        "bundle_sha256": digest,
        "data": str(options.data),
        "device": options.device,
        "method": options.method,
        "seconds": {name: round(s, 2) for name, s in space.timings_s.items()},
    }
    if choice is not None:
        record["auto"] = {
            "method": choice.method,
            "reason": choice.reason,
            "compared": {e.method: {**e.kinds, "caught": e.caught} for e in choice.evidence},
            "left_out": choice.left_out,
            "seconds": choice.seconds,
        }
    beside = options.out.with_name(options.out.name + ".build.json")
    beside.write_text(json.dumps(record, indent=1) + "\n")
