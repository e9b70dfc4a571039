"""Which good pictures train and which are held out for the thresholds."""

from __future__ import annotations

from collections.abc import Sequence

from export.data.dataset import Picture

CALIBRATION_SHARE = 0.25
"""Of the good pictures: they train nothing and set the thresholds."""


def split(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Return (training, hold-out) pictures; near-duplicates are never on both sides.

    Chosen by digest, so that a picture keeps its side when others are added and file names with
    dates or shifts in them do not decide. Groups are taken in the order of their smallest digest
    while that brings the hold-out nearer to its share; one that is larger than that trains.
    """
    groups: dict[str, list[Picture]] = {}
    for picture in pictures:
        groups.setdefault(picture.part, []).append(picture)
    wanted = max(1, round(len(pictures) * CALIBRATION_SHARE))
    hold_out: set[str] = set()
    count = 0
    for part in sorted(groups):
        size = len(groups[part])
        if abs(count + size - wanted) < abs(count - wanted):
            hold_out.add(part)
            count += size
    if not hold_out and len(groups) > 1:  # every group is larger than twice the share
        hold_out.add(min(groups, key=lambda part: (len(groups[part]), part)))
    return (
        [p for p in pictures if p.part not in hold_out],
        [p for p in pictures if p.part in hold_out],
    )
