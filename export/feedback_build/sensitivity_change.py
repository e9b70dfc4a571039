"""What a build that learnt from marks costs in defects caught: both bundles' own synthetic ones.

A mark "this is good" makes what was seen on that part harmless, and with it whatever looks like it.
The marked parts cannot show that; synthetic defects, scored by models that have not seen the part,
can. Those of two builds are not drawn on the same pictures: a difference within chance is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_app.bundle.archive import Bundle
from edge_app.bundle.thresholds import Sensitivity

SURE = 1.96
"""Standard errors of a difference that chance alone hardly makes: 95 %, both sides."""


@dataclass(frozen=True, slots=True)
class SensitivityChange:
    """Synthetic defects caught, by kind and size, as each bundle says of itself.

    Attributes:
        before, after: empty where a bundle says nothing (a limit that was not cross-fitted).
    """

    before: tuple[Sensitivity, ...] = ()
    after: tuple[Sensitivity, ...] = ()

    @property
    def is_lost(self) -> bool:
        """The new bundle catches fewer than the one before, by more than chance."""
        if not self.before or not self.after:
            return False
        (old, n_old), (new, n_new) = caught(self.before), caught(self.after)
        error = math.sqrt(old * (1 - old) / n_old + new * (1 - new) / n_new)
        return old - new > SURE * error

    def sentence(self) -> str:
        """Return what to tell; "" where there is nothing to compare."""
        if not self.before or not self.after:
            return ""
        (old, _), (new, _) = caught(self.before), caught(self.after)
        told = f"Of synthetic defects it catches {new:.0%}; the bundle before caught {old:.0%}."
        if not self.is_lost:
            return told
        kinds = {row.kind for row in self.before} & {row.kind for row in self.after}
        drops = {kind: self._of(self.before, kind) - self._of(self.after, kind) for kind in kinds}
        worst = sorted((k for k in drops if drops[k] > 0), key=lambda k: (-drops[k], k))[:3]
        most = ", ".join(
            f"{k} {self._of(self.before, k):.0%} to {self._of(self.after, k):.0%}" for k in worst
        )
        return (
            f"{told} What was marked good looks like defects, and they pass with it. Most: {most}. "
            "Remove the cause on the line, or take the marks back."
        )

    def _of(self, rows: Sequence[Sensitivity], kind: str) -> float:
        return caught([row for row in rows if row.kind == kind])[0]


def sensitivity_of(bundle: Bundle) -> tuple[Sensitivity, ...]:
    """Return what a bundle says of its synthetic defects; empty if nothing."""
    origin = bundle.manifest.variants[0].thresholds.origin
    return () if origin is None else origin.sensitivity


def caught(rows: Sequence[Sensitivity]) -> tuple[float, int]:
    """Return the share caught, and of how many."""
    count = sum(row.count for row in rows)
    return sum(row.recall * row.count for row in rows) / count, count
