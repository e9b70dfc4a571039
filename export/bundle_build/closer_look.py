"""Whether a picture at twice as many pixels is worth measuring: tried on a sample first.

Of many pictures the finer ones take most of a build's time, and mostly catch no more. A sample of
pictures and defects is judged both ways; where the finer one catches less there, all of it would
have to catch CLEAR_GAIN more to be taken, and it is given up. With few pictures the sample would
save nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from export.bundle_build.records import CutParts

SAMPLE_FROM = 320
"""Pictures from which on there is a sample: twice what is in one."""

SAMPLE_PICTURES = 160
"""As many folds as all of them have (`FOLDS_MANY`)."""


def catches_less(closer: CutParts, cut: CutParts, recall: Callable[[CutParts], float]) -> str:
    """Return in words that crops at more pixels catch less on a sample; "" where they may pay.

    Args:
        closer, cut: the same parts and drawn defects, cut two ways.
        recall: judges crops by folds, and returns the share of the drawn defects they catch.
    """
    if len(cut.crops) < SAMPLE_FROM:
        return ""
    before, after = (recall(sample_of(crops)) for crops in (cut, closer))
    if after >= before:
        return ""
    return f"{after:.0%} after {before:.0%} on a sample of {SAMPLE_PICTURES} pictures"


def sample_of(cut: CutParts) -> CutParts:
    """Return every few of the crops, and half of the drawn defects: every kind in every size."""
    evidence = cut.evidence
    assert evidence is not None  # a way to the crop is always judged on drawn defects
    at = np.linspace(0, len(cut.crops) - 1, SAMPLE_PICTURES).round().astype(int)
    half = len(evidence.labels) // 2
    is_in = evidence.defect_of < half
    return replace(
        cut,
        crops=[cut.crops[i] for i in at],
        space=cut.space.branch("sample"),
        evidence=replace(
            evidence,
            groups=evidence.groups[at],
            defects=evidence.defects[is_in],
            defect_of=evidence.defect_of[is_in],
            defect_groups=evidence.defect_groups[:half],
            labels=evidence.labels[:half],
        ),
    )
