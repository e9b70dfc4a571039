"""From a folder of good pictures to an unsigned bundle: the steps, in order, each resumable.

pictures → labels → detector → parts → orientation → crops → inspector → thresholds → bundle
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.format_1 import at_most_format
from edge_app.bundle.manifest import StationSpec
from edge_app.errors import DataError
from edge_app.inspection.inspector import Inspector
from edge_app.model.loaded_model import LoadedModel, limits_of
from edge_app.records import ModelIdentity, U8Array
from export.auto_method.report_section import choice_section
from export.auto_method.select import AutoOptions, choose_method
from export.bundle_build.answer import LOOK_BELOW, answer
from export.bundle_build.defect_classifier_step import defect_classifier_step
from export.bundle_build.early_check import check_build, check_defects
from export.bundle_build.manifest import (
    Assembly,
    files_of,
    manifest_of,
    warnings_of,
    write_build_record,
)
from export.bundle_build.odd_page import odd_views
from export.bundle_build.odd_parts import OddParts, calibrated_parts, odd_parts
from export.bundle_build.records import (
    BuildOptions,
    BuildResult,
    CutParts,
    Found,
    InspectorFacts,
    Labelled,
    Trained,
)
from export.bundle_build.report import ReportParts, write_report
from export.bundle_build.review_sheet import take_over, write_review
from export.bundle_build.view_choice import (
    choose_view,
    find_with_detector,
    judged_by_folds,
    measuring_step,
    misses_are_ng,
)
from export.calibrate.golden_set import HardlyTellsError, make_golden_set
from export.calibrate.thresholds import (
    SYNTHETIC,
    Calibration,
    Defects,
    add_anomalies,
    calibrate,
    calibrate_cross_fitted,
    score_crops,
)
from export.data.dataset import GoodPictures, Picture, scan_good_pictures
from export.data.split import split
from export.data.stable_order import in_stable_order
from export.data.station import station_of
from export.defects.crops import DefectCrops, defect_crops
from export.defects.evidence import CrossFitted
from export.defects.pictures import DefectPictures, cut_defects, refuse_good_as_defect, scan_defects
from export.labels.given.read import has_labels
from export.labels.step import Labels, label_step
from export.methods.multi_process.launcher import check_processes
from export.methods.names import AUTO, DEFAULT
from export.methods.registry import method_of
from export.methods.train import cross_fits, inspector_step
from export.pose.crop_checks import two_products
from export.pose.step import Cutting
from export.workspace import OnStep, Workspace

__all__ = [
    "BuildOptions",
    "BuildResult",
    "CutParts",
    "Found",
    "Labelled",
    "Trained",
    "build",
    "choose_view",
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
    found, cut = choose_view(options, labelled, on_step)
    trained = train_inspector(options, cut)
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
    by_folds = None
    if not cut.hold_out_parts:
        by_folds = judged_by_folds(options, found, trained.graph)
    calibration = _calibrate(inspector, trained, real, by_folds, options, on_step)
    good = labelled.good
    odd = odd_parts(calibrated_parts(labelled, cut, by_folds), calibration, good.review.kept)
    calibration = calibration.with_confirmed(good.confirmed_defective, odd.harmless)
    model = _loaded(cut.cutting, inspector, calibration, options)
    taught = DefectPictures() if for_comparison else known
    classifier, more_warnings = defect_classifier_step(labelled.space, taught, model, options.seed)
    chosen_by = f"auto: {trained.choice.reason}" if trained.choice else None
    facts = InspectorFacts(trained.inspector, chosen_by, classifier.summary if classifier else None)
    readers = [p.read for p in (labelled.hold_out or labelled.training)]
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
        *cut.warnings,
        *warnings_of(calibration),
        *odd.warnings,
        *more_warnings,
    )
    views = odd_views(odd.shown, model)
    shown = ReportParts(labelled, cut, calibration, odd, views, facts)
    sections = choice_section(trained.choice) if trained.choice else ()
    report = write_report(options.product, shown, model, warnings, sections)
    assembly = Assembly(
        cut.cutting,
        found.detector,
        trained.graph,
        cut.space.folder,
        golden,
        report,
        classifier,
        _station(options, labelled, found),
    )
    files = files_of(assembly)
    seen = [*labelled.training, *known.pictures]
    judged = [*(labelled.hold_out or labelled.training), *real.pictures]
    manifest = manifest_of(options, found.spec, assembly, calibration, facts, (seen, judged))
    manifest, left_out = at_most_format(options.format, manifest)
    digest = write_bundle(options.out, manifest, files)
    write_build_record(options, labelled.space, digest, trained.choice)
    on_step("bundle", f"{options.out.name} {digest[:12]}", 1.0)
    where = LOOK_BELOW if for_comparison else _ask(options, odd, views)
    weak = calibration.weakness
    return BuildResult(
        options.out,
        digest,
        (*((weak,) if weak and for_comparison else ()), *warnings, *left_out),
        {"recall": calibration.recall},
        tuple(answer(calibration, odd, cut, facts, where)),
        weak,
    )


def _ask(options: BuildOptions, odd: OddParts, views: Sequence[tuple[U8Array, U8Array]]) -> str:
    """Write the sheet on odd parts beside the bundle and return where a person finds it."""
    page = write_review(options.out, options.data, options.product, odd.shown, views)
    return f"in {page}, and decide with edge-export review {options.out}"


def _station(options: BuildOptions, labelled: Labelled, found: Found) -> StationSpec | None:
    """Return when a picture without the product is NG; None where it cannot be told to be."""
    if not misses_are_ng(options, found):
        return None
    return station_of(labelled.training, found.parts)


def label_pictures(options: BuildOptions, on_step: OnStep, holds_back: bool = False) -> Labelled:
    """Read the pictures and find out where the products are (`edge-export label`).

    Args:
        holds_back: a part of them sets the thresholds, whatever the method.
    """
    check_build(options)
    space = Workspace(options.out.with_name(options.out.name + ".work"), on_step)
    space.lock()
    take_over(options.out, options.data)
    on_step("pictures", "reading", 0.0)
    good = scan_good_pictures(options.data)
    refuse_good_as_defect(
        good,
        scan_defects(options.known_defects),
        scan_defects(options.calibration_defects),
    )
    on_step("pictures", good.summary, 1.0)
    training, hold_out = in_stable_order(good), list[Picture]()
    if holds_back or not cross_fits(options.method):
        training, hold_out = split(training)
    return Labelled(space, good, training, hold_out, _labels(options, space, good, training))


def _labels(
    options: BuildOptions, space: Workspace, good: GoodPictures, training: Sequence[Picture]
) -> Labels:
    """Return where the products are; nowhere in particular if that cannot be told."""
    try:
        return label_step(space, good, training, options.detector_source)
    except DataError as error:
        if options.detector != "auto" or has_labels(good.folder, good.root):
            raise
        note = f"the whole picture is inspected, because the part could not be found: {error}"
        return Labels(True, [], None, "the part could not be told from its background", (note,))


def train_detector(options: BuildOptions, labelled: Labelled) -> Found:
    """Train the detector and find every product with it (`edge-export detector`)."""
    return find_with_detector(options, labelled)


def train_inspector(options: BuildOptions, cut: CutParts) -> Trained:
    """Train what judges the crops (`edge-export train`); choose its method first if asked to."""
    method, choice = options.method, None
    if method == AUTO:
        asked = AutoOptions(options.seed, options.steps, options.device, options.auto_budget_s)
        choice = choose_method(cut.space, cut.crops, cut.mask, asked)
        method = choice.method
    if method == DEFAULT:
        graph, inspector = measuring_step(options, cut)
        return Trained(cut, method, graph, inspector, choice)
    graph, inspector = inspector_step(
        cut.space,
        cut.crops,
        cut.mask,
        method=method,
        seed=options.seed,
        steps=options.steps,
        device=options.device,
        defects=learnt_defects(options, method, cut.cutting),
        processes=options.processes,
        evidence=cut.evidence if cross_fits(method) else None,
    )
    return Trained(cut, method, graph, inspector, choice)


def learnt_defects(options: BuildOptions, method: str, cutting: Cutting) -> DefectCrops | None:
    """Return the real defects, for a method that learns from them; None without any."""
    if options.known_defects is None or not method_of(method).traits.learns_from_defects:
        return None
    return defect_crops(scan_defects(options.known_defects), cutting)


def _calibrate(
    inspector: Inspector,
    trained: Trained,
    real: DefectPictures,
    judged: CrossFitted | None,
    options: BuildOptions,
    on_step: OnStep,
) -> Calibration:
    """Set the limits: by folds where all good parts were trained on, else on those held out."""
    cut = trained.cut

    def on_share(share: float) -> None:
        on_step("thresholds", "", share)

    on_share(0.0)
    defects = None
    if real.pictures:
        scores = score_crops(inspector, cut_defects(real, cut.cutting), on_share)
        defects = Defects(scores, real.summary, are_real=True)
    if judged is not None:
        return calibrate_cross_fitted(judged, defects, options.false_alarm_rate)
    good = score_crops(inspector, cut.hold_out_crops, on_share)
    if defects is None:
        drawn, labels = add_anomalies(cut.hold_out_crops, cut.mask, options.seed)
        scores = score_crops(inspector, drawn, on_share)
        defects = Defects(scores, SYNTHETIC, are_real=False, labels=labels)
    return calibrate(good, defects, options.false_alarm_rate)


def _loaded(
    cutting: Cutting, inspector: Inspector, found: Calibration, options: BuildOptions
) -> LoadedModel:
    return LoadedModel(
        identity=ModelIdentity(options.product, options.serial, "0" * 64, "fp32"),
        finder=cutting.finder,
        inspector=inspector,
        pose=cutting.pose,
        spec=cutting.spec,
        limits=limits_of(found.thresholds),
        max_views=options.max_views,
        outline=cutting.outline,
    )
