"""What to expect of a bundle, in sentences: the first lines of report and terminal. No IO."""

from __future__ import annotations

from edge_app.records import JsonObject
from export.evaluation.operating_point import LEAST_BEST_VALUE, PB_RATE

WORTH_MOVING = 0.8
"""Efficiency below which the limit, not the scores, is what to look at first."""


def answer(figures: JsonObject) -> list[str]:
    """Return the sentences, the most important one first.

    Args:
        figures: of `evaluate`, or of `operating_figures` with the counts `good` and `bad`.
    """
    return [_counts(figures), _bounds(figures), _limit(figures)]


def _counts(figures: JsonObject) -> str:
    """Return e.g. "Catches 46 of 48 defects; alarms on 1 of 20 good parts; ..."."""
    blind = figures["not_inspected"]
    judged = figures["good"] - blind["good"]
    caught = f"Catches {figures['caught']} of {figures['bad']} defects"
    alarms = f"alarms on {figures['false_alarms']} of {judged} good parts"
    if not judged:
        alarms = "no good part was inspected"
    return f"{caught}; {alarms}; {_blind(blind['good'], blind['bad'])}."


def _blind(good: int, bad: int) -> str:
    if not good + bad:
        return "every picture was inspected"
    were = "picture was" if good + bad == 1 else "pictures were"
    return f"{good + bad} {were} not inspected ({good} good; {bad} defective, counted as missed)"


def _bounds(figures: JsonObject) -> str:
    low, bounds = figures["recall_bounds"][0], figures["false_alarm_rate_bounds"]
    said = f"So many pictures prove, at 95 % confidence: at least {low:.0%} of such defects caught"
    return (
        f"{said}." if bounds is None else f"{said}, at most {bounds[1]:.1%} of good parts alarmed."
    )


def _limit(figures: JsonObject) -> str:
    """Say whether another limit would do better."""
    best = figures["best_value"]
    if best is None:
        return "Nothing can be said about other limits: no good part was inspected."
    if best < LEAST_BEST_VALUE:
        return (
            "No limit separates these defects from good parts (recall - false-alarm rate is at "
            f"most {best:.2f}): efficiency is not defined, and moving the limit will not help."
        )
    share = figures["efficiency"]
    said = (
        f"The limit makes {share:.0%} of what these scores allow (efficiency {share:.2f}); at "
        f"{100 * PB_RATE:.0f} % false alarms {figures['pb2']:.0%} of the defects would be caught"
    )
    if share >= WORTH_MOVING:
        return f"{said}."
    return f"{said}. Look at the limit first: edge-calibrate thresholds sets it from good parts."
