"""The training loop that every learning method shares: resumable, seeded step by step.

A step's randomness depends on (seed, step) alone, so a training that was stopped and goes on from
its checkpoint ends with the same weights as one that ran through. With several processes
(`export/networks/distributed.py`) all draw the same batch and each computes its part of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edge_app.errors import DataError
from export.methods.protocol import TrainSettings
from export.networks.distributed import average_gradients, average_statistics, is_first, mean_loss
from export.workspace import OnProgress

Rate = Callable[[float], float]
"""Share of the steps done, 0..1 → factor on the learning rate."""

CHECKPOINTS = 10
"""Checkpoints in a training: at most a tenth of it is done again after a stop."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingObjective:
    """A training objective: what is learnt, and how.

    Attributes:
        name: the method's, shown with the progress.
        network: all that the checkpoint must hold.
        optimiser: over what learns.
        rate: see Rate; read before every step.
        loss: draws one batch with the step's own randomness and returns its mean loss; takes
            `own_part` of all that is drawn per crop.
    """

    name: str
    network: nn.Module
    optimiser: torch.optim.Optimizer
    rate: Rate
    loss: Callable[[np.random.Generator], Tensor]


class Counted(nn.Module):
    """Networks and the number of batches they have seen, which their checkpoints keep.

    For losses that change in the course of a training.
    """

    turn: Tensor

    def __init__(self, networks: nn.Module):
        super().__init__()
        self.networks = networks
        self.register_buffer("turn", torch.zeros((), dtype=torch.long))

    def next_turn(self) -> int:
        """Return the number of this batch, from 0, and count it."""
        turn = int(self.turn)
        self.turn += 1
        return turn


def learn(
    objective: TrainingObjective, key: str, settings: TrainSettings, on_progress: OnProgress
) -> list[float]:
    """Train in place, from the checkpoint if there is one, and return every step's loss.

    Args:
        key: of all inputs (`protocol.fingerprint`): another key, another checkpoint.

    Raises:
        DataError: the loss is no number: the training cannot go on.
    """
    path = settings.work / f"{objective.name}-{key}.pt"
    losses = _restored(objective, path, settings.device)
    base = [float(group["lr"]) for group in objective.optimiser.param_groups]
    every = max(1, settings.steps // CHECKPOINTS)
    objective.network.train()
    for step in range(len(losses), settings.steps):
        factor = objective.rate(step / settings.steps)
        for group, rate in zip(objective.optimiser.param_groups, base, strict=True):
            group["lr"] = rate * factor
        losses.append(_step(objective, np.random.default_rng((settings.seed, step))))
        if len(losses) % every == 0 or len(losses) == settings.steps:
            for group, rate in zip(objective.optimiser.param_groups, base, strict=True):
                group["lr"] = rate
            if is_first():
                _keep(objective, losses, path)
        on_progress(objective.name, (step + 1) / settings.steps)
    objective.network.eval()
    return losses


def ends_of(losses: list[float]) -> list[float]:
    """Return the mean loss of the first and of the last tenth of the steps."""
    tenth = max(1, len(losses) // 10)
    return [round(sum(x) / tenth, 5) for x in (losses[:tenth], losses[-tenth:])]


WARM_UP = 0.3
START = 0.04
"""One-cycle: share of the steps in which the rate rises, and where it starts (PyTorch's)."""


def one_cycle(done: float) -> float:
    """Return a rate that rises from START to 1 and falls to 0, along halves of a cosine.

    Source: Smith and Topin, Super-convergence, 2018.
    """
    if done < WARM_UP:
        return START + (1 - START) * _half_cosine(1 - done / WARM_UP)
    return _half_cosine((done - WARM_UP) / (1 - WARM_UP))


def _half_cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def two_drops(done: float) -> float:
    """Return 1, a fifth of it after 80 % and a fifth of that after 90 % of the steps."""
    return 1.0 if done < 0.8 else 0.2 if done < 0.9 else 0.04


def constant(_done: float) -> float:
    """Return 1."""
    return 1.0


def _step(objective: TrainingObjective, rng: np.random.Generator) -> float:
    loss = objective.loss(rng)
    value = mean_loss(loss)
    if not math.isfinite(value):
        raise DataError(
            f"The training of {objective.name} broke: its loss is {value}. "
            "Use a smaller learning rate or another seed."
        )
    objective.optimiser.zero_grad()
    torch.autograd.backward(loss)
    average_gradients(objective.network)
    average_statistics(objective.network)
    objective.optimiser.step()
    return value


def _restored(objective: TrainingObjective, path: Path, device: str) -> list[float]:
    """Load a checkpoint if there is one; return the losses up to it."""
    if not path.is_file():
        return []
    state = torch.load(path, map_location=device, weights_only=True)
    objective.network.load_state_dict(state["network"])
    objective.optimiser.load_state_dict(state["optimiser"])
    return [float(x) for x in state["losses"]]


def _keep(objective: TrainingObjective, losses: list[float], path: Path) -> None:
    """Write a checkpoint; a half-written one never bears the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    state = {
        "network": objective.network.state_dict(),
        "optimiser": objective.optimiser.state_dict(),
        "losses": losses,
    }
    torch.save(state, half)
    half.replace(path)
