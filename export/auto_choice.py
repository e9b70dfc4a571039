"""Which of several trained candidates `--method auto` takes. No IO, no clock, no training.

The evidence is held-back good crops and pseudo-anomalies of two families painted on them: local
and large ones. Neither is real, and each favours some methods (docs/methods.md), so a challenger
has to be better over both and must not be worse in either, or the default stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.records import F64Array, JsonObject
from export.augment import KINDS
from export.auto_anomalies import LARGE
from export.evaluation_metrics import auroc

FAMILIES: dict[str, tuple[str, ...]] = {"local": tuple(KINDS), "large": tuple(LARGE)}

ALARM_SHARE = 0.05
"""Of the held-back good crops that may alarm where `caught` is read off."""

NO_WORSE = 0.01
"""Least loss in one family, or in what is caught, that keeps a challenger out."""

GAIN = 0.02
"""Least gain in AUROC, mean of the families, that a challenger must bring: about two standard
errors of a paired difference over 64 crops and six kinds."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one candidate made of the held-back crops.

    Attributes:
        kinds: kind of pseudo-anomaly → AUROC against the same good crops.
        caught: share of all painted crops above the level that ALARM_SHARE of the good ones reach:
            a wide spread of good scores costs here what it costs on the line.
    """

    method: str
    kinds: dict[str, float]
    caught: float

    def family(self, name: str) -> float:
        """Return the mean AUROC over one family's kinds."""
        return float(np.mean([self.kinds[kind] for kind in FAMILIES[name]]))

    @property
    def mean(self) -> float:
        """The mean AUROC, both families counting the same."""
        return float(np.mean([self.family(name) for name in FAMILIES]))

    def as_json(self) -> JsonObject:
        """Return plain JSON."""
        return {"method": self.method, "kinds": self.kinds, "caught": self.caught}


def evidence_of(method: str, good: F64Array, painted: Mapping[str, F64Array]) -> Evidence:
    """Return a candidate's evidence.

    Args:
        good: (n,) scores of held-back good crops.
        painted: kind → (n,) scores of their painted copies.

    Raises:
        DataError: a score is NaN.
    """
    level = float(np.quantile(good, 1 - ALARM_SHARE))
    every = np.concatenate(list(painted.values()))
    kinds = {kind: round(auroc(good, scores), 4) for kind, scores in painted.items()}
    return Evidence(method, kinds, round(float((every > level).mean()), 4))


def choose(default: str, evidence: Sequence[Evidence]) -> tuple[str, str]:
    """Return the method to take and why, in one sentence.

    Args:
        default: taken unless a challenger qualifies; where it has no evidence itself, the best mean
            AUROC decides.
        evidence: at least one candidate's.
    """
    own = next((e for e in evidence if e.method == default), None)
    if own is None:
        best = max(evidence, key=lambda e: e.mean)
        return best.method, f"{default} was not measured; best mean AUROC {best.mean:.3f}"
    qualified = [e for e in evidence if e is not own and _is_better(e, own)]
    if not qualified:
        return default, (
            f"no candidate is better by {GAIN} over local and large pseudo-anomalies together "
            f"(mean AUROC {own.mean:.3f}) without being worse in either or catching less"
        )
    best = max(qualified, key=lambda e: e.mean)
    return best.method, (
        f"mean AUROC {best.mean:.3f} against {own.mean:.3f} of {default}, no worse on local or "
        f"large pseudo-anomalies, catching {best.caught:.0%} against {own.caught:.0%} with "
        f"{ALARM_SHARE:.0%} of good crops alarmed"
    )


def _is_better(challenger: Evidence, own: Evidence) -> bool:
    families = (challenger.family(f) >= own.family(f) - NO_WORSE for f in FAMILIES)
    is_no_worse = all(families) and challenger.caught >= own.caught - NO_WORSE
    return is_no_worse and challenger.mean >= own.mean + GAIN
