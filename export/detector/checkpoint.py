"""What a detector training carries from step to step, and how it is kept between two runs."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edge_app.errors import DataError
from export.detector.network import build_network, load_tensors, load_weights, save_tensors
from export.detector.schedule import Course

LEARNING_RATE = 0.002
WEIGHT_DECAY = 5e-4
BETAS = (0.937, 0.999)

EMA_DECAY = 0.999
EMA_RAMP_STEPS = 100
"""Ultralytics ramps over 2000 steps; these runs have a few hundred."""


@dataclass(slots=True, eq=False)
class TrainState:
    """A network being trained.

    Attributes:
        network: in training mode, on the training device.
        average: its exponential moving average, in evaluation mode: what is kept in the end.
        step: finished optimiser steps.
        course: what the schedule has decided so far.
    """

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    course: Course = field(default_factory=Course)


def fresh_state(class_count: int, seed: int, device: str, start_from: Path | None) -> TrainState:
    """Return the state before the first step.

    Raises:
        DataError: `start_from` is no weight file, or has another number of classes.
    """
    torch.manual_seed(seed)
    network = build_network(class_count)
    if start_from is not None:
        network.load_state_dict(_given(start_from, class_count).state_dict())
    # On a CPU the convolutions of a step take a tenth less with the channels last.
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(network).eval().requires_grad_(False)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]  # biases and BatchNorm
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": plain},
    ]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, weight_decay=0.0)
    return TrainState(network, average, optimiser)


def set_rate(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Set the learning rate to a share of LEARNING_RATE, 0..1."""
    for group in optimiser.param_groups:
        group["lr"] = LEARNING_RATE * share


@torch.no_grad()
def update_average(state: TrainState, step: int) -> None:
    """Take the network as it is after `step` steps into the moving average."""
    decay = EMA_DECAY * (1 - math.exp(-step / EMA_RAMP_STEPS))
    current = state.network.state_dict()
    for name, value in state.average.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(current[name], 1 - decay)


def save_state(path: Path, state: TrainState, fingerprint: str) -> None:
    """Write the state; `fingerprint` names the job it belongs to."""
    content = {
        "fingerprint": fingerprint,
        "step": state.step,
        "course": asdict(state.course),
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimiser.state_dict(),
    }
    save_tensors(path, content)


def restore_state(path: Path, state: TrainState, fingerprint: str) -> None:
    """Bring `state` to where `save_state` left it.

    Raises:
        DataError: the file cannot be read, or belongs to another job.
    """
    saved = load_tensors(path)
    if saved.get("fingerprint") != fingerprint:
        raise DataError(
            f"{path.name} belongs to a training with other pictures or settings. Give the same "
            "ones to resume, or start again in an empty folder."
        )
    state.network.load_state_dict(saved["network"])
    state.average.load_state_dict(saved["average"])
    state.optimiser.load_state_dict(saved["optimiser"])
    state.step = saved["step"]
    state.course = Course(**saved["course"])


def _given(path: Path, class_count: int) -> nn.Module:
    weights = load_weights(path)
    if len(weights.class_names) != class_count:
        raise DataError(
            f"{path.name} knows {len(weights.class_names)} classes, {class_count} are wanted. "
            "Start from weights with as many classes, or from scratch."
        )
    return weights.network
