"""What `--method auto` compared, as a piece of report.html: no times, so no two runs differ."""

from __future__ import annotations

import html

from export import charts
from export.auto_method.anomalies import EVIDENCE_KINDS
from export.auto_method.rule import ALARM_SHARE, FAMILIES
from export.auto_method.select import MethodChoice


def choice_section(choice: MethodChoice) -> list[str]:
    """Return the heading, the reason and the table."""
    header = [
        "Method", *(f"{f}, mean" for f in FAMILIES), *EVIDENCE_KINDS,
        f"caught, {ALARM_SHARE:.0%} alarmed",
    ]  # fmt: skip
    rows = [
        [
            e.method,
            *(f"{level:.3f}" for level in e.families.values()),
            *(f"{e.kinds[kind]:.3f}" for kind in EVIDENCE_KINDS),
            f"{e.caught:.1%}",
        ]
        for e in choice.evidence
    ]
    rows += [[name, f"left out: {why}"] for name, why in sorted(choice.left_out.items())]
    return [
        "<h2>Why this method</h2>",
        f"<p><b>{html.escape(choice.method)}</b>: {html.escape(choice.reason)}.</p>",
        "<p>AUROC of pseudo-anomalies against hold-out good crops, by kind. They are synthetic: "
        "what real defects would say only real defects can tell.</p>",
        charts.table(header, rows),
    ]
