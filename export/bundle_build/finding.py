"""Where the products are: the first steps of a build, from pictures to boxes.

Each leaves its result in the workspace and is taken from there if it is still valid.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.manifest import DetectorSpec
from edge_app.errors import DataError
from edge_app.inspection.detector import Detector
from edge_app.inspection.line import ProductFinder, WholeFrame
from edge_app.records import BoxCxcywhr, JsonObject
from export.data.crops import FoundPart, PartsFound, find_parts
from export.data.dataset import MIN_PICTURES, GoodPictures, Picture
from export.data.label_files import from_json, given_labels, has_labels, to_json, write_label_files
from export.data.yolo_dataset import LabelledPicture
from export.detector.confidence import LEAST_SEEN, choose_min_confidence
from export.detector.export import export_detector
from export.detector.train import RECIPE, TRAINED_SHRINK, TrainProgress, train_detector
from export.labels.autolabel import autolabel_folder, product_fills_frame, write_overview
from export.labels.part_shape import Kind
from export.labels.rules import CUT_AT_BORDER
from export.pose.orientation import ELONGATED_ASPECT
from export.workspace import Report, Workspace

CALIBRATION_SHARE = 0.25
"""Of the good pictures: they train nothing and set the thresholds."""

MIN_FOUND_SHARE = 0.9
"""A detector that misses more of its own training pictures than this is no detector."""

MIN_LABELS = 10
"""Fewer labelled pictures than this train no detector."""

MANY_UNSURE = 0.05
"""A larger share of unlabelled pictures is told."""

MIN_SURE_SHARE = 0.5
"""Fewer labelled pictures than this share: the background defeats segmentation."""

DETECTOR_LONG_SIDE_PX = 320
STRIDE_PX = 32


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Where the products are, before any detector.

    Attributes:
        fills_frame: the product is the whole picture; no detector is needed.
        pictures: the labelled pictures the detector learns from.
        shape: what kind of outline the parts have; None where only boxes were given.
        reason: one sentence for the report.
        warnings: what a person should look at; the overview sheet shows it.
    """

    fills_frame: bool
    pictures: list[LabelledPicture]
    shape: Kind | None
    reason: str
    warnings: tuple[str, ...] = ()

    @property
    def has_axis(self) -> bool:
        """The product is clearly longer than wide (assumed where no box says otherwise)."""
        boxes = [b for p in self.pictures for b in p.boxes_cxcywhr]
        aspects = [max(b[2], b[3]) / max(min(b[2], b[3]), 1e-6) for b in boxes]
        return not aspects or float(np.median(aspects)) >= ELONGATED_ASPECT


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
    return Labels(
        found["fills_frame"],
        pictures,
        found["shape"],
        found["reason"],
        tuple(found["warnings"]),
    )


def _label_digest(folder: Path) -> dict[str, str]:
    """Return what the labels beside the pictures hash to, so that corrected ones are read again."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.txt"), *(folder / "labels").glob("*.txt")]):
        digest.update(file.name.encode() + file.read_bytes())
    return {"labels": digest.hexdigest()}


def _saved(
    fills: bool,
    pictures: Sequence[LabelledPicture],
    shape: Kind | None,
    reason: str,
    warnings: Sequence[str] = (),
) -> JsonObject:
    return {
        "warnings": list(warnings),
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
    write_label_files(folder / "yolo_obb", sure)
    cut = sum(CUT_AT_BORDER in why for why in unsure.values())
    if len(sure) < max(MIN_LABELS, MIN_SURE_SHARE * (len(fitting) - cut)):
        raise DataError(
            f"Only {len(sure)} of {len(fitting)} pictures could be labelled with certainty, {cut} "
            f"show the part cut by the border (see {overview}). Photograph the part on a plain "
            "background and wholly inside the picture, put YOLO-OBB labels beside the pictures, "
            "or use --detector none."
        )
    told = f"{len(sure)} pictures labelled by segmentation, {len(unsure)} unsure and left out"
    return _saved(False, sure, found.usual.kind, told, _label_warnings(unsure, len(fitting)))


def _label_warnings(unsure: Mapping[str, Sequence[str]], count: int) -> list[str]:
    """Return a sentence when many pictures were left out, with their reasons."""
    if len(unsure) < MANY_UNSURE * count:
        return []
    reasons = Counter(re.sub(r"[0-9.]+", "N", why) for found in unsure.values() for why in found)
    told = "; ".join(f"{n} times {why!r}" for why, n in reasons.most_common(3))
    return [
        f"{len(unsure)} of {count} pictures were left out of the detector's training ({told}): "
        "two products mixed, or parts cut by the border? labels/overview.png in the work folder "
        "shows them"
    ]


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
        everything = DetectorSpec(
            input_hw=input_hw, min_confidence=LEAST_SEEN, shrink=TRAINED_SHRINK
        )
        finder = _detector(folder / "detector.onnx", everything, labels.has_axis)
        return {
            "min_confidence": choose_min_confidence(
                finder, labels.pictures, lambda s: report("confidence", s)
            )
        }

    settings = {"seed": seed, "input_hw": list(input_hw), "recipe": RECIPE}
    folder, result = space.step("detector", settings, work)
    spec = DetectorSpec(
        input_hw=input_hw, min_confidence=result["min_confidence"], shrink=TRAINED_SHRINK
    )
    return folder / "detector.onnx", spec


def _spec_of(file: Path) -> DetectorSpec:
    if not file.is_file():
        raise DataError(f"--detector {file} is not there. Name a detector.onnx, auto or none.")
    shape = OnnxRunner(file).describe().inputs[0].shape
    if len(shape) != 4 or shape[1] is None or shape[2] is None:
        raise DataError(f"--detector {file} does not take one letterboxed picture, but {shape}.")
    return DetectorSpec(input_hw=(shape[1], shape[2]), shrink=TRAINED_SHRINK)


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
) -> PartsFound:
    """Find every product with the detector the device will use.

    Raises:
        DataError: it finds none in many pictures, or hardly any part is wholly inside.
    """

    def work(_folder: Path, report: Report) -> JsonObject:
        found = find_parts(finder, pictures, fills_frame, lambda s: report("", s))
        return {**asdict(found), "parts": [asdict(p) for p in found.parts]}

    settings = {"pictures": _digests(pictures), "detector": detector_sha256}
    _, result = space.step("parts", settings, work)
    parts = [
        FoundPart(p["picture"], cast(BoxCxcywhr, tuple(p["box_cxcywhr"]))) for p in result["parts"]
    ]
    found = PartsFound(parts, result["empty"], result["cut"])
    if len(found.empty) > (1 - MIN_FOUND_SHARE) * len(pictures):
        raise DataError(
            f"The detector finds no product in {len(found.empty)} of {len(pictures)} good "
            f"pictures (the first: {', '.join(found.empty[:3])}). Check the label overview, or "
            "use --detector none if the product fills the picture."
        )
    if len(parts) < MIN_PICTURES:
        raise DataError(
            f"Only {len(parts)} parts lie wholly inside their picture, at least {MIN_PICTURES} are "
            f"needed; in {len(found.cut)} of {len(pictures)} pictures the part touches the border. "
            "Move the camera back, or take the pictures when the part is in the middle."
        )
    return found


def open_finder(file: Path | None, spec: DetectorSpec | None, has_axis: bool) -> ProductFinder:
    """Return the detector as the device runs it, or the whole frame."""
    if file is None or spec is None:
        return WholeFrame()
    return _detector(file, spec, has_axis)


def _detector(file: Path, spec: DetectorSpec, has_axis: bool) -> Detector:
    return Detector(
        OnnxRunner(file),
        spec.input_hw,
        spec.min_confidence,
        spec.max_iou,
        spec.product_classes,
        has_axis,
        spec.shrink,
    )


def _digests(pictures: Sequence[Picture]) -> list[str]:
    return [p.sha256 for p in pictures]
