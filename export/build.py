"""From a folder of good pictures to an unsigned bundle: the steps, in order, each resumable.

pictures → labels → detector → parts → orientation → crops → inspector → thresholds → bundle
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle import write_bundle
from edge_app.inspector import Inspector
from edge_app.judge import Limits
from edge_app.line import ProductFinder
from edge_app.manifest import DetectorSpec
from edge_app.model import LoadedModel
from edge_app.records import JsonObject, ModelIdentity, U8Array
from export.assemble import Assembly, files_of, manifest_of, warnings_of, write_build_record
from export.crop_checks import two_products
from export.crops import FoundPart, PartsFound
from export.dataset import GoodPictures, Picture, scan_good_pictures
from export.defect_pictures import DefectPictures, cut_defects, scan_defects
from export.finding import (
    Labels,
    detector_step,
    label_step,
    open_finder,
    parts_step,
    split,
)
from export.golden import make_golden_set
from export.report import write_report
from export.silhouette import product_silhouette
from export.steps import Cutting, check_method, cut_all, inspector_step, orientation_step
from export.thresholds import Calibration, calibrate, paint_all, score_crops
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
        known_defects: one sub-folder per kind of real defects; kept out of every evaluation.
        calibration_defects: real defects that choose the threshold in place of painted ones.
    """

    data: Path
    out: Path
    product: str
    detector: str = "auto"
    method: str = "cropliq"
    seed: int = 0
    device: str = "cpu"
    serial: int = 1
    targets: tuple[str, ...] = ("*",)
    steps: int = 100
    false_alarm_rate: float = 0.005
    max_views: int = 1
    known_defects: Path | None = None
    calibration_defects: Path | None = None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The finished bundle and what a person should know."""

    path: Path
    sha256: str
    warnings: tuple[str, ...]
    measured: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """After the first step: the pictures, how they are split, and where the products are."""

    space: Workspace
    good: GoodPictures
    fitting: list[Picture]
    held: list[Picture]
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """After the second: the detector (None: the product fills the frame) and what it finds."""

    detector: Path | None
    spec: DetectorSpec | None
    finder: ProductFinder
    parts: PartsFound


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """After the third: how crops are cut, the crops, and the graph that judges them.

    Attributes:
        crops: of the fitting pictures; `held_parts` of the others, never fitted to.
        mask: uint8 (h, w), where in a crop the product is; None where it fills the frame.
    """

    cutting: Cutting
    crops: list[U8Array]
    held_parts: list[FoundPart]
    held_crops: list[U8Array]
    mask: U8Array | None
    graph: Path
    about: JsonObject


def build(options: BuildOptions, show: Show) -> BuildResult:
    """Run every step and write the bundle.

    Raises:
        DataError: the pictures are not enough, or not what the options say.
    """
    known = scan_defects(options.known_defects)
    real = scan_defects(options.calibration_defects)
    labelled = label_pictures(options, show)
    found = train_detector(options, labelled)
    trained = train_inspector(options, labelled, found, show)
    inspector = Inspector(OnnxRunner(trained.graph), trained.cutting.spec.crop_hw)
    calibration = _calibrate(inspector, trained, real, options, show)
    model = _loaded(trained.cutting, inspector, calibration, options)
    golden = make_golden_set(
        model,
        [p.read for p in labelled.held],
        trained.mask,
        options.seed,
        lambda s: show("golden", "", s),
    )
    warnings = (
        *labelled.good.warnings,
        *labelled.labels.warnings,
        *found.parts.warnings,
        *two_products(trained.crops),
        *warnings_of(calibration, [labelled.held[p.picture].name for p in trained.held_parts]),
    )
    report = write_report(
        options.product,
        labelled.good,
        labelled.labels,
        trained.cutting,
        trained.crops,
        trained.held_crops,
        trained.mask,
        calibration,
        model,
        trained.about,
        warnings,
    )
    assembly = Assembly(
        trained.cutting, found.detector, trained.graph, labelled.space.folder, golden, report
    )
    files = files_of(assembly)
    seen = [*labelled.fitting, *known.pictures]
    judged = [*labelled.held, *real.pictures]
    manifest = manifest_of(
        options, found.spec, assembly, calibration, trained.about, (seen, judged)
    )
    digest = write_bundle(options.out, manifest, files)
    write_build_record(options, labelled.space, digest)
    show("bundle", f"{options.out.name} {digest[:12]}", 1.0)
    measured = {"recall": calibration.recall}
    return BuildResult(options.out, digest, warnings, measured)


def label_pictures(options: BuildOptions, show: Show) -> Labelled:
    """Read the pictures and find out where the products are (`edge-export label`)."""
    check_method(options.method)
    space = Workspace(options.out.with_name(options.out.name + ".work"), show)
    show("pictures", "reading", 0.0)
    good = scan_good_pictures(options.data)
    fitting, held = split(good.pictures)
    return Labelled(space, good, fitting, held, label_step(space, good, fitting, options.detector))


def train_detector(options: BuildOptions, labelled: Labelled) -> Found:
    """Train the detector and find every product with it (`edge-export detector`)."""
    space, labels = labelled.space, labelled.labels
    file, spec = detector_step(
        space, labels, labelled.fitting, options.detector, options.seed, options.device
    )
    finder = open_finder(file, spec, labels.has_axis)
    everything = [*labelled.fitting, *labelled.held]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    parts = parts_step(space, finder, sha256, everything, labels.fills_frame)
    return Found(file, spec, finder, parts)


def train_inspector(options: BuildOptions, labelled: Labelled, found: Found, show: Show) -> Trained:
    """Cut the upright crops and train what judges them (`edge-export train`)."""
    fitting, held = labelled.fitting, labelled.held
    parts = [p for p in found.parts.parts if p.picture < len(fitting)]
    held_parts = [
        FoundPart(p.picture - len(fitting), p.box_cxcywhr)
        for p in found.parts.parts
        if p.picture >= len(fitting)
    ]
    cutting = orientation_step(labelled.space, found.finder, labelled.labels, fitting, parts)
    crops, _ = cut_all(cutting, fitting, parts, lambda s: show("crops", "", s))
    held_crops, _ = cut_all(cutting, held, held_parts, lambda s: show("crops", "", s))
    mask = _product_region(cutting, crops)
    graph, about = inspector_step(
        labelled.space,
        crops,
        mask,
        method=options.method,
        seed=options.seed,
        steps=options.steps,
        device=options.device,
    )
    return Trained(cutting, crops, held_parts, held_crops, mask, graph, about)


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
    trained: Trained,
    real: DefectPictures,
    options: BuildOptions,
    show: Show,
) -> Calibration:
    def told(share: float) -> None:
        show("thresholds", "", share)

    good = score_crops(inspector, trained.held_crops, told)
    if real.pictures:
        defects, source = cut_defects(real, trained.cutting), real.told
    else:
        defects = paint_all(trained.held_crops, trained.mask, options.seed)
        source = "pseudo-anomalies"
    bad = score_crops(inspector, defects, told)
    return calibrate(good, bad, options.false_alarm_rate, source)


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
