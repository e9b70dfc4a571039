"""Which ranges and which layers: the int8 variant is chosen by measurement on real pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.graphs.onnx_graph import load_graph, weight_bytes
from calibration.graphs.operators import check_for_tensorrt
from calibration.precision.int8 import quantisable_nodes, to_int8
from calibration.precision.layers import LayerChoice, choose_layers
from calibration.precision.near_threshold import movement_near, nearest_parts
from calibration.precision.parity import expected_flips
from calibration.precision.ranges import RULES, convolution_histograms
from calibration.precision.rewritten import Rewritten, reference_graphs
from edge_app.backends.onnx import OnnxRunner
from edge_app.bundle.archive import Bundle
from edge_app.bundle.manifest import DetectorSpec
from edge_app.errors import DataError
from edge_app.imaging.oriented_box import rotated_iou
from edge_app.imaging.upright_crop import letterbox
from edge_app.inspection.detector import Detector
from edge_app.inspection.inspector import Inspector
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.model.looks import look_at
from edge_app.records import Detection, F64Array, U8Array

PICTURES = 64
"""Read for the ranges and the choice of layers."""

FLIPS_ALLOWED = 0.001
"""Expected share of parts with another verdict: half of what a variant may show in the end."""

NOISE_ALLOWED = 0.015
"""Standard deviation of single parts' scores at the threshold, as a share of it. Where few parts of
the calibration lie there, flips cannot be expected from them: magnetic tiles with 12 of 294 flips
had none to be expected and a noise of 0.04."""

RANKING_FRAMES = 16
"""Frames on which a detector's layers are ranked, one at a time: it has a hundred."""

OVERLAP_LOST_ALLOWED = 0.1
"""1 − IoU of any product's box with the fp32 detector's: the golden set's own tolerance."""

BATCH = 8

OnProgress = Callable[[str, float], None]
"""Called with (what is being done, share of it done)."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the graphs are shown while ranges and layers are chosen.

    Attributes:
        frames: uint8 (h, w, 3) each.
        crops: uint8 (n, crop_h, crop_w, 3), of the frames and of the golden pictures.
    """

    frames: tuple[U8Array, ...]
    crops: U8Array


def collect(bundle: Bundle, model: LoadedModel, frames: Sequence[U8Array]) -> Seen:
    """Return frames and crops to choose by; the golden pictures bring defects.

    Raises:
        DataError: no product is to be seen.
    """
    crops = [look.crop for frame in frames for look in look_at(model, frame)]
    if not crops:
        raise DataError(
            f"No product in {len(frames)} pictures of the source; int8 ranges need real crops."
        )
    for golden in bundle.variant(model.identity.precision).golden:
        data = np.frombuffer(bundle.files[golden.file], np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if picture is not None:
            crops += [look.crop for look in look_at(model, np.asarray(picture, np.uint8))]
    return Seen(tuple(frames), np.stack(crops))


def int8_graphs(
    bundle: Bundle, frames: Sequence[U8Array], threads: int, on_progress: OnProgress
) -> Rewritten:
    """Return the bundle's graphs with as many convolutions in int8 as stay near enough.

    Raises:
        BundleError: no fp32 variant.
        DataError: no product in the frames.
        ModelError: a graph cannot be rewritten, or TensorRT 10.3 would refuse it.
    """
    model = load_model(bundle, threads, "fp32")
    seen = collect(bundle, model, frames)
    graphs, rules, choices = {}, {}, {}
    for name, graph in reference_graphs(bundle).items():
        trial = _trial(name, graph, bundle, seen, threads)
        rule, choice, limits = _choose(name, graph, trial, threads, on_progress)
        graphs[name] = to_int8(graph, limits, choice.int8, choice.half)
        check_for_tensorrt(graphs[name], f"{name}-int8.onnx")
        rules[name], choices[name] = rule, choice
    return Rewritten(
        "int8",
        graphs,
        ranges=rules,
        int8_nodes={name: choice.int8 for name, choice in choices.items()},
        fp16_nodes={name: choice.half for name, choice in choices.items()},
        weight_share=_shares(reference_graphs(bundle), graphs, choices),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """How one graph is fed and judged.

    Attributes:
        spread: smooth damage, for ordering.
        damage: what is held against `limit`.
    """

    input_name: str
    batches: tuple[U8Array, ...]
    spread: Callable[[bytes], float]
    damage: Callable[[bytes], float]
    limit: float


def _choose(
    name: str, graph: bytes, trial: _Trial, threads: int, on_progress: OnProgress
) -> tuple[str, LayerChoice, dict[str, float]]:
    """Return the range rule with the least spread, the layers, and the ranges."""
    on_progress(f"{name}: ranges", 0.0)
    histograms = convolution_histograms(graph, trial.input_name, trial.batches, threads)
    nodes = quantisable_nodes(graph)
    limits = {rule: {k: of(h) for k, h in histograms.items()} for rule, of in RULES.items()}
    spreads = {rule: trial.spread(to_int8(graph, limits[rule], nodes)) for rule in RULES}
    best = min(spreads, key=lambda rule: spreads[rule])

    def alone(int8: Collection[str]) -> float:
        return trial.spread(to_int8(graph, limits[best], int8))

    def together(int8: Collection[str]) -> float:
        half = [n for n in nodes if n not in int8]
        return trial.damage(to_int8(graph, limits[best], int8, half))

    choice = choose_layers(
        nodes, alone, together, trial.limit, lambda share: on_progress(f"{name}: layers", share)
    )
    return best, choice, limits[best]


def _trial(name: str, graph: bytes, bundle: Bundle, seen: Seen, threads: int) -> _Trial:
    how = bundle.manifest.detector
    if name == "detector" and how is not None:
        has_axis = bundle.manifest.orientation.kind == "two_way"
        return _detector_trial(graph, how, has_axis, seen, threads)
    return _inspector_trial(graph, bundle, seen, threads)


def _inspector_trial(graph: bytes, bundle: Bundle, seen: Seen, threads: int) -> _Trial:
    crop_hw = bundle.manifest.crop.crop_hw
    threshold = bundle.variant("fp32").thresholds.score_threshold

    def scores(model: bytes, crops: U8Array) -> F64Array:
        inspector = Inspector(OnnxRunner(model, threads), crop_hw)
        found = [a.score for batch in _batches(crops) for a in inspector.score(list(batch))]
        return np.array(found, np.float64)

    reference = scores(graph, seen.crops)
    near = nearest_parts(reference, threshold)

    def spread(model: bytes) -> float:
        found = scores(model, seen.crops[near])
        if not np.isfinite(found).all():
            return float("inf")
        return movement_near(reference[near], found, threshold).noise

    def damage(model: bytes) -> float:
        found = scores(model, seen.crops)
        if not np.isfinite(found).all():
            return float("inf")
        noise = movement_near(reference, found, threshold).noise / (abs(threshold) or 1.0)
        flips = expected_flips(reference, found, threshold)
        return max(flips / FLIPS_ALLOWED, noise / NOISE_ALLOWED)

    batches = _batches(seen.crops)
    return _Trial("crops", batches, spread, damage, limit=1.0)


def _detector_trial(
    graph: bytes, how: DetectorSpec, has_axis: bool, seen: Seen, threads: int
) -> _Trial:
    def find(model: bytes, frames: Sequence[U8Array]) -> list[list[Detection]]:
        runner = OnnxRunner(model, threads)
        finder = Detector(
            runner,
            how.input_hw,
            how.min_confidence,
            how.max_iou,
            how.product_classes,
            has_axis,
            how.shrink,
        )
        return [finder.find(frame) for frame in frames]

    reference = find(graph, seen.frames)

    def lost(model: bytes, frames: Sequence[U8Array]) -> list[float]:
        pairs = zip(reference[: len(frames)], find(model, frames), strict=True)
        return [_overlap_lost(*pair) for pair in pairs]

    batches = tuple(letterbox(frame, how.input_hw, how.shrink)[0][None] for frame in seen.frames)
    return _Trial(
        "image",
        batches,
        spread=lambda model: float(np.mean(lost(model, seen.frames[:RANKING_FRAMES]))),
        damage=lambda model: max(lost(model, seen.frames)),
        limit=OVERLAP_LOST_ALLOWED,
    )


def _overlap_lost(reference: Sequence[Detection], found: Sequence[Detection]) -> float:
    """Return 1 − the worst product's IoU; 1 where the number of products differs."""
    if len(reference) != len(found):
        return 1.0
    worst = 1.0
    for product in reference:
        overlaps = (rotated_iou(product.box_cxcywhr, other.box_cxcywhr) for other in found)
        worst = min(worst, max(overlaps))
    return 1.0 - worst


def _batches(crops: U8Array) -> tuple[U8Array, ...]:
    return tuple(crops[i : i + BATCH] for i in range(0, len(crops), BATCH))


def _shares(
    before: dict[str, bytes], after: dict[str, bytes], choices: dict[str, LayerChoice]
) -> dict[str, float]:
    """Return the weights' bytes as a share of fp32, of int8 and of fp16 layers."""
    shares = {}
    for precision in ("int8", "fp16"):
        now = was = 0
        for name, choice in choices.items():
            nodes = set(choice.int8 if precision == "int8" else choice.half)
            now += weight_bytes(load_graph(after[name]).graph, nodes)
            was += weight_bytes(load_graph(before[name]).graph, nodes)
        if was:
            shares[precision] = round(now / was, 4)
    return shares
