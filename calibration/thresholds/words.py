"""What a limit means, in sentences for people without a statistics course. No IO."""

from __future__ import annotations

import math

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
