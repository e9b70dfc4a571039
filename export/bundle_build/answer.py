"""What to expect of a fresh bundle, in sentences: the first lines of output and report. No IO."""

from __future__ import annotations

from collections.abc import Sequence

from calibration.thresholds.words import told_carried, told_forgiven, told_stops
from edge_app.bundle.thresholds import Sensitivity
from export.bundle_build.odd_parts import OddParts
from export.bundle_build.records import CutParts, InspectorFacts
from export.calibrate.thresholds import Calibration

HARDLY = 1 / 3
"""A kind of synthetic defect of which less is caught is hardly seen."""

SIZES_DOWN = ("large", "medium", "small")

LOOK_BELOW = "below"


def answer(
    found: Calibration, odd: OddParts, cut: CutParts, facts: InspectorFacts, where: str = LOOK_BELOW
) -> list[str]:
    """Return the sentences, the most important one first.

    Args:
        where: a person finds the odd parts.
    """
    choice = found.choice
    rank = max(1, choice.false_alarms)
    sentences = [
        _readiness(found, odd),
        told_stops(choice.expected_rate, choice.rate_bound),
        told_forgiven(rank, choice.good_count),
        told_carried(choice.budget_rate, rank, choice.good_count),
        _caught(found),
        _hardly_seen(found.sensitivity),
        _odd(odd, where),
        _way(cut),
        _terms(facts),
    ]
    return [said for said in sentences if said]


def _readiness(found: Calibration, odd: OddParts) -> str:
    weak, clear = found.weakness, found.clear_recall
    if weak is not None:
        first = "Look at the odd good parts first: they raise the limit. " if odd.far else ""
        return (
            f"NOT READY. {weak} {first}More good pictures, a closer camera or steadier light help; "
            "so does another --method, or a higher --false-alarm-rate if more false alarms are "
            "acceptable."
        )
    if clear is None:
        return (
            "Not known whether it is ready: too few synthetic defects were tried. Measure it on "
            "pictures of real defects: edge-export evaluate."
        )
    return (
        f"Ready to be tried on the line: it catches {clear:.0%} of large synthetic defects. Real "
        "ones may look different: edge-export evaluate measures them."
    )


def by_size(sensitivity: Sequence[Sensitivity]) -> dict[str, float]:
    """Return the share caught of each size, the largest first."""
    return {
        size: _mean(rows)
        for size in SIZES_DOWN
        if (rows := [row for row in sensitivity if row.size == size])
    }


def by_kind(sensitivity: Sequence[Sensitivity]) -> dict[str, float]:
    """Return the share caught of each kind, all sizes together, the lowest first."""
    kinds = sorted({row.kind for row in sensitivity})
    shares = {kind: _mean([row for row in sensitivity if row.kind == kind]) for kind in kinds}
    return dict(sorted(shares.items(), key=lambda item: item[1]))


def _mean(rows: Sequence[Sensitivity]) -> float:
    return sum(row.recall * row.count for row in rows) / sum(row.count for row in rows)


def _caught(found: Calibration) -> str:
    shares = by_size(found.sensitivity)
    if not shares:
        return f"It catches {found.recall:.0%} of the {found.thresholds.defects_from}."
    told = ", ".join(f"{share:.0%} of the {size} ones" for size, share in shares.items())
    real = ""
    if found.bad_are_real:
        real = f" Of the {found.thresholds.defects_from} it catches {found.recall:.0%}."
    return f"Of synthetic defects it catches {told}.{real}"


def _hardly_seen(sensitivity: Sequence[Sensitivity]) -> str:
    few = [f"{k} ({share:.0%})" for k, share in by_kind(sensitivity).items() if share < HARDLY]
    return f"It hardly sees: {', '.join(few)}." if few else ""


def _odd(odd: OddParts, where: str) -> str:
    if not odd.odd:
        return "No good part looks odd that nobody has looked at."
    if odd.odd == 1:
        return f"1 good part looks odd: is it good, defective or dirty? Look at it {where}."
    return (
        f"{odd.odd} good parts look odd: are they good, defective or dirty? Look at them {where}."
    )


ONE_PART_A_PICTURE = (
    "Every picture counts as one part: parts on a belt under a free-running camera need "
    "--detector always."
)
"""Said of bundles without a detector: nothing in them finds or follows a part."""


def _way(cut: CutParts) -> str:
    way = {
        "whole": "The whole picture is inspected",
        "upright": "Each part is found, cut out and turned upright",
    }[cut.view]
    if cut.cutting.region is not None:
        way = "The part's place in the picture is inspected"
    told = f"{way}: {cut.reason}." if cut.reason else f"{way}."
    return told if cut.view == "upright" else f"{told} {ONE_PART_A_PICTURE}"


def _terms(facts: InspectorFacts) -> str:
    terms = facts.inspector.settings.get("terms")
    by = f" by {' + '.join(str(term) for term in terms)}" if terms else ""
    return f"It judges with the method {facts.inspector.method}{by}."
