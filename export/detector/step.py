"""The detector and the parts it finds: two steps of a build, kept in its workspace."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.manifest import DetectorSpec
from edge_app.errors import DataError
from edge_app.inspection.detector import Detector
from edge_app.inspection.stages import ProductFinder, WholeFrame
from export.data.crops import NoUprightViewError, PartsFound, find_parts
from export.data.dataset import MIN_PICTURES, Picture, digests_of
from export.data.yolo_dataset import LabelledPicture
from export.detector.confidence import LEAST_SEEN, choose_min_confidence
from export.detector.export import export_detector
from export.detector.train import RECIPE, TRAINED_SHRINK, TrainProgress, train_detector
from export.labels.outline import outline_inside
from export.labels.step import Labels
from export.workspace import OnProgress, Workspace

MIN_FOUND_SHARE = 0.9
"""A detector that misses more of its own training pictures than this is no detector."""

PARTS_RECIPE = 3
"""Grows when the same detector and pictures give other whole parts."""

LONG_SIDES_PX = (192, 224, 256, 320)
"""Of the detector's input. A step at 224 takes 0.58 of the time of one at 320, at 192 0.5."""

PART_LONG_PX, PART_SHORT_PX = 50.0, 14.0
"""What the median part's sides must measure in the input: two cells of the finest feature map
across, and along it so many that a pixel's error turns it by one degree."""

STRIDE_PX = 32


@dataclass(frozen=True, slots=True)
class DetectorRecord:
    """What training the detector keeps besides its file.

    Attributes:
        min_confidence: below it a detection is none.
    """

    min_confidence: float


def detector_step(
    space: Workspace,
    labels: Labels,
    training: Sequence[Picture],
    detector: str,
    seed: int,
    device: str,
) -> tuple[Path | None, DetectorSpec | None]:
    """Train and export the detector; (None, None) where the product fills the frame."""
    if labels.fills_frame:
        return None, None
    if detector not in ("auto", "none"):
        return Path(detector), _spec_of(Path(detector))
    input_hw = input_hw_for(training, labels.pictures)

    def work(folder: Path, report: OnProgress) -> DetectorRecord:
        def on_round(p: TrainProgress) -> None:
            report(_told(p), p.step / p.ends)

        weights = train_detector(
            labels.pictures,
            folder,
            input_hw=input_hw,
            seed=seed,
            device=device,
            class_names=("product",),
            is_round=labels.shape == "round",
            progress=on_round,
            resume=True,
        )
        export_detector(weights, folder / "detector.onnx")
        everything = DetectorSpec(
            input_hw=input_hw, min_confidence=LEAST_SEEN, shrink=TRAINED_SHRINK
        )
        finder = _detector(folder / "detector.onnx", everything, labels.has_axis)
        return DetectorRecord(
            choose_min_confidence(finder, labels.pictures, lambda s: report("confidence", s))
        )

    settings = {"seed": seed, "input_hw": list(input_hw), "recipe": RECIPE}
    folder, result = space.step("detector", settings, DetectorRecord, work)
    spec = DetectorSpec(
        input_hw=input_hw, min_confidence=result.min_confidence, shrink=TRAINED_SHRINK
    )
    return folder / "detector.onnx", spec


def _spec_of(file: Path) -> DetectorSpec:
    if not file.is_file():
        raise DataError(f"--detector {file} is not there. Name a detector.onnx, auto or none.")
    shape = OnnxRunner(file).describe().inputs[0].shape
    if len(shape) != 4 or shape[1] is None or shape[2] is None:
        raise DataError(f"--detector {file} does not take one letterboxed picture, but {shape}.")
    return DetectorSpec(input_hw=(shape[1], shape[2]), shrink=TRAINED_SHRINK)


def _told(p: TrainProgress) -> str:
    if p.errors is None or p.errors.missed == 1:
        return f"step {p.step} of {p.ends}, loss {p.loss:.3f}"
    return (
        f"step {p.step} of {p.ends}, on reserved pictures off by {p.errors.centre:.1%} of the "
        f"length and {p.errors.angle_deg:.1f}°"
    )


def input_hw_for(
    pictures: Sequence[Picture], labelled: Sequence[LabelledPicture]
) -> tuple[int, int]:
    """Return the letterbox size: as small as the median part allows, sides multiples of 32.

    Args:
        pictures: the median one's aspect is taken; none is enlarged by more than to the next
            multiple of 32.
        labelled: the parts' sizes, in the same pixels.
    """
    h = float(np.median([p.hw[0] for p in pictures]))
    w = float(np.median([p.hw[1] for p in pictures]))
    boxes = np.concatenate([p.boxes_cxcywhr for p in labelled])[:, 2:4]  # (n, 2)
    short, long = np.median(np.sort(boxes, axis=1), axis=0) / max(h, w)
    needed = max(PART_LONG_PX / long, PART_SHORT_PX / short)
    side = next((side for side in LONG_SIDES_PX if side >= needed), LONG_SIDES_PX[-1])
    side = min(side, _multiple(max(h, w)))
    scale = side / max(h, w)
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
        NoUprightViewError: it finds none in many pictures, or hardly any part is wholly inside.
    """

    def work(_folder: Path, report: OnProgress) -> PartsFound:
        return find_parts(finder, pictures, fills_frame, lambda s: report("", s), outline_inside)

    settings = {
        "pictures": digests_of(pictures),
        "detector": detector_sha256,
        "recipe": PARTS_RECIPE,
    }
    _, found = space.step("parts", settings, PartsFound, work)
    if len(found.empty) > (1 - MIN_FOUND_SHARE) * len(pictures):
        raise NoUprightViewError(
            f"The detector finds no product in {len(found.empty)} of {len(pictures)} good "
            f"pictures (the first: {', '.join(found.empty[:3])}). Check the label overview, or "
            "use --detector none if the product fills the picture."
        )
    if len(found.parts) < MIN_PICTURES:
        raise NoUprightViewError(
            f"Only {len(found.parts)} parts lie wholly inside their picture, at least "
            f"{MIN_PICTURES} are needed; in {len(found.cut)} of {len(pictures)} pictures the part "
            "touches the border. Move the camera back, or take the pictures when the part is in "
            "the middle."
        )
    return found


def file_digest(file: Path | None) -> str:
    """Return a file's sha256 in hex; "" for none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""


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
