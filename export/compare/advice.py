"""Which of the compared methods to take for a given time per picture. No IO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_app.records import F64Array
from export.evaluation.image_metrics import auroc, auroc_difference_interval

LEAST_EFFICIENCY = 0.25
"""A limit that makes less than this share of what the scores allow is as good as none."""


@dataclass(frozen=True, slots=True)
class AtLimit:
    """What a method does at its own bundle's limit.

    Attributes:
        caught: of `bad` defective test pictures.
        value: recall - false-alarm rate, -1..1; None where no good picture was inspected.
        efficiency: share of the best value of any limit; None where no limit separates.
    """

    caught: int
    bad: int
    value: float | None
    efficiency: float | None

    @property
    def can_alarm(self) -> bool:
        """Whether an alarm at this limit says anything: what is bad is called NG more often than
        what is good, and not far less often than the scores allow."""
        if self.caught == 0 or self.value is None or self.value <= 0:
            return False
        return self.efficiency is None or self.efficiency >= LEAST_EFFICIENCY


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A method that was measured.

    Attributes:
        good: (n,) scores of the good test pictures; +inf where a picture was not inspected.
        bad: (m,) of the defective ones; every method's are in the same order.
        picture_ms: median time to judge a picture, through the whole path.
        at_limit: None where that was not measured.
    """

    name: str
    good: F64Array
    bad: F64Array
    picture_ms: float
    at_limit: AtLimit | None = None

    @property
    def can_alarm(self) -> bool:
        """Whether its bundle can be used as it is."""
        return self.at_limit is None or self.at_limit.can_alarm

    @property
    def auroc(self) -> float:
        """Image AUROC, 0..1."""
        return auroc(self.good, self.bad)


@dataclass(frozen=True, slots=True)
class Advice:
    """What to take.

    Attributes:
        method: highest image AUROC among those that are fast enough and can alarm at their limit;
            None if there is none.
        alike: methods fast enough that these pictures do not distinguish from it, fastest first.
        text: the same in sentences.
    """

    method: str | None
    alike: tuple[str, ...]
    text: str


def advise(contenders: Sequence[Contender], latency_ms: float | None) -> Advice:
    """Return which method to take.

    Args:
        latency_ms: most a picture may take; None for no limit.
    """
    limit = "" if latency_ms is None else f" within {latency_ms:g} ms a picture"
    fast = [c for c in contenders if latency_ms is None or c.picture_ms <= latency_ms]
    if not fast:
        if not contenders:
            return Advice(None, (), "No method could be measured: see the reasons below.")
        quickest = min(contenders, key=lambda c: c.picture_ms)
        return Advice(
            None,
            (),
            f"No method is fast enough{limit}: the fastest, {quickest.name}, takes "
            f"{quickest.picture_ms:.1f} ms on this machine. Allow more time or take a faster one.",
        )
    usable = [c for c in fast if c.can_alarm]
    passed_over = sorted((c for c in fast if not c.can_alarm), key=lambda c: -c.auroc)
    if not usable:
        told = " ".join(_why_not(c) for c in passed_over)
        return Advice(
            None,
            (),
            f"No method{limit} can be recommended: none alarms usefully at its own limit. {told} "
            "More good pictures, or known defects, set a better limit.",
        )
    best = max(usable, key=lambda c: (c.auroc, -c.picture_ms))
    alike = sorted((c for c in usable if _is_alike(c, best)), key=lambda c: c.picture_ms)
    names = tuple(c.name for c in alike)
    said = [
        f"Take {best.name}: the highest image AUROC{limit} ({best.auroc:.4f}, "
        f"{best.picture_ms:.1f} ms a picture)."
    ]
    if alike and alike[0].picture_ms < best.picture_ms:
        said.append(
            f"{alike[0].name} is faster ({alike[0].picture_ms:.1f} ms, image AUROC "
            f"{alike[0].auroc:.4f}) and these pictures do not distinguish the two."
        )
    if names:
        said.append(f"Not distinguishable from {best.name} on these pictures: {', '.join(names)}.")
    said += [_why_not(c) for c in passed_over if c.auroc >= best.auroc]
    said.append("Chosen by looking at the test pictures: the winner's own figure is optimistic.")
    return Advice(best.name, names, " ".join(said))


def _why_not(contender: Contender) -> str:
    """Return why a method whose scores separate well is not recommended."""
    found = contender.at_limit
    assert found is not None
    does = f"catches {found.caught} of {found.bad} defective pictures at its own limit"
    if found.caught and (found.value is None or found.value <= 0):
        does += " and alarms no less often at good ones"
    return f"Not recommended: {contender.name} (image AUROC {contender.auroc:.4f}) {does}."


def _is_alike(other: Contender, best: Contender) -> bool:
    """Return whether the paired 95 % interval of the AUROC difference holds 0."""
    if other is best:
        return False
    low, high = auroc_difference_interval((best.good, best.bad), (other.good, other.bad))
    return low <= 0 <= high
