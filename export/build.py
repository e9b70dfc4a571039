"""From a folder of good pictures to an unsigned bundle: the steps, in order, each resumable.

pictures → labels → detector → parts → orientation → crops → inspector → thresholds → bundle
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle import write_bundle
from edge_app.inspector import Inspector
from edge_app.judge import Limits
from edge_app.manifest import DetectorSpec, Manifest, Provenance, Variant, ViewRule
from edge_app.model import LoadedModel
from edge_app.records import JsonObject, ModelIdentity, U8Array
from export.dataset import Picture, scan_good_pictures
from export.golden import GoldenFile, make_golden_set
from export.report import write_report
from export.silhouette import product_silhouette
from export.steps import (
    Cutting,
    cut_all,
    detector_step,
    inspector_step,
    label_step,
    models_of,
    open_finder,
    orientation_step,
    parts_step,
    split,
)
from export.thresholds import Calibration, calibrate, paint_all, score_crops
from export.versions import training_versions
from export.workspace import Workspace

Show = Callable[[str, str, float], None]
"""Called with (step, text, share of the step done)."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What a person can choose.

    Attributes:
        data: the data set's folder.
        out: the bundle file to write.
        detector: "auto", "none", or the path of a detector.onnx.
        steps: optimiser steps of the inspector's pretext training.
        false_alarm_rate: budget, as a fraction of good parts.
        max_views: how many views of a part are judged on a free-running camera.
    """

    data: Path
    out: Path
    product: str
    detector: str = "auto"
    method: str = "cropliq"
    seed: int = 0
    device: str = "cpu"
    serial: int = 1
    steps: int = 250
    false_alarm_rate: float = 0.005
    max_views: int = 1


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The finished bundle and what a person should know."""

    path: Path
    sha256: str
    warnings: tuple[str, ...]
    measured: dict[str, float]


def build(options: BuildOptions, show: Show) -> BuildResult:
    """Run every step and write the bundle.

    Raises:
        DataError: the pictures are not enough, or not what the options say.
    """
    space = Workspace(options.out.with_name(options.out.name + ".work"), show)
    show("pictures", "reading", 0.0)
    good = scan_good_pictures(options.data)
    fitting, held = split(good.pictures)
    labels = label_step(space, good, fitting, options.detector)
    file, spec = detector_step(
        space, labels, fitting, options.detector, options.seed, options.device
    )
    finder = open_finder(file, spec, labels.has_axis)
    everything = [*fitting, *held]
    detector_sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    parts, empty = parts_step(space, finder, detector_sha256, everything, labels.fills_frame)
    fitting_parts = [p for p in parts if p.picture < len(fitting)]
    held_parts = [p for p in parts if p.picture >= len(fitting)]
    cutting = orientation_step(space, finder, labels, fitting, fitting_parts)
    crops, _ = cut_all(cutting, everything, fitting_parts, lambda s: show("crops", "", s))
    held_crops, _ = cut_all(cutting, everything, held_parts, lambda s: show("crops", "", s))
    mask = _product_region(cutting, crops)
    graph, about = inspector_step(
        space, crops, mask, seed=options.seed, steps=options.steps, device=options.device
    )
    inspector = Inspector(OnnxRunner(graph), cutting.spec.crop_hw)
    found = _calibrate(inspector, held_crops, mask, options, show)
    model = _loaded(cutting, inspector, found, options)
    golden = make_golden_set(
        model, [p.read for p in held], mask, options.seed, lambda s: show("golden", "", s)
    )
    warnings = (*good.warnings, *_warnings(empty, found))
    report = write_report(
        options.product, good, labels, cutting, crops, mask, found, model, about, warnings
    )
    files = _files(file, graph, cutting, golden, report, space.folder)
    manifest = _manifest(options, spec, cutting, found, golden, fitting, held, about)
    digest = write_bundle(options.out, manifest, files)
    _write_build_record(options, space, digest)
    show("bundle", f"{options.out.name} {digest[:12]}", 1.0)
    measured = {"pseudo_anomaly_recall": found.recall}
    return BuildResult(options.out, digest, warnings, measured)


def _product_region(cutting: Cutting, crops: list[U8Array]) -> U8Array | None:
    """Return where in a crop the product is, uint8 (h, w); None where it fills the frame."""
    if cutting.pose.aligner is None:
        return None
    h, w = cutting.spec.crop_hw
    product_w, product_h = cutting.pose.aligner.product_wh
    box = np.zeros((h, w), np.uint8)
    top, left = max(0, round((h - product_h) / 2)), max(0, round((w - product_w) / 2))
    box[top : h - top, left : w - left] = 255
    return product_silhouette(np.stack(crops), box)


def _calibrate(
    inspector: Inspector,
    held_crops: list[U8Array],
    mask: U8Array | None,
    options: BuildOptions,
    show: Show,
) -> Calibration:
    def told(share: float) -> None:
        show("thresholds", "", share)

    good = score_crops(inspector, held_crops, told)
    painted = paint_all(held_crops, mask, options.seed)
    bad = score_crops(inspector, painted, told)
    return calibrate(good, bad, options.false_alarm_rate)


def _loaded(
    cutting: Cutting, inspector: Inspector, found: Calibration, options: BuildOptions
) -> LoadedModel:
    t = found.thresholds
    return LoadedModel(
        identity=ModelIdentity(options.product, options.serial, "0" * 64, "fp32"),
        finder=cutting.finder,
        inspector=inspector,
        pose=cutting.pose,
        spec=cutting.spec,
        limits=Limits(t.score_threshold, t.map_threshold, t.threshold_id),
        max_views=options.max_views,
    )


def _warnings(empty: list[str], found: Calibration) -> tuple[str, ...]:
    told = []
    if empty:
        told.append(f"no product found in {len(empty)} pictures: {', '.join(empty[:5])}")
    choice = found.choice
    if not choice.is_guaranteed:
        told.append(
            f"{choice.good_count} held-back good parts cannot guarantee a false-alarm rate of "
            f"{choice.budget_rate:.2%}: at 95 % confidence it is at most {choice.rate_bound:.2%}; "
            f"{choice.needed_count} parts would do"
        )
    if found.recall < 0.5:
        told.append(
            f"the threshold catches only {found.recall:.0%} of the painted pseudo-anomalies"
        )
    return tuple(told)


def _files(
    detector: Path | None,
    graph: Path,
    cutting: Cutting,
    golden: list[GoldenFile],
    report: str,
    work: Path,
) -> dict[str, bytes]:
    files = {"inspector.onnx": graph.read_bytes(), "report.html": report.encode()}
    if detector is not None:
        files["detector.onnx"] = detector.read_bytes()
    if cutting.pose.cue is not None:
        files["cue.png"] = (work / "orientation" / "cue.png").read_bytes()
    if cutting.pose.aligner is not None:
        files["align.png"] = (work / "orientation" / "align.png").read_bytes()
    return {**files, **{g.picture.file: g.data for g in golden}}


def _manifest(
    options: BuildOptions,
    detector: DetectorSpec | None,
    cutting: Cutting,
    found: Calibration,
    golden: list[GoldenFile],
    fitting: list[Picture],
    held: list[Picture],
    about: JsonObject,
) -> Manifest:
    orientation, crop, alignment = models_of(cutting)
    variant = Variant(
        precision="fp32",
        detector="detector.onnx" if detector else None,
        inspector="inspector.onnx",
        thresholds=found.thresholds,
        golden=tuple(g.picture for g in golden),
    )
    return Manifest(
        product=options.product,
        serial=options.serial,
        detector=detector,
        orientation=orientation,
        crop=crop,
        alignment=alignment,
        views=ViewRule(max_views=options.max_views),
        variants=(variant,),
        provenance=Provenance(
            method=options.method,
            data=f"{len(fitting) + len(held)} pictures of good parts",
            seed=options.seed,
            versions=training_versions(),
            notes=tuple(f"{k}: {v}" for k, v in sorted(about.items())),
            training_sha256=tuple(p.sha256 for p in fitting),
            calibration_sha256=tuple(p.sha256 for p in held),
            measured={"pseudo_anomaly_recall": round(found.recall, 4)},
        ),
    )


def _write_build_record(options: BuildOptions, space: Workspace, digest: str) -> None:
    """Times and paths belong to this run, not to the bundle: they go beside it."""
    record = {
        "bundle_sha256": digest,
        "data": str(options.data),
        "device": options.device,
        "seconds": {name: round(s, 2) for name, s in space.timings_s.items()},
    }
    beside = options.out.with_name(options.out.name + ".build.json")
    beside.write_text(json.dumps(record, indent=1) + "\n")
