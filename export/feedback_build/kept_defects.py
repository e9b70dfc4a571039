"""How sure the look for harmless places has to be, so that confirmed defects stay alarmed.

What tells a spot from a drawn defect is half-way between both; a real defect may lie on the wrong
side. People have confirmed some: the look is made as strict as those need that the base build
alarms, unless false alarms would come back for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from edge_app.records import F64Array
from export.feedback_build.harmless_graph import HarmlessGraph, HarmlessHead
from export.methods.ensemble.graph import EnsembleGraph
from export.methods.ensemble.terms import CropFeatures

STEPS = 24
"""Margins that are tried, from half-way up to where no place of any defect is harmless."""

Passing = Callable[[float], float]
"""Margin → share of the marked false alarms that pass by what has not learnt from them."""


def scores_of(graph: EnsembleGraph | HarmlessGraph, features: CropFeatures) -> F64Array:
    """Return (n,) scores."""
    found = []
    with torch.no_grad():
        for taps in features.chunks():
            found.append(graph.judge(taps, features.crop_hw)[0].double().numpy())
    return np.concatenate(found)


def margins_of(
    graph: EnsembleGraph, head: HarmlessHead, defects: CropFeatures, limit: float
) -> F64Array:
    """Return (n,) for each crop of a defect the smallest margin at which it stays alarmed; 0 where
    it needs none, NaN where it is not alarmed without the head either."""
    needed = np.where(scores_of(graph, defects) >= limit, np.inf, np.nan)
    for margin in np.linspace(0, _largest(head, defects), STEPS).tolist():
        alarmed = scores_of(HarmlessGraph(graph, head.stricter(margin)), defects) >= limit
        needed[np.isinf(needed) & alarmed] = margin
        if not np.isinf(needed).any():
            break
    return needed


def margin_for(needed: Sequence[float], passing: Passing, enough: float) -> float:
    """Return the largest margin that a defect needs and at which enough false alarms pass.

    Args:
        needed: of each defect, see `margins_of`.
        enough: share; where fewer pass without a margin, no fewer have to with it.
    """
    least = None
    for margin in sorted({m for m in needed if np.isfinite(m) and m > 0}, reverse=True):
        least = min(enough, passing(0.0)) if least is None else least
        if passing(margin) >= least:
            return float(margin)
    return 0.0


def margins_without(
    needed: Mapping[int, float], owner: Sequence[str], margin: float
) -> dict[int, float]:
    """Return the crops whose part alone asks for the margin, each with what the others ask for.

    Args:
        needed: crop → the margin that it needs.
        owner: crop → its part.
    """
    found: dict[int, float] = {}
    for row, own in needed.items():
        others = [m for r, m in needed.items() if owner[r] != owner[row] and m <= margin]
        if margin > 0 and own == margin > max(others, default=0.0):
            found[row] = max(others, default=0.0)
    return found


def _largest(head: HarmlessHead, defects: CropFeatures) -> float:
    """Return a margin at which no place of these crops is harmless."""
    with torch.no_grad():
        found = [float(head.values(taps).amax()) for taps in defects.chunks()]
    return max(0.0, *found) * 1.001
