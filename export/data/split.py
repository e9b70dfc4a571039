"""Which good pictures train and which are held out for the thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from export.data.dataset import Picture

CALIBRATION_SHARE = 0.25
"""Of the good pictures: they train nothing and set the thresholds."""


def split(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return (training, hold-out) pictures.

    Chosen by digest, so that a picture keeps its side when others are added and file names with
    dates or shifts in them do not decide.
    """
    ordered = sorted(pictures, key=lambda p: p.sha256)
    hold_out = set(ordered[: max(1, round(len(ordered) * CALIBRATION_SHARE))])
    return [p for p in pictures if p not in hold_out], [p for p in pictures if p in hold_out]
