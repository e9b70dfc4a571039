"""From a folder of good pictures to an unsigned bundle: the steps, in order, each resumable.

pictures → labels → detector → parts → orientation → crops → inspector → thresholds → bundle
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.archive import write_bundle
from edge_app.inspection.inspector import Inspector
from edge_app.inspection.judge import Limits
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import ModelIdentity, U8Array
from export.auto_method.report_section import choice_section
from export.auto_method.select import AutoOptions, choose_method
from export.bundle_build.defect_classifier_step import defect_classifier_step
from export.bundle_build.early_check import check_build, check_defects
from export.bundle_build.manifest import (
    Assembly,
    files_of,
    manifest_of,
    warnings_of,
    write_build_record,
)
from export.bundle_build.records import (
    BuildOptions,
    BuildResult,
    CutParts,
    Found,
    InspectorFacts,
    Labelled,
    Trained,
)
from export.bundle_build.report import write_report
from export.calibrate.golden_set import HardlyTellsError, make_golden_set
from export.calibrate.thresholds import Calibration, add_anomalies, calibrate, score_crops
from export.data.crops import FoundPart
from export.data.dataset import scan_good_pictures
from export.data.split import split
from export.defects.crops import DefectCrops, defect_crops
from export.defects.pictures import DefectPictures, cut_defects, refuse_good_as_defect, scan_defects
from export.detector.step import detector_step, open_finder, parts_step
from export.labels.step import label_step
from export.methods.multi_process.launcher import check_processes
from export.methods.names import AUTO
from export.methods.registry import method_of
from export.methods.train import inspector_step
from export.pose.crop_checks import two_products
from export.pose.silhouette import product_silhouette
from export.pose.step import Cutting, cut_all, orientation_step
from export.workspace import OnStep, Workspace

__all__ = [
    "BuildOptions",
    "BuildResult",
    "CutParts",
    "Found",
    "Labelled",
    "Trained",
    "build",
    "cut_parts",
    "finish",
    "label_pictures",
    "train_detector",
    "train_inspector",
]


def build(options: BuildOptions, on_step: OnStep) -> BuildResult:
    """Run every step and write the bundle.

    Raises:
        DataError: the pictures are not enough, or not what the options say.
    """
    check_build(options)
    check_defects(options)
    check_processes(options.processes, options.device)
    labelled = label_pictures(options, on_step)
    found = train_detector(options, labelled)
    cut = cut_parts(labelled, found, on_step)
    trained = train_inspector(options, labelled.space, cut)
    return finish(options, labelled, found, trained, on_step)


def finish(
    options: BuildOptions,
    labelled: Labelled,
    found: Found,
    trained: Trained,
    on_step: OnStep,
    for_comparison: bool = False,
) -> BuildResult:
    """Set the thresholds, choose the golden pictures and write the bundle.

    Args:
        for_comparison: known defects do not teach the bundle to name them, and a model that hardly
            tells good parts from bad is measured all the same: its bundle has no golden pictures,
            so no device takes it.

    Raises:
        DataError: defects score no higher than good parts, or hardly any picture keeps its
            distance from the threshold.
    """
    options = replace(options, method=trained.method)
    known = scan_defects(options.known_defects)
    real = scan_defects(options.calibration_defects)
    cut = trained.cut
    inspector = Inspector(OnnxRunner(trained.graph), cut.cutting.spec.crop_hw)
    calibration = _calibrate(inspector, cut, real, options, on_step)
    model = _loaded(cut.cutting, inspector, calibration, options)
    taught = DefectPictures() if for_comparison else known
    classifier, more_warnings = defect_classifier_step(labelled.space, taught, model, options.seed)
    chosen_by = f"auto: {trained.choice.reason}" if trained.choice else None
    facts = InspectorFacts(trained.inspector, chosen_by, classifier.summary if classifier else None)
    readers = [p.read for p in labelled.hold_out]
    try:
        golden = make_golden_set(
            model, readers, cut.mask, options.seed, lambda s: on_step("golden", "", s)
        )
    except HardlyTellsError as error:
        if not for_comparison:
            raise
        golden, more_warnings = [], (*more_warnings, str(error))
    warnings = (
        *labelled.good.warnings,
        *known.warnings,
        *real.warnings,
        *labelled.labels.warnings,
        *found.parts.warnings,
        *two_products(cut.crops),
        *warnings_of(calibration, [labelled.hold_out[p.picture].name for p in cut.hold_out_parts]),
        *more_warnings,
    )
    report = write_report(
        options.product,
        labelled,
        cut,
        calibration,
        model,
        facts,
        warnings,
        choice_section(trained.choice) if trained.choice else (),
    )
    assembly = Assembly(
        cut.cutting,
        found.detector,
        trained.graph,
        labelled.space.folder,
        golden,
        report,
        classifier,
    )
    files = files_of(assembly)
    seen = [*labelled.training, *known.pictures]
    judged = [*labelled.hold_out, *real.pictures]
    manifest = manifest_of(options, found.spec, assembly, calibration, facts, (seen, judged))
    digest = write_bundle(options.out, manifest, files)
    write_build_record(options, labelled.space, digest, trained.choice)
    on_step("bundle", f"{options.out.name} {digest[:12]}", 1.0)
    measured = {"recall": calibration.recall}
    return BuildResult(options.out, digest, warnings, measured)


def label_pictures(options: BuildOptions, on_step: OnStep) -> Labelled:
    """Read the pictures and find out where the products are (`edge-export label`)."""
    check_build(options)
    space = Workspace(options.out.with_name(options.out.name + ".work"), on_step)
    space.lock()
    on_step("pictures", "reading", 0.0)
    good = scan_good_pictures(options.data)
    refuse_good_as_defect(
        good,
        scan_defects(options.known_defects),
        scan_defects(options.calibration_defects),
    )
    on_step("pictures", good.summary, 1.0)
    training, hold_out = split(good.pictures)
    return Labelled(
        space, good, training, hold_out, label_step(space, good, training, options.detector)
    )


def train_detector(options: BuildOptions, labelled: Labelled) -> Found:
    """Train the detector and find every product with it (`edge-export detector`)."""
    space, labels = labelled.space, labelled.labels
    file, spec = detector_step(
        space, labels, labelled.training, options.detector, options.seed, options.device
    )
    finder = open_finder(file, spec, labels.has_axis)
    everything = [*labelled.training, *labelled.hold_out]
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest() if file else ""
    parts = parts_step(space, finder, sha256, everything, labels.fills_frame)
    return Found(file, spec, finder, parts)


def cut_parts(labelled: Labelled, found: Found, on_step: OnStep) -> CutParts:
    """Find the parts' orientation, and cut every one of them upright."""
    training, hold_out = labelled.training, labelled.hold_out
    parts = [p for p in found.parts.parts if p.picture < len(training)]
    hold_out_parts = [
        FoundPart(p.picture - len(training), p.box_cxcywhr)
        for p in found.parts.parts
        if p.picture >= len(training)
    ]
    cutting = orientation_step(labelled.space, found.finder, labelled.labels, training, parts)
    crops, _ = cut_all(cutting, training, parts, lambda s: on_step("crops", "", s))
    hold_out_crops, _ = cut_all(
        cutting, hold_out, hold_out_parts, lambda s: on_step("crops", "", s)
    )
    return CutParts(cutting, crops, hold_out_parts, hold_out_crops, _product_region(cutting, crops))


def train_inspector(options: BuildOptions, space: Workspace, cut: CutParts) -> Trained:
    """Train what judges the crops (`edge-export train`); choose its method first if asked to."""
    method, choice = options.method, None
    if method == AUTO:
        asked = AutoOptions(options.seed, options.steps, options.device, options.auto_budget_s)
        choice = choose_method(space, cut.crops, cut.mask, asked)
        method = choice.method
    graph, inspector = inspector_step(
        space,
        cut.crops,
        cut.mask,
        method=method,
        seed=options.seed,
        steps=options.steps,
        device=options.device,
        defects=learnt_defects(options, method, cut.cutting),
        processes=options.processes,
    )
    return Trained(cut, method, graph, inspector, choice)


def learnt_defects(options: BuildOptions, method: str, cutting: Cutting) -> DefectCrops | None:
    """Return the real defects, for a method that learns from them; None without any."""
    if options.known_defects is None or not method_of(method).traits.learns_from_defects:
        return None
    return defect_crops(scan_defects(options.known_defects), cutting)


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
    cut: CutParts,
    real: DefectPictures,
    options: BuildOptions,
    on_step: OnStep,
) -> Calibration:
    def on_share(share: float) -> None:
        on_step("thresholds", "", share)

    good = score_crops(inspector, cut.hold_out_crops, on_share)
    if real.pictures:
        defects, source = cut_defects(real, cut.cutting), real.summary
    else:
        defects = add_anomalies(cut.hold_out_crops, cut.mask, options.seed)
        source = "pseudo-anomalies"
    bad = score_crops(inspector, defects, on_share)
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
