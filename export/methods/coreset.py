"""Greedy k-centre choice of a few patches that stand for all.

Each further patch is the one farthest from those already chosen, so rare but good appearances are
kept where random choice would lose them.

Source: Roth et al., PatchCore, CVPR 2022, algorithm 1; distances after a random projection to 128
dimensions (Johnson-Lindenstrauss), as there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edge_app.errors import DataError

PROJECTED = 128
"""Dimensions distances are taken in while choosing (the paper's)."""

TOLD_EVERY = 100
"""Choices between two reports of progress."""


def greedy_coreset(
    patches: Tensor,
    count: int,
    generator: torch.Generator,
    done: Callable[[float], None],
    at_once: int = 1,
) -> Tensor:
    """Return the (count,) int64 rows chosen, in order of choice; all rows if there are no more.

    Args:
        patches: (p, d) float32.
        count: how many to choose.
        generator: on the CPU; draws the projection and the first patch.
        at_once: so many are chosen between two looks at all patches, the farthest of every
            at_once-th one: quicker by about as much, a little less greedy.

    Raises:
        DataError: a patch is not finite: no distance could be compared.
    """
    if not torch.isfinite(patches).all():
        raise DataError("Features of good crops are not finite: check the backbone's weights.")
    if count >= len(patches):
        return torch.arange(len(patches))
    d = patches.shape[1]
    if d > PROJECTED:
        matrix = torch.randn(d, PROJECTED, generator=generator) / PROJECTED**0.5
        patches = patches @ matrix.to(patches.device)
    return _farthest_first(patches, count, generator, done, at_once)


def _farthest_first(
    points: Tensor,
    count: int,
    generator: torch.Generator,
    done: Callable[[float], None],
    at_once: int,
) -> Tensor:
    squares = points.square().sum(1)  # (p,)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    latest = chosen[:]
    nearest = torch.full_like(squares, torch.inf)
    rounds = 0
    while len(chosen) < count:
        rows = points[latest]  # (k, d)
        distance = squares[:, None] - 2 * (points @ rows.T) + squares[latest]  # (p, k)
        nearest = torch.minimum(nearest, distance.amin(1))
        nearest[latest] = -torch.inf  # rounding must not choose a patch twice
        latest = _farthest_of_each(nearest, min(at_once, count - len(chosen)))
        chosen += latest
        rounds += 1
        if rounds % TOLD_EVERY == 0:
            done(len(chosen) / count)
    done(1.0)
    return torch.tensor(chosen, dtype=torch.int64)


def _farthest_of_each(nearest: Tensor, parts: int) -> list[int]:
    """Return the index of the largest value among every parts-th one, from each start."""
    return [start + parts * int(nearest[start::parts].argmax()) for start in range(parts)]
