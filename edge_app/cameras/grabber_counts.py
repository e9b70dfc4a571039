"""What a grabber counts: nothing a camera took is dropped in silence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GrabberCounts:
    """What has passed since the start; published in `health`.

    Of a live camera every picture taken while it was open is in one place: frames + missed were
    taken, and frames = handed on + skipped + repeated + unusable + what still waits.

    Attributes:
        frames: delivered by the source.
        skipped: replaced by a newer frame before anybody looked (live).
        overload: parts refused because the queue was full (triggered).
        deadline: parts that waited past their deadline (triggered).
        corrupt: pictures that could not be read.
        missed: numbers missing between the source's frames: lost before they reached us.
        repeated: the very picture before again; not handed on.
        unusable: black or white; not handed on (a trigger's becomes `Unjudged`).
        reconnects: openings after the first.
    """

    frames: int = 0
    skipped: int = 0
    overload: int = 0
    deadline: int = 0
    corrupt: int = 0
    missed: int = 0
    repeated: int = 0
    unusable: int = 0
    reconnects: int = 0
