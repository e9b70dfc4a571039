"""Training the detector: Ultralytics' YOLO11-OBB, loss and assigner in a loop of our own.

The loop is ours because Ultralytics' trainer cannot be stopped and resumed to the same bytes,
wants square or unshuffled pictures, and looks up fonts and settings. Its recipe is kept: AdamW,
nominal batch 16 (64 gives too few optimiser steps to learn anything here), a short warm-up, an
exponential moving average, no mosaic. How long it trains is ours: `schedule.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from edge_app.errors import DataError
from edge_app.imaging.upright_crop import Shrink, letterbox
from edge_app.records import F64Array
from export.data.yolo_dataset import LabelledPicture
from export.detector.augment import Scene, augmented, turned_view
from export.detector.checkpoint import (
    TrainState,
    fresh_state,
    restore_state,
    save_state,
    set_rate,
    update_average,
)
from export.detector.network import STRIDE, save_weights
from export.detector.pose_errors import PoseErrors, pose_errors
from export.detector.schedule import BATCH, Schedule, reserved_count, schedule_for
from export.labels.given.read import labelled_folder
from export.networks.precision import mixed_precision

CLIP_NORM = 10.0
GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5, "angle": 4.0}
"""Ultralytics' weights of the four losses, the angle's times 4: on the simulated square part the
worst twentieth of the angles was off by 16° with 1 and by 5° with 4."""

RECIPE = 4
"""Counts changes of loss, schedule, augmentation and letterbox: a checkpoint of another recipe is
no use."""

TRAINED_SHRINK: Shrink = "pyramid"
"""How pictures are made smaller here, and by the device for a detector trained here."""

CPU_THREADS = 2

RESERVED_VIEWS = 24
"""Scenes that the training is stopped by: the reserved pictures, turned and relit once and for all.
"""

_RESERVED_SEED = 20


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where a training run is.

    Attributes:
        step: optimiser steps done.
        ends: the step with which the cycle ends; another one may follow.
        loss: the mean over the last round, all four parts, unitless.
        errors: on the reserved pictures, at the end of a cycle; None before, and where the number
            of steps was given.
    """

    step: int
    ends: int
    loss: float
    errors: PoseErrors | None


@dataclass(frozen=True, slots=True)
class _Job:
    input_hw: tuple[int, int]
    schedule: Schedule
    device: str
    seed: int
    class_names: tuple[str, ...]
    is_round: bool
    start_from: Path | None


def train_detector(
    dataset: Path | Sequence[LabelledPicture],
    out_dir: Path,
    *,
    input_hw: tuple[int, int] = (288, 384),
    steps: int | None = None,
    device: str = "cpu",
    seed: int = 0,
    class_names: Sequence[str] = ("part",),
    is_round: bool = False,
    start_from: Path | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
    resume: bool = False,
) -> Path:
    """Train a detector and return its weight file, `out_dir/best.pt`.

    The weights are the moving average after the last step. On the CPU (two threads) the same
    pictures and arguments give the same weights, also after a stop and a resume, in whatever order
    the pictures are given.

    Args:
        dataset: a folder of labelled pictures, or pictures with their boxes.
        out_dir: made if missing; `last.pt` there is the state after each round.
        input_hw: (height, width) of the letterboxed input, multiples of 32.
        steps: optimiser steps of 16 scenes; None stops by the pose on a few pictures that are
            reserved for it.
        device: "cpu" or "cuda:N"; a GPU trains in mixed precision.
        seed: of weights, order and augmentation.
        class_names: one per class id in the labels.
        is_round: the part looks the same at every angle; its boxes are taught angle 0.
        start_from: a weight file to begin with, with as many classes; None: from scratch.
        progress: called after each round of steps.
        resume: go on from `last.pt` if it belongs to the same job.

    Raises:
        DataError: no boxes, a class without a name, an input size that is no multiple of 32, or
            a `last.pt` of another job.
    """
    pictures = labelled_folder(dataset) if isinstance(dataset, Path) else list(dataset)
    schedule = schedule_for(len(pictures), steps)
    job = _Job(input_hw, schedule, device, seed, tuple(class_names), is_round, start_from)
    _check(job, pictures)
    scenes = sorted((scene_of(picture, input_hw) for picture in pictures), key=_digest)
    out_dir.mkdir(parents=True, exist_ok=True)
    with _fixed_threads():
        state = _run(job, scenes, out_dir / "last.pt", progress, resume)
    save_weights(out_dir / "best.pt", state.average, job.class_names, input_hw)
    return out_dir / "best.pt"


def scene_of(picture: LabelledPicture, input_hw: tuple[int, int]) -> Scene:
    """Return a picture letterboxed as the device does it, its boxes counted from the edge."""
    pixels, mapping = letterbox(picture.pixels(), input_hw, TRAINED_SHRINK)
    boxes = picture.boxes_cxcywhr.copy().reshape(-1, 5)
    boxes[:, :2] = (boxes[:, :2] + 0.5) * mapping.scale + (mapping.pad_x, mapping.pad_y)
    boxes[:, 2:4] *= mapping.scale
    return Scene(pixels, boxes, picture.classes())


def _check(job: _Job, pictures: Sequence[LabelledPicture]) -> None:
    if any(side % STRIDE or side < STRIDE for side in job.input_hw):
        raise DataError(f"The input size {job.input_hw} must be multiples of {STRIDE} pixels.")
    box_count = sum(len(picture.boxes_cxcywhr) for picture in pictures)
    if box_count == 0:
        raise DataError(
            f"None of the {len(pictures)} pictures has a box: there is nothing to learn. "
            "Label them first (edge-export label), or use --detector none."
        )
    largest = max(int(picture.classes().max(initial=0)) for picture in pictures)
    if largest >= len(job.class_names):
        raise DataError(
            f"A label names class {largest}, but only {len(job.class_names)} class names were "
            "given. Name every class."
        )


def _run(
    job: _Job,
    scenes: Sequence[Scene],
    last: Path,
    progress: Callable[[TrainProgress], None] | None,
    resume: bool,
) -> TrainState:
    fingerprint = _fingerprint(job, scenes)
    state = fresh_state(len(job.class_names), job.seed, job.device, job.start_from)
    state.course = job.schedule.begin()
    if resume and last.is_file():
        restore_state(last, state, fingerprint)
    criterion = _criterion(state.network)
    learnt, reserved = _parted(scenes, job)
    while not state.course.is_done:
        loss, errors = _round(job, learnt, state, criterion), None
        if job.schedule.is_check(state.step, state.course):
            errors = pose_errors(state.average, reserved, job.device) if reserved else None
            state.course = job.schedule.after_cycle(state.course, errors)
        save_state(last, state, fingerprint)
        if progress is not None:
            progress(TrainProgress(state.step, state.course.ends, loss, errors))
    return state


def _parted(scenes: Sequence[Scene], job: _Job) -> tuple[list[Scene], list[Scene]]:
    """Return the scenes to learn from and the views to stop by, none where steps were given.

    The scenes are in the order of their digests, so the reserved ones are drawn at random, and
    the same whatever the files are called.
    """
    with_parts = [scene for scene in scenes if len(scene.boxes_cxcywhr)]
    count = 0 if job.schedule.is_fixed else reserved_count(len(with_parts))
    if count == 0:
        return list(scenes), []
    kept = with_parts[:count]
    rng = np.random.default_rng(_RESERVED_SEED)
    views = [turned_view(kept[i % count], rng) for i in range(max(RESERVED_VIEWS, count))]
    if job.is_round:
        views = [replace(v, boxes_cxcywhr=_unturned(v.boxes_cxcywhr)) for v in views]
    left = {id(scene) for scene in kept}
    return [scene for scene in scenes if id(scene) not in left], views


def _unturned(boxes_cxcywhr: F64Array) -> F64Array:
    return np.column_stack([boxes_cxcywhr[:, :4], np.zeros(len(boxes_cxcywhr))])


def _criterion(network: nn.Module) -> Any:
    from ultralytics.utils.loss import v8OBBLoss

    network.args = SimpleNamespace(**GAINS, overlap_mask=True)  # type: ignore[assignment]
    return v8OBBLoss(network)


def _round(job: _Job, scenes: Sequence[Scene], state: TrainState, criterion: Any) -> float:
    """Take the steps up to the next check; what is drawn depends on seed and step alone."""
    losses = []
    for step in range(state.step, job.schedule.round_end(state.step, state.course)):
        rng = np.random.default_rng((job.seed, step))
        drawn = [augmented(scenes[i], rng) for i in _drawn(len(scenes), job.seed, step)]
        set_rate(state.optimiser, job.schedule.rate_share(step, state.course))
        losses.append(_step(job, drawn, state, criterion))
        update_average(state, step + 1)
        state.step = step + 1
    return float(np.mean(losses))


def _drawn(count: int, seed: int, step: int) -> list[int]:
    """Return the scenes of a step: one pass through all in random order after the other."""
    places = range(step * BATCH, (step + 1) * BATCH)
    passes = {place // count for place in places}
    orders = {n: np.random.default_rng((seed, n, count)).permutation(count) for n in passes}
    return [int(orders[place // count][place % count]) for place in places]


def _step(job: _Job, scenes: Sequence[Scene], state: TrainState, criterion: Any) -> float:
    images, targets = _tensors(scenes, job)
    images = images.contiguous(memory_format=torch.channels_last)
    with mixed_precision(job.device):
        predicted = state.network(images)
    loss = criterion.loss(_as_float(predicted), targets)[0].sum()
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(state.network.parameters(), CLIP_NORM)
    state.optimiser.step()
    return float(loss.detach()) / len(scenes)


def _as_float(predicted: dict[str, Any]) -> dict[str, Any]:
    """Return the raw prediction in float32: the loss works with small differences of angles."""
    return {
        name: [level.float() for level in value] if isinstance(value, list) else value.float()
        for name, value in predicted.items()
    }


def _tensors(scenes: Sequence[Scene], job: _Job) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return images (n, 3, h, w) RGB 0..1 and the targets as Ultralytics' loss takes them."""
    h, w = job.input_hw
    stacked = np.stack([scene.pixels_hwc for scene in scenes])[..., ::-1]
    images = torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)))
    boxes: F64Array = np.concatenate([scene.boxes_cxcywhr for scene in scenes])
    boxes = boxes / (w, h, w, h, 1.0)
    if job.is_round:
        boxes[:, 4] = 0.0
    owner = np.repeat(np.arange(len(scenes)), [len(scene.boxes_cxcywhr) for scene in scenes])
    classes = np.concatenate([scene.class_ids for scene in scenes])
    targets = {"bboxes": boxes, "cls": classes, "batch_idx": owner}
    return images.to(job.device).float() / 255, {
        name: torch.from_numpy(value).float().to(job.device) for name, value in targets.items()
    }


def _digest(scene: Scene) -> str:
    digest = hashlib.sha256(scene.pixels_hwc.tobytes())
    digest.update(scene.boxes_cxcywhr.tobytes())
    digest.update(scene.class_ids.tobytes())
    return digest.hexdigest()


def _fingerprint(job: _Job, scenes: Sequence[Scene]) -> str:
    digest = hashlib.sha256(repr((RECIPE, replace(job, start_from=None))).encode())
    if job.start_from is not None:
        digest.update(job.start_from.read_bytes())
    for scene in scenes:
        digest.update(_digest(scene).encode())
    return digest.hexdigest()


@contextmanager
def _fixed_threads() -> Iterator[None]:
    """Two threads: sums split among another number of threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(CPU_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)
