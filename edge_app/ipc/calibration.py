"""The scores of a bundle's calibration in few numbers: what the page draws behind a limit."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

BINS = 60
TOP = 32
"""Largest scores that are told exactly: a limit lies among them."""


class Calibration(BaseModel):
    """Scores of the good parts that a bundle's limit was made from.

    Attributes:
        good_parts: how many.
        low, width: bin i holds scores in [low + i × width, low + (i + 1) × width); the last one
            the largest score too.
        counts: parts in each bin, `BINS` at most.
        top: the largest scores, descending, exactly.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore", allow_inf_nan=False)

    good_parts: Annotated[int, Field(ge=1)]
    low: float
    width: Annotated[float, Field(ge=0)]
    counts: Annotated[tuple[int, ...], Field(min_length=1, max_length=BINS)]
    top: Annotated[tuple[float, ...], Field(min_length=1, max_length=TOP)]


def calibration_of(scores: Sequence[float]) -> Calibration:
    """Return what is told of a bundle's calibration.

    Args:
        scores: ascending, finite, at least one.
    """
    low, high = scores[0], scores[-1]
    width = (high - low) / BINS
    top = tuple(reversed(scores[-TOP:]))
    if not width > 0:
        return Calibration(good_parts=len(scores), low=low, width=0, counts=(len(scores),), top=top)
    edges = [0, *(bisect.bisect_left(scores, low + n * width) for n in range(1, BINS)), len(scores)]
    counts = tuple(after - before for before, after in itertools.pairwise(edges))
    return Calibration(good_parts=len(scores), low=low, width=width, counts=counts, top=top)
