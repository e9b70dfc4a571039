"""A bundle made ready to judge: its graphs loaded, its limits and its cue in hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.backends.protocol import CLASSIFIER, OpenGraph, check_contract
from edge_app.bundle.archive import Bundle
from edge_app.bundle.manifest import Manifest, Thresholds, Variant
from edge_app.bundle.thresholds import clear_recall
from edge_app.cameras.protocol import CameraInfo
from edge_app.errors import BundleError
from edge_app.imaging.upright_crop import CropSpec, upright_crop
from edge_app.inspection.alignment import Aligner, aligner_from_template, small_spec
from edge_app.inspection.defect_classifier import DefectClassifier
from edge_app.inspection.detector import Detector
from edge_app.inspection.inspector import Inspector
from edge_app.inspection.judge import Limits
from edge_app.inspection.line import InspectionLine
from edge_app.inspection.orientation import TURNS, DirectionCue, cue_from_template
from edge_app.inspection.outline import ProductOutline, outline_from_silhouette
from edge_app.inspection.part_ledger import PartLedger
from edge_app.inspection.plausibility import Plausibility, plausibility_of
from edge_app.inspection.pose import PoseFinder
from edge_app.inspection.stages import ProductFinder, Stages, WholeFrame
from edge_app.inspection.station import Station
from edge_app.inspection.tracker import BeltTracker, OnePartPerFrame, Tracker
from edge_app.inspection.worth_keeping import KeepRule
from edge_app.records import ModelIdentity, U8Array

MAX_GOLDEN = 32
"""Golden pictures that are looked at for what a part looks like; a build makes up to 20."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """Everything a line needs of a bundle. The graphs belong to one thread at a time.

    Attributes:
        defect_classifier: names known defects; None where the bundle has no classifier.
        shortfall: what this device was meant to run it with and cannot, for people: an engine that
            is missing, a variant that fails its golden set; "" where all is as wanted.
        outline: tells whole parts whose box reaches over the border; None: they are cut.
        station: of pictures in which a product that is not found is missing; None: of none.
        plausibility: tells crops that can show no such part; None: too few golden pictures.
    """

    identity: ModelIdentity
    finder: ProductFinder
    inspector: Inspector
    pose: PoseFinder
    spec: CropSpec
    limits: Limits
    max_views: int
    defect_classifier: DefectClassifier | None = None
    shortfall: str = ""
    outline: ProductOutline | None = None
    station: Station | None = None
    plausibility: Plausibility | None = None

    @property
    def stages(self) -> Stages:
        """The way from a picture to scores, for the line and for pictures on disk."""
        return Stages(self.finder, self.pose, self.spec, self.inspector, self.outline)

    @property
    def fills_frame(self) -> bool:
        """The whole frame, or a fixed region of it, is the product; there is no detector."""
        return isinstance(self.finder, WholeFrame)

    def with_limits(self, limits: Limits) -> LoadedModel:
        """Return the same model with other thresholds."""
        return replace(self, limits=limits)


def limits_of(thresholds: Thresholds) -> Limits:
    """Return what the line needs of a variant's thresholds."""
    t = thresholds
    clear = None if t.origin is None else clear_recall(t.origin.sensitivity)
    return Limits(t.score_threshold, t.map_threshold, t.threshold_id, t.suspect_threshold, clear)


def load_model(
    bundle: Bundle,
    threads: int = 0,
    precision: str | None = None,
    open_graph: OpenGraph | None = None,
) -> LoadedModel:
    """Load a bundle's graphs, into ONNX Runtime unless `open_graph` says otherwise.

    Args:
        threads: per graph run; 0 leaves it to ONNX Runtime.
        precision: a variant's name; None takes the preferred one.
        open_graph: opens graphs in place of ONNX Runtime (TensorRT: `backends/choice.py`).

    Raises:
        BundleError: no such variant, or its cue cannot be read.
        ModelError: a graph cannot be loaded.
    """
    manifest, variant = bundle.manifest, bundle.variant(precision)
    spec = manifest.crop.to_spec()
    thresholds = variant.thresholds
    opened = open_graph or (lambda graph, _name, _precision: OnnxRunner(graph, threads))
    runner = opened(bundle.files[variant.inspector], "inspector", variant.precision)
    inspector = Inspector(runner, spec.crop_hw)
    return LoadedModel(
        identity=ModelIdentity(manifest.product, manifest.serial, bundle.sha256, variant.precision),
        finder=_load_finder(bundle, variant, opened),
        inspector=inspector,
        pose=PoseFinder(_load_cue(bundle, spec), _load_aligner(bundle, spec)),
        spec=spec,
        limits=limits_of(thresholds),
        max_views=manifest.views.max_views,
        defect_classifier=_load_defect_classifier(bundle, variant, opened),
        outline=_load_outline(bundle, spec),
        station=_station_of(bundle.manifest),
        plausibility=plausibility_of(_golden_crops(bundle, variant, spec)),
    )


def _load_finder(bundle: Bundle, variant: Variant, open_graph: OpenGraph) -> ProductFinder:
    file, how = variant.detector, bundle.manifest.detector
    if file is None or how is None:
        region = bundle.manifest.region
        return WholeFrame(None if region is None else region.to_region())
    runner = open_graph(bundle.files[file], "detector", variant.precision)
    return Detector(
        runner,
        how.input_hw,
        how.min_confidence,
        how.max_iou,
        how.product_classes,
        has_axis=bundle.manifest.orientation.kind == "two_way",
        shrink=how.shrink,
    )


def _load_defect_classifier(
    bundle: Bundle, variant: Variant, open_graph: OpenGraph
) -> DefectClassifier | None:
    file, how = variant.classifier, bundle.manifest.classifier
    if file is None or how is None:
        return None
    runner = open_graph(bundle.files[file], CLASSIFIER, variant.precision)
    check_contract(runner.describe(), ("regions",), ("logits",))
    threshold = variant.thresholds.softmax_threshold
    return DefectClassifier(runner, how.to_spec(), how.kinds, threshold)


def _load_cue(bundle: Bundle, spec: CropSpec) -> DirectionCue | None:
    orientation = bundle.manifest.orientation
    if orientation.cue is None or TURNS[orientation.kind] == 1:
        return None
    return cue_from_template(
        _grey_picture(bundle.files[orientation.cue], orientation.cue), orientation.kind, spec
    )


def _load_aligner(bundle: Bundle, spec: CropSpec) -> Aligner | None:
    alignment = bundle.manifest.alignment
    if alignment is None:
        return None
    template = _grey_picture(bundle.files[alignment.template], alignment.template)
    if bundle.manifest.crop.whole == "outline":
        template = template[: 2 * small_spec(spec).crop_hw[0]]
    is_round = bundle.manifest.orientation.kind == "free"
    return aligner_from_template(
        template,
        alignment.product_wh,
        spec,
        is_round,
        alignment.size_px,
        alignment.size_tolerance,
        alignment.registration,
    )


def _load_outline(bundle: Bundle, spec: CropSpec) -> ProductOutline | None:
    """Return the silhouette that lies below template and mask, where parts are whole by it."""
    alignment = bundle.manifest.alignment
    if bundle.manifest.crop.whole != "outline":
        return None
    if alignment is None:
        raise BundleError(
            "The bundle says that parts are whole by their outline and has no template that "
            "holds one. Build the bundle again."
        )
    picture = _grey_picture(bundle.files[alignment.template], alignment.template)
    silhouette = picture[2 * small_spec(spec).crop_hw[0] :]
    return outline_from_silhouette(silhouette, spec, alignment.size_px)


def _station_of(manifest: Manifest) -> Station | None:
    spec = manifest.station
    if spec is None or not spec.missing_is_ng:
        return None
    return Station(spec.grey_mean, spec.grey_std, spec.sharpness)


def _golden_crops(bundle: Bundle, variant: Variant, spec: CropSpec) -> list[U8Array]:
    """Return the crops of golden parts; a picture that cannot be read fails the golden check."""
    crops: list[U8Array] = []
    for picture in variant.golden[:MAX_GOLDEN]:
        data = np.frombuffer(bundle.files[picture.file], np.uint8)
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if decoded is not None:
            pixels = np.asarray(decoded, np.uint8)
            crops += [upright_crop(pixels, part.box_cxcywhr, spec) for part in picture.parts]
    return crops


def _grey_picture(data: bytes, name: str) -> U8Array:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise BundleError(f"The bundle's {name} is no readable picture. Build the bundle again.")
    return np.asarray(decoded, dtype=np.uint8)


def make_tracker(
    info: CameraInfo,
    prefix: str,
    fills_frame: bool,
    speed_hint_px_per_s: tuple[float, float] | None = None,
) -> Tracker:
    """Return what gives a source's boxes their identities.

    A numbered source, and a product that fills the frame, have one part per frame.
    """
    if info.is_numbered or fills_frame:
        return OnePartPerFrame(prefix, fills_frame)
    return BeltTracker(prefix, speed_hint_px_per_s)


def make_line(
    model: LoadedModel,
    camera: str,
    tracker: Tracker,
    new_alarm_id: Callable[[], str],
    ledger: PartLedger | None = None,
    keep: KeepRule | None = None,
) -> InspectionLine:
    """Return the line of one camera, judging with `model`.

    Args:
        ledger: of a line that `model` takes over from, with the parts in the picture.
        keep: whose pictures are worth keeping; None: those of suspect parts and of parts that were
            not inspected. A ledger that is taken over keeps its own.
    """
    whose = (model.identity, model.limits.score_threshold, model.limits.threshold_id)
    if ledger is None:
        ledger = PartLedger(camera, *whose, new_alarm_id, keep=keep)
    else:
        ledger.hand_over(*whose)
    return InspectionLine(
        stages=model.stages,
        tracker=tracker,
        limits=model.limits,
        max_views=model.max_views,
        ledger=ledger,
        defect_classifier=model.defect_classifier,
        station=model.station,
        plausibility=model.plausibility,
    )
