"""Which of several trained candidates `--method auto` takes. No IO, no clock, no training.

The evidence is hold-out good crops and synthetic anomalies of two families on them: local
and large ones. Neither is real, and each favours some methods (docs/methods.md), so a challenger
has to be better over both and must not be worse in either, or the default stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.records import F64Array
from export.augment import KINDS
from export.auto_method.anomalies import LARGE
from export.evaluation.image_metrics import auroc

FAMILIES: dict[str, tuple[str, ...]] = {"local": tuple(KINDS), "large": tuple(LARGE)}

ALARM_SHARE = 0.05
"""Of the hold-out good crops that may alarm where `caught` is read off."""

NO_WORSE = 0.01
"""Least loss in one family, or in what is caught, that keeps a challenger out."""

ROUNDS = 500
"""Redraws of the hold-out crops behind an interval."""


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """Evidence as a build step keeps it; see there."""

    method: str
    good: tuple[float, ...]
    painted: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What one candidate made of the hold-out crops.

    Attributes:
        good: (n,) scores of the crops as they are.
        synthetic: kind of EVIDENCE_KINDS → (n,) scores of their copies with an
            anomaly, in the same order.
    """

    method: str
    good: F64Array
    synthetic: Mapping[str, F64Array]

    @property
    def kinds(self) -> dict[str, float]:
        """AUROC of each kind of pseudo-anomaly against the good crops."""
        return {kind: auroc(self.good, scores) for kind, scores in self.synthetic.items()}

    @property
    def caught(self) -> float:
        """Share of all synthetic anomalies above the level that ALARM_SHARE of the good ones reach.

        A wide spread of good scores costs here what it costs on the line.
        """
        level = float(np.quantile(self.good, 1 - ALARM_SHARE))
        return float((np.concatenate(list(self.synthetic.values())) > level).mean())

    @property
    def families(self) -> dict[str, float]:
        """Mean AUROC over each family's kinds."""
        kinds = self.kinds
        return {name: float(np.mean([kinds[k] for k in FAMILIES[name]])) for name in FAMILIES}

    @property
    def mean(self) -> float:
        """Mean AUROC, both families counting the same."""
        return float(np.mean(list(self.families.values())))

    def redrawn(self, at: NDArray[np.int64]) -> Evidence:
        """Return the evidence of the crops numbered `at`, (n,)."""
        return Evidence(self.method, self.good[at], {k: s[at] for k, s in self.synthetic.items()})

    def record(self) -> EvidenceRecord:
        """Return what a build step keeps."""
        synthetic = {kind: tuple(scores.tolist()) for kind, scores in self.synthetic.items()}
        return EvidenceRecord(self.method, tuple(self.good.tolist()), synthetic)


def evidence_from(saved: EvidenceRecord) -> Evidence:
    """Return what `record` was taken of."""
    synthetic = {kind: np.array(s, np.float64) for kind, s in saved.painted.items()}
    return Evidence(saved.method, np.array(saved.good, np.float64), synthetic)


def choose(default: str, evidence: Sequence[Evidence]) -> tuple[str, str]:
    """Return the method to take and why, in one sentence.

    Args:
        default: taken unless a challenger qualifies; where it has no evidence itself, the best mean
            AUROC decides.
        evidence: at least one candidate's, all of the same crops.

    Raises:
        DataError: a score is NaN.
    """
    own = next((e for e in evidence if e.method == default), None)
    if own is None:
        best = max(evidence, key=lambda e: e.mean)
        return best.method, f"{default} was not measured; best mean AUROC {best.mean:.3f}"
    qualified = [e for e in evidence if e is not own and _is_better(e, own)]
    if not qualified:
        return default, (
            f"no other candidate is surely better over local and large pseudo-anomalies together "
            f"(mean AUROC {own.mean:.3f}) without being worse in either or catching less"
        )
    best = max(qualified, key=lambda e: e.mean)
    low, high = gain_interval(best, own)
    return best.method, (
        f"mean AUROC {best.mean:.3f} against {own.mean:.3f} of {default} (95 %: {low:+.3f} to "
        f"{high:+.3f}), no worse on local or on large pseudo-anomalies, catching "
        f"{best.caught:.0%} against {own.caught:.0%} with {ALARM_SHARE:.0%} of good crops alarmed"
    )


def gain_interval(challenger: Evidence, own: Evidence) -> tuple[float, float]:
    """Return the paired-bootstrap 95 % interval of the gain in mean AUROC.

    A crop and its copies with anomalies are drawn together, the same ones for both methods.
    """
    rng, count = np.random.default_rng(0), len(own.good)
    gains = []
    for _ in range(ROUNDS):
        at = rng.integers(0, count, count)
        gains.append(challenger.redrawn(at).mean - own.redrawn(at).mean)
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(low), float(high)


def _is_better(challenger: Evidence, own: Evidence) -> bool:
    theirs, ours = challenger.families, own.families
    is_no_worse = all(theirs[name] >= ours[name] - NO_WORSE for name in FAMILIES)
    if not is_no_worse or challenger.caught < own.caught - NO_WORSE:
        return False
    return gain_interval(challenger, own)[0] > 0
