"""Several seeds of the same comparison: means, and paired differences that redraw pictures once.

The seeds change training, never the pictures: a redraw takes the same pictures for every method and
every seed, and the difference is averaged over the seeds before its interval is read off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_app.records import F64Array
from export.evaluation.image_metrics import BOOTSTRAP_ROUNDS, auroc

Scores = Mapping[str, Sequence[F64Array]]
"""Row → per seed (n,) scores of the test crops."""

HEAD = (
    "Method", "mean image AUROC", "each seed", "first minus it (95 %, paired)", "mean pixel AUROC",
)  # fmt: skip


def mean_difference_interval(
    first: Sequence[F64Array], other: Sequence[F64Array], is_good: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """Return the paired-bootstrap 95 % interval of the mean over seeds of first minus other."""
    rng = np.random.default_rng(seed)
    good, bad = np.flatnonzero(is_good), np.flatnonzero(~is_good)
    drawn = []
    for _ in range(BOOTSTRAP_ROUNDS):
        g, b = rng.choice(good, len(good)), rng.choice(bad, len(bad))
        gains = [auroc(a[g], a[b]) - auroc(o[g], o[b]) for a, o in zip(first, other, strict=True)]
        drawn.append(float(np.mean(gains)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def seeds_markdown(
    scores: Scores, pixel: Mapping[str, Sequence[float | None]], is_good: np.ndarray
) -> str:
    """Return the table over all seeds; the first row is what the others are taken from."""
    names = list(scores)
    lines = [list(HEAD), ["---"] * len(HEAD)]
    for name in names:
        each = [auroc(s[is_good], s[~is_good]) for s in scores[name]]
        difference = "–"
        if name != names[0]:
            low, high = mean_difference_interval(scores[names[0]], scores[name], is_good)
            ours = [auroc(s[is_good], s[~is_good]) for s in scores[names[0]]]
            middle = float(np.mean(ours) - np.mean(each))
            difference = f"{100 * middle:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        known = [p for p in pixel[name] if p is not None]
        lines.append(
            [
                name,
                f"{np.mean(each):.1%}",
                ", ".join(f"{100 * value:.1f}" for value in each),
                difference,
                f"{np.mean(known):.1%}" if known else "–",
            ]
        )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
