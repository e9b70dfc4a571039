"""The limit in the report: what it catches by kind and size, other limits, and the whole curve."""

from __future__ import annotations

import numpy as np

from edge_app.bundle.thresholds import Sensitivity
from export import charts
from export.bundle_build.answer import SIZES_DOWN, by_kind, by_size
from export.calibrate.thresholds import POINT_RATES, Calibration, operating_points

MOST_ALARMS = 0.1
"""The curve ends here: nobody runs a line that stops one good part in ten."""


def sensitivity_section(found: Calibration) -> list[str]:
    """Return the table of synthetic defects caught, kind by size; empty where none were drawn."""
    if not found.sensitivity:
        return []
    kinds = by_kind(found.sensitivity)
    at: dict[tuple[str, str], Sensitivity] = {
        (row.kind, row.size): row for row in found.sensitivity
    }
    rows = [
        [kind, *(_cell(at.get((kind, size))) for size in SIZES_DOWN), f"{share:.0%}"]
        for kind, share in kinds.items()
    ]
    sizes = by_size(found.sensitivity)
    total = sum(row.recall * row.count for row in found.sensitivity)
    count = sum(row.count for row in found.sensitivity)
    rows.append(
        [
            "all kinds",
            *(f"{sizes[s]:.0%}" if s in sizes else "–" for s in SIZES_DOWN),
            f"{total / count:.0%}",
        ]
    )
    return [
        "<h2>What it catches of synthetic defects</h2>",
        "<p>Defects drawn on good pictures, judged by a model that had not seen the part. Large: "
        "30 to 50 % of the product's shorter side, medium: 14 to 24 %, small: 7 to 12 %. They "
        "compare settings of one product and promise nothing about real defects. The kinds it sees "
        "least come first.</p>",
        charts.table(["Kind", *SIZES_DOWN, "all sizes"], rows),
    ]


def _cell(row: Sensitivity | None) -> str:
    return "–" if row is None else f"{row.recall:.0%} of {row.count}"


def points_section(found: Calibration) -> list[str]:
    """Return the table of other limits that the same scores carry."""
    choice = found.choice
    points = operating_points(
        found.good.scores,
        found.bad.scores,
        choice.is_cross_fitted,
        tuple(sorted({*POINT_RATES, choice.budget_rate})),
    )
    rows = [
        [
            f"{point.nominal_rate:.1%}"
            + (" (chosen)" if point.nominal_rate == choice.budget_rate else ""),
            f"{1000 * point.rank / (choice.good_count + 1):.0f}",
            f"{point.threshold:.4g}",
            f"{point.synthetic_recall:.0%}",
        ]
        for point in points
    ]
    return [
        "<h2>Other limits</h2>",
        "<p>edge-calibrate thresholds BUNDLE --rate 0.01 moves the limit without training. A rate "
        "below that of a single one of the good parts gives their largest score.</p>",
        charts.table(
            ["Nominal rate", "Stopped of 1,000 good parts", "Limit",
             f"Caught of the {found.thresholds.defects_from}"],
            rows,
        ),
    ]  # fmt: skip


def curve_section(found: Calibration) -> list[str]:
    """Return the curve of alarms on good parts against defects caught, with the chosen point."""
    good = np.sort(found.good.scores)[::-1]
    last = max(2, round(MOST_ALARMS * (len(good) + 1)))
    limits = good[:last]
    alarms = [1000 * k / (len(good) + 1) for k in range(1, len(limits) + 1)]
    caught = [float((found.bad.scores >= limit).mean()) for limit in limits]
    choice = found.choice
    return [
        "<h2>False alarms against defects caught</h2>",
        charts.share_curve(
            alarms,
            caught,
            (
                "good parts stopped of 1,000",
                f"share of the {found.thresholds.defects_from} caught",
            ),
            (1000 * choice.expected_rate, found.recall),
        ),
    ]
