"""How the terms' scores become one, and which of them count: measured, not guessed.

Each term is standardised by good crops that it was not fitted to. The score is a power mean of the
standardised terms: a crop is as anomalous as its most anomalous term says, and several that agree
say more. Which terms count is decided by what they find among synthetic defects at low
false-alarm rates, cross-fitted. Of sets that find about as many the one with the fewest terms wins:
each term brings its own tail of good parts, which a few hundred of them hardly show, and its own
time on the device (docs/decisions/0039).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_app.records import F64Array
from export.defects.evidence import I64Array, per_group, recall_at

POWER, SHIFT = 6.0, 3.0
"""The mean of (z + SHIFT)^POWER over the terms, its root less SHIFT. Between their mean, in which
one term's find is diluted, and their maximum, in which several that agree say no more than one
(docs/decisions/0034, 0016)."""

CHOICE_RATES = (0.005, 0.01, 0.02, 0.05)
"""False-alarm rates over which recall is averaged: at one alone many sets catch the same."""

TIE = 0.005
"""Less recall than the best by no more than this is a tie."""

CANDIDATES: tuple[tuple[str, ...], ...] = (
    ("memory",),
    ("memory", "context"),
    ("memory", "statistics"),
    ("memory", "context", "statistics"),
    ("memory", "context", "regions"),
    ("statistics", "regions"),
    ("memory", "statistics", "regions"),
    ("memory", "context", "statistics", "regions"),
    ("detail",),
    ("detail", "context"),
    ("detail", "memory"),
    ("detail", "memory", "context"),
    ("detail", "memory", "context", "statistics"),
)
"""Sets of terms that compete; those with a term that was not fitted are left out."""


TAIL = 0.98
TAIL_DEVIATIONS = 2.0537
"""Where a standard normal distribution has its TAIL quantile: that of the nominal limit."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How a term is standardised: (value − offset) / scale."""

    offset: float
    scale: float


@dataclass(frozen=True, slots=True)
class TermChoice:
    """The terms that count.

    Attributes:
        terms: their names.
        table: every candidate's mean recall over CHOICE_RATES, by its terms joined with "+".
    """

    terms: tuple[str, ...]
    table: dict[str, float]


def scale_of(good: F64Array) -> Scale:
    """Return the median, and the spread of what lies above it.

    The limit is set in the upper tail, so that is where terms are made comparable: the spread is
    the largest of the robust one round the median, half the standard deviation, and the one that a
    normal distribution with this 98 % quantile has. By the robust one alone a term with a long tail
    of good crops stands far above the others there, and the limit with it.
    """
    middle = float(np.median(good))
    spread = 1.4826 * float(np.median(np.abs(good - middle)))
    tail = (float(np.quantile(good, TAIL)) - middle) / TAIL_DEVIATIONS
    return Scale(middle, max(spread, 0.5 * float(good.std()), tail, 1e-6))


def combined(standardised: F64Array) -> F64Array:
    """Return (n,) the power mean of (n, t) standardised terms; −inf stays −inf."""
    above = np.clip(standardised + SHIFT, 0.0, None) ** POWER
    score = above.mean(1) ** (1 / POWER) - SHIFT
    return np.where(np.isneginf(standardised).any(1), -np.inf, score)


def choose_terms(
    good: dict[str, F64Array], defects: dict[str, F64Array], groups: I64Array
) -> TermChoice:
    """Return the set of terms to take.

    Args:
        good: term → (n,) cross-fitted scores of good crops.
        defects: term → (d,) cross-fitted scores of synthetic defects.
        groups: (n,) near-duplicates among the good crops share a number; the limits at which recall
            is read count groups, as the bundle's own limit does.
    """
    table = {}
    for names in CANDIDATES:
        if all(name in good for name in names):
            scales = [scale_of(good[name]) for name in names]
            g, d = (
                combined(standardised([side[name] for name in names], scales))
                for side in (good, defects)
            )
            grouped = per_group(g, groups)
            table[names] = float(np.mean([recall_at(grouped, d, r) for r in CHOICE_RATES]))
    best = max(table.values())
    tied = [names for names, found in table.items() if found >= best - TIE]
    chosen = min(tied, key=lambda names: (len(names), -table[names]))
    return TermChoice(chosen, {"+".join(names): round(v, 4) for names, v in table.items()})


def standardised(values: list[F64Array], scales: list[Scale]) -> F64Array:
    """Return (n, t) of t terms' (n,) scores."""
    return np.stack([(v - s.offset) / s.scale for v, s in zip(values, scales, strict=True)], 1)
