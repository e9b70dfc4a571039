"""The steps of a build. Each leaves its result in the workspace and is taken from there if it is
still valid; `build.py` calls them in order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np

from edge_app.alignment import aligner_from_template
from edge_app.backends.onnx import OnnxRunner
from edge_app.crop import CropSpec
from edge_app.detector import Detector
from edge_app.errors import DataError
from edge_app.line import ProductFinder, WholeFrame
from edge_app.manifest import AlignmentSpec, CropModel, DetectorSpec, OrientationSpec
from edge_app.orientation import cue_from_template, turned
from edge_app.pose import PoseFinder
from edge_app.records import BoxCxcywhr, JsonObject, U8Array
from export.alignment import learn_alignment, template_picture
from export.autolabel import autolabel_folder, product_fills_frame, write_overview
from export.cropliq_train import train_inspector
from export.crops import FoundPart, crop_spec_for, cut_crops, find_parts
from export.dataset import GoodPictures, Picture
from export.detector_export import export_detector
from export.detector_train import TrainProgress, train_detector
from export.inspector_graph import export_inspector
from export.label_files import from_json, given_labels, has_labels, to_json
from export.orientation import ELONGATED_ASPECT, learn_orientation
from export.part_shape import Kind
from export.workspace import Report, Workspace
from export.yolo_dataset import LabelledPicture

CALIBRATION_SHARE = 0.25
"""Of the good pictures: they train nothing and set the thresholds."""

MIN_FOUND_SHARE = 0.9
"""A detector that misses more of its own training pictures than this is no detector."""

MIN_SURE_SHARE = 0.5
"""Fewer labelled pictures than this share: the background defeats segmentation."""

DETECTOR_LONG_SIDE_PX = 320
STRIDE_PX = 32

OrientationKind = Literal["fixed", "two_way", "four_way", "free"]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Where the products are, before any detector.

    Attributes:
        fills_frame: the product is the whole picture; no detector is needed.
        pictures: the labelled pictures the detector learns from.
        shape: what kind of outline the parts have; None where only boxes were given.
        reason: one sentence for the report.
    """

    fills_frame: bool
    pictures: list[LabelledPicture]
    shape: Kind | None
    reason: str

    @property
    def has_axis(self) -> bool:
        """The product is clearly longer than wide (assumed where no box says otherwise)."""
        boxes = [b for p in self.pictures for b in p.boxes_cxcywhr]
        aspects = [max(b[2], b[3]) / max(min(b[2], b[3]), 1e-6) for b in boxes]
        return not aspects or float(np.median(aspects)) >= ELONGATED_ASPECT


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """How crops are made: everything between a picture and an upright crop."""

    finder: ProductFinder
    fills_frame: bool
    kind: OrientationKind
    pose: PoseFinder
    spec: CropSpec
    reason: str


def split(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return (fitting, calibration) pictures.

    Chosen by digest, so that a picture keeps its side when others are added and file names with
    dates or shifts in them do not decide.
    """
    ordered = sorted(pictures, key=lambda p: p.sha256)
    held = set(ordered[: max(1, round(len(ordered) * CALIBRATION_SHARE))])
    return [p for p in pictures if p not in held], [p for p in pictures if p in held]


def label_step(
    space: Workspace, good: GoodPictures, fitting: Sequence[Picture], detector: str
) -> Labels:
    """Find out whether the product fills the frame, and if not, where it is."""

    def work(folder: Path, report: Report) -> JsonObject:
        if detector == "none":
            return _saved(True, [], None, "the product fills the frame, as asked for")
        if detector != "auto":
            return _saved(False, [], None, "a detector was given")
        if has_labels(good.folder):
            given = given_labels(fitting, good.folder)
            return _saved(False, given, None, f"labels of {len(given)} pictures were given")
        return _own_labels(fitting, folder, report)

    settings = {"detector": detector, "pictures": _digests(fitting), **_label_digest(good.folder)}
    _, found = space.step("labels", settings, work)
    pictures = from_json(found["pictures"])
    return Labels(found["fills_frame"], pictures, found["shape"], found["reason"])


def _label_digest(folder: Path) -> dict[str, str]:
    """Return what the labels beside the pictures hash to, so that corrected ones are read again."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.txt"), *(folder / "labels").glob("*.txt")]):
        digest.update(file.name.encode() + file.read_bytes())
    return {"labels": digest.hexdigest()}


def _saved(
    fills: bool, pictures: Sequence[LabelledPicture], shape: Kind | None, reason: str
) -> JsonObject:
    return {
        "fills_frame": fills,
        "pictures": to_json(pictures),
        "shape": shape,
        "reason": reason,
    }


def _own_labels(fitting: Sequence[Picture], folder: Path, report: Report) -> JsonObject:
    paths = [p.path for p in fitting]
    fills, reason = product_fills_frame(paths)
    if fills:
        return _saved(True, [], None, reason)
    found = autolabel_folder(paths, lambda done, count: report("", done / count))
    overview = folder / "overview.png"
    write_overview(found, overview)
    sure = found.labelled()
    unsure = {path.name: list(why) for path, why in found.unsure.items()}
    (folder / "unsure.json").write_text(json.dumps(unsure, indent=1))
    if len(sure) < MIN_SURE_SHARE * len(fitting):
        raise DataError(
            f"Only {len(sure)} of {len(fitting)} pictures could be labelled with certainty (see "
            f"{overview}). Photograph the part on a plain background and wholly inside the "
            "picture, put YOLO-OBB labels beside the pictures, or use --detector none."
        )
    told = f"{len(sure)} pictures labelled by segmentation, {len(unsure)} unsure and left out"
    return _saved(False, sure, found.usual.kind, told)


def detector_step(
    space: Workspace,
    labels: Labels,
    fitting: Sequence[Picture],
    detector: str,
    seed: int,
    device: str,
) -> tuple[Path | None, DetectorSpec | None]:
    """Train and export the detector; (None, None) where the product fills the frame."""
    if labels.fills_frame:
        return None, None
    if detector not in ("auto", "none"):
        return Path(detector), _spec_of(Path(detector))
    input_hw = _input_hw(fitting)

    def work(folder: Path, report: Report) -> JsonObject:
        def told(p: TrainProgress) -> None:
            report(f"epoch {p.epoch} of {p.epochs}, loss {p.loss:.3f}", p.epoch / p.epochs)

        weights = train_detector(
            labels.pictures,
            folder,
            input_hw=input_hw,
            seed=seed,
            device=device,
            class_names=("product",),
            is_round=labels.shape == "round",
            progress=told,
            resume=True,
        )
        export_detector(weights, folder / "detector.onnx")
        return {}

    settings = {"seed": seed, "input_hw": list(input_hw)}
    folder, _ = space.step("detector", settings, work)
    return folder / "detector.onnx", DetectorSpec(input_hw=input_hw)


def _spec_of(file: Path) -> DetectorSpec:
    if not file.is_file():
        raise DataError(f"--detector {file} is not there. Name a detector.onnx, auto or none.")
    shape = OnnxRunner(file).describe().inputs[0].shape
    if len(shape) != 4 or shape[1] is None or shape[2] is None:
        raise DataError(f"--detector {file} does not take one letterboxed picture, but {shape}.")
    return DetectorSpec(input_hw=(shape[1], shape[2]))


def _input_hw(pictures: Sequence[Picture]) -> tuple[int, int]:
    """Return the letterbox size for the median picture: the long side 320 px, multiples of 32."""
    h = float(np.median([p.hw[0] for p in pictures]))
    w = float(np.median([p.hw[1] for p in pictures]))
    scale = DETECTOR_LONG_SIDE_PX / max(h, w)
    return _multiple(h * scale), _multiple(w * scale)


def _multiple(length_px: float) -> int:
    return max(STRIDE_PX, int(np.ceil(length_px / STRIDE_PX - 0.25)) * STRIDE_PX)


def parts_step(
    space: Workspace,
    finder: ProductFinder,
    detector_sha256: str,
    pictures: Sequence[Picture],
    fills_frame: bool,
) -> tuple[list[FoundPart], list[str]]:
    """Find every product with the detector the device will use."""

    def work(_folder: Path, report: Report) -> JsonObject:
        found, empty = find_parts(finder, pictures, fills_frame, lambda s: report("", s))
        return {"parts": [asdict(p) for p in found], "empty": empty}

    settings = {"pictures": _digests(pictures), "detector": detector_sha256}
    _, result = space.step("parts", settings, work)
    parts = [
        FoundPart(p["picture"], cast(BoxCxcywhr, tuple(p["box_cxcywhr"]))) for p in result["parts"]
    ]
    if len(result["empty"]) > (1 - MIN_FOUND_SHARE) * len(pictures):
        raise DataError(
            f"The detector finds no product in {len(result['empty'])} of {len(pictures)} good "
            f"pictures (the first: {', '.join(result['empty'][:3])}). Check the label overview, or "
            "use --detector none if the product fills the picture."
        )
    return parts, result["empty"]


def orientation_step(
    space: Workspace,
    finder: ProductFinder,
    labels: Labels,
    fitting: Sequence[Picture],
    parts: Sequence[FoundPart],
) -> Cutting:
    """Learn the crop's size, the kind of orientation and the cue from the fitting parts."""
    boxes = [p.box_cxcywhr for p in parts]
    spec = crop_spec_for(boxes, labels.fills_frame)
    if labels.fills_frame:
        return Cutting(finder, True, "fixed", PoseFinder(), spec, "the product fills the frame")

    def work(folder: Path, report: Report) -> JsonObject:
        readers = [fitting[p.picture].read for p in parts]
        learnt = learn_orientation(readers, boxes, spec, labels.shape)
        if learnt.template is not None:
            cv2.imwrite(str(folder / "cue.png"), learnt.template)
        turned_boxes = [
            turned(box, learnt.kind, int(turn))
            for box, turn in zip(boxes, learnt.turns, strict=True)
        ]
        is_round = learnt.kind == "free"
        aligner = learn_alignment(readers, turned_boxes, spec, is_round, report)
        cv2.imwrite(str(folder / "align.png"), template_picture(aligner))
        return {
            "product_wh": list(aligner.product_wh),
            "kind": learnt.kind,
            "has_cue": learnt.template is not None,
            "reason": learnt.reason,
        }

    folder, result = space.step("orientation", {"crop_hw": list(spec.crop_hw)}, work)
    cue = None
    if result["has_cue"]:
        template = np.asarray(cv2.imread(str(folder / "cue.png"), cv2.IMREAD_GRAYSCALE), np.uint8)
        cue = cue_from_template(template, result["kind"], spec)
    template = np.asarray(cv2.imread(str(folder / "align.png"), cv2.IMREAD_GRAYSCALE), np.uint8)
    wh = (float(result["product_wh"][0]), float(result["product_wh"][1]))
    aligner = aligner_from_template(template, wh, spec, result["kind"] == "free")
    pose = PoseFinder(cue, aligner)
    return Cutting(finder, False, result["kind"], pose, spec, result["reason"])


def inspector_step(
    space: Workspace,
    crops: Sequence[U8Array],
    mask: U8Array | None,
    *,
    seed: int,
    steps: int,
    device: str,
) -> tuple[Path, JsonObject]:
    """Train the inspector on the fitting crops and export its graph."""

    def work(folder: Path, report: Report) -> JsonObject:
        trained = train_inspector(
            list(crops), mask, folder, seed=seed, steps=steps, device=device, progress=report
        )
        return {"measured": export_inspector(trained, folder / "inspector.onnx")}

    folder, result = space.step("inspector", {"seed": seed, "steps": steps}, work)
    return folder / "inspector.onnx", result["measured"]


def open_finder(file: Path | None, spec: DetectorSpec | None, has_axis: bool) -> ProductFinder:
    """Return the detector as the device runs it, or the whole frame."""
    if file is None or spec is None:
        return WholeFrame()
    return Detector(
        OnnxRunner(file),
        spec.input_hw,
        spec.min_confidence,
        spec.max_iou,
        spec.product_classes,
        has_axis,
    )


def cut_all(
    cutting: Cutting,
    pictures: Sequence[Picture],
    parts: Sequence[FoundPart],
    progress: Callable[[float], None],
) -> tuple[list[U8Array], list[BoxCxcywhr]]:
    """Return every part's upright crop and directed box."""
    return cut_crops(pictures, parts, cutting.pose, cutting.spec, progress)


def models_of(cutting: Cutting) -> tuple[OrientationSpec, CropModel, AlignmentSpec | None]:
    """Return the manifest's entries for how crops are made."""
    spec = cutting.spec
    orientation = OrientationSpec(kind=cutting.kind, cue="cue.png" if cutting.pose.cue else None)
    crop = CropModel(crop_hw=spec.crop_hw, margin=spec.margin, stretch=spec.stretch)
    aligner = cutting.pose.aligner
    alignment = (
        AlignmentSpec(template="align.png", product_wh=aligner.product_wh) if aligner else None
    )
    return orientation, crop, alignment


def _digests(pictures: Sequence[Picture]) -> list[str]:
    return [p.sha256 for p in pictures]
