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
from export.data.crops import PartsFound, find_parts
from export.data.dataset import MIN_PICTURES, Picture, digests_of
from export.detector.confidence import LEAST_SEEN, choose_min_confidence
from export.detector.export import export_detector
from export.detector.train import RECIPE, TRAINED_SHRINK, TrainProgress, train_detector
from export.labels.step import Labels
from export.workspace import OnProgress, Workspace

MIN_FOUND_SHARE = 0.9
"""A detector that misses more of its own training pictures than this is no detector."""

DETECTOR_LONG_SIDE_PX = 320
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
    input_hw = _input_hw(training)

    def work(folder: Path, report: OnProgress) -> DetectorRecord:
        def on_epoch(p: TrainProgress) -> None:
            report(f"epoch {p.epoch} of {p.epochs}, loss {p.loss:.3f}", p.epoch / p.epochs)

        weights = train_detector(
            labels.pictures,
            folder,
            input_hw=input_hw,
            seed=seed,
            device=device,
            class_names=("product",),
            is_round=labels.shape == "round",
            progress=on_epoch,
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

    def work(_folder: Path, report: OnProgress) -> PartsFound:
        return find_parts(finder, pictures, fills_frame, lambda s: report("", s))

    settings = {"pictures": digests_of(pictures), "detector": detector_sha256}
    _, found = space.step("parts", settings, PartsFound, work)
    if len(found.empty) > (1 - MIN_FOUND_SHARE) * len(pictures):
        raise DataError(
            f"The detector finds no product in {len(found.empty)} of {len(pictures)} good "
            f"pictures (the first: {', '.join(found.empty[:3])}). Check the label overview, or "
            "use --detector none if the product fills the picture."
        )
    if len(found.parts) < MIN_PICTURES:
        raise DataError(
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
