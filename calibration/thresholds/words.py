"""What a limit means, in sentences for people without a statistics course. No IO."""

from __future__ import annotations

import math

from calibration.thresholds.alarm_counts import alarm_chances, quantile

_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


def told_stops(expected_rate: float, rate_bound: float) -> str:
    """Return e.g. "Of 1,000 good parts about 20 will be stopped (95 % sure: fewer than 35)."

    Args:
        expected_rate: share of further good parts to expect at or above the limit.
        rate_bound: its upper 95 % bound.
    """
    about = 1000 * expected_rate
    told = f"{about:.0f}" if about >= 10 else f"{about:.2g}"
    most = min(1000, math.floor(1000 * rate_bound) + 1)
    return f"Of 1,000 good parts about {told} will be stopped (95 % sure: fewer than {most})."


def told_forgiven(rank: int, count: int) -> str:
    """Return how many odd parts the rank-th largest score of `count` good parts forgives."""
    if rank <= 1:
        return (
            f"It forgives no odd part among {count} good ones: the most anomalous one alone sets "
            "the limit."
        )
    parts = "odd good part" if rank == 2 else "odd good parts"
    return f"It forgives {rank - 1} {parts} among {count}."


def told_carried(rate: float, rank: int, count: int) -> str | None:
    """Return a sentence where so few good parts cannot carry the rate asked for; else None."""
    if rate * (count + 1) >= 0.5 * rank:
        return None
    return (
        f"{count} good parts carry no rate below {1 / (count + 1):.2%}: the limit is their largest "
        "score. More good parts, or edge-calibrate thresholds --from the line, go lower."
    )


def told_rank(rank: int) -> str:
    """Return e.g. "the 3rd largest score"; for 1 "the largest score"."""
    if rank == 1:
        return "the largest score"
    is_teen = 10 <= rank % 100 <= 20
    return f"the {rank}{'th' if is_teen else _ORDINALS.get(rank % 10, 'th')} largest score"


UNLIKE_SHARE = 0.99
"""A limit alarms on more good parts than its `quantile` at this share once in a hundred times."""


def told_unlike(alarms: int, judged: int, rank: int, good_parts: int) -> str | None:
    """Return a sentence where good parts are alarmed on that the limit would let pass; else None.

    Args:
        alarms: of `judged` good parts, none of which the limit was made from.
        rank, good_parts: the limit is the rank-th largest of so many good scores.
    """
    most = quantile(alarm_chances(rank, good_parts, judged), UNLIKE_SHARE)
    if alarms <= most:
        return None
    return (
        f"{alarms} of {judged} good pictures are alarmed on; a limit that is {told_rank(rank)} of "
        f"{good_parts} good parts does so with at most {most}, 99 times in 100. These pictures are "
        "not like the training pictures: look for another light, distance, focus, place or batch. "
        "If the line shows such parts, add their pictures to the good ones and build again."
    )
