"""Which parts' pictures are worth keeping, besides those of bad ones: decided with the verdict.

Nothing is written here: a report carries the picture, `alerts/` writes it, within its limits.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edge_app.inspection.judge import Limits
from edge_app.records import KeepReason, PartVerdict, VerdictState


@dataclass(frozen=True, slots=True)
class KeepRule:
    """What is kept of parts that have no alert picture.

    Attributes:
        near_miss_share: an OK part whose score is at least this share of the lower limit, and below
            it, is a near miss; 1: none is. Scores of limits that are not above 0 have no share.
        sample_share: share of all parts that are drawn, 0 to 1.
    """

    near_miss_share: float = 1.0
    sample_share: float = 0.0

    def is_drawn(self, part_id: str) -> bool:
        """Tell whether a part is in the random sample: by its id alone, whatever its score is.

        Ids never repeat, so that the same part is drawn or not wherever it is asked.
        """
        if self.sample_share <= 0:
            return False
        digest = hashlib.blake2b(part_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.sample_share * 2.0**64

    def is_near_miss(self, score: float, limits: Limits) -> bool:
        """Tell whether an OK view's score is close below the lower limit.

        The lower limit is the suspect threshold where the bundle has one, else the limit itself.
        """
        lower = limits.score_threshold
        if limits.suspect_threshold is not None:
            lower = min(lower, limits.suspect_threshold)
        return lower > 0 and self.near_miss_share * lower <= score < lower

    def reasons(self, verdict: PartVerdict, is_near_miss: bool) -> tuple[KeepReason, ...]:
        """Return why a part that has left is kept; empty if it is not."""
        reasons: list[KeepReason] = []
        if verdict.state is VerdictState.NG:
            reasons.append("ng")
        if verdict.state is VerdictState.NOT_INSPECTED:
            reasons.append("not_inspected")
        if verdict.is_suspect:
            reasons.append("suspect")
        if is_near_miss and verdict.state is VerdictState.OK and not verdict.is_suspect:
            reasons.append("near_miss")
        if self.is_drawn(verdict.part_id):
            reasons.append("random")
        return tuple(reasons)
