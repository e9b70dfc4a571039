"""Several processes that train one network: each computes its part of every batch.

`export/methods/multi_process/` starts them. Alone, a process gets back here exactly what it gives.

Source: the arithmetic of torch's DistributedDataParallel: gradients are averaged after backward,
which for losses that are means over equal parts is the gradient of the whole batch. DDP itself is
not used: it wraps the forward of one module, and the methods' losses call parts of several networks
and differentiate through gradients (f-AnoGAN's penalty), which DDP does not do.

BatchNorm sees its process's part of the batch only; its running statistics are averaged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from edge_app.errors import DataError

RUNNING = ("running_mean", "running_var")
"""Names of BatchNorm's running statistics."""

Kind = TypeVar("Kind", bound=np.generic)


def processes() -> int:
    """Return how many processes train together; 1 alone."""
    return distributed.get_world_size() if _is_joined() else 1


def is_first() -> bool:
    """Return whether this process writes checkpoints and results; True alone."""
    return distributed.get_rank() == 0 if _is_joined() else True


def own_part(batch: NDArray[Kind]) -> NDArray[Kind]:
    """Return this process's part of a batch that every process has drawn with the same randomness.

    Raises:
        DataError: the batch cannot be divided evenly; the mean of the parts' means would not be the
            batch's.
    """
    count = processes()
    if count == 1:
        return batch
    if len(batch) % count:
        raise DataError(
            f"A batch of {len(batch)} cannot be divided evenly between {count} processes: start "
            f"{_divisors(len(batch))} of them."
        )
    each = len(batch) // count
    start = distributed.get_rank() * each
    return batch[start : start + each]


def mean_loss(loss: Tensor) -> float:
    """Return the mean of all processes' losses, the same number in each of them."""
    value = loss.detach()
    if processes() > 1:
        value = value.clone()
        distributed.all_reduce(value)
        value = value / processes()
    return float(value)


def average_gradients(network: nn.Module) -> None:
    """Replace every gradient by the mean over all processes; in place, all in one message."""
    if processes() > 1:
        _average([p.grad for p in network.parameters() if p.grad is not None])


def average_statistics(network: nn.Module) -> None:
    """Replace BatchNorm's running statistics by the mean over all processes; in place."""
    if processes() > 1:
        _average([b for name, b in network.named_buffers() if name.endswith(RUNNING)])


def _average(tensors: Iterable[Tensor]) -> None:
    kept = list(tensors)
    if not kept:
        return
    with torch.no_grad():
        flat = torch.cat([t.flatten() for t in kept])
        distributed.all_reduce(flat)
        flat /= processes()
        start = 0
        for tensor in kept:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()


def _divisors(number: int) -> str:
    return ", ".join(str(n) for n in range(1, number + 1) if number % n == 0)


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()
