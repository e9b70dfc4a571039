"""The report's sections about people: reviews, changes of limits, and the audit's head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edge_app.history.reviews import MARKS, ReviewFigures
from edge_app.report.audited import Audited
from edge_app.report.figures import interval_of
from edge_app.report.markup import clock, escaped, paragraph, percent, section, table
from edge_app.report.period import Period
from edge_app.report.words import Words

MAX_CHANGES = 60
"""Changes of limits that a report lists; the audit has all."""


def reviews_section(found: ReviewFigures, words: Words) -> str:
    """Return what people said of the parts of the period."""
    queue = _queue(found, words)
    if not found.parts:
        return section(words["reviews"], paragraph("", words["no_reviews"]) + queue)
    counts = [[words[f"mark_{mark}"], f"{found.marks[mark]:,}"] for mark in MARKS]
    said = [
        paragraph("", words["reviewed"].format(count=f"{found.parts:,}")),
        table([words["mark"], words["parts"]], counts, numbers=1),
        _false_alarms(found, words),
    ]
    if found.disputed:
        said.append(paragraph("note", words["disputed"].format(count=f"{found.disputed:,}")))
    people = [[who, f"{count:,}"] for who, count in found.reviewers.most_common()]
    said.append(table([words["reviewer"], words["parts"]], people, numbers=1))
    return section(words["reviews"], "".join(said) + queue, words["reviews_note"])


def _false_alarms(found: ReviewFigures, words: Words) -> str:
    """Return the share of false alarms among the alarms that people could judge."""
    known = found.false_alarms + found.right_alarms
    if not known:
        return paragraph("", words["no_alarm_reviewed"])
    low, high = interval_of(found.false_alarms, known)
    return paragraph(
        "",
        words["false_alarms"].format(
            count=f"{found.false_alarms:,}",
            all=f"{known:,}",
            share=percent(found.false_alarms / known),
            low=percent(low),
            high=percent(high),
        ),
    )


def _queue(found: ReviewFigures, words: Words) -> str:
    counts = (found.taken_out, found.good, found.gone, found.waiting)
    if not any(counts):
        return ""
    names = ("taken_out", "found_good", "gone", "waiting")
    said = ", ".join(
        f"{words[name]} {count:,}" for name, count in zip(names, counts, strict=True) if count
    )
    return paragraph("", f"{words['bad_parts']}: {said}")


def golden_section(checks: Sequence[Mapping[str, Any]], words: Words, period: Period) -> str:
    """Return what became of golden parts; "" of a line that has none."""
    if not checks:
        return ""
    rows = [
        [
            clock(check["at"], period),
            check["name"],
            check["camera"],
            words[f"golden_{check['outcome']}"],
            check["part_id"] or "–",
            ", ".join([check["state"] or "–", *check["classes"]]),
        ]
        for check in checks[:MAX_CHANGES]
    ]
    heads = [words[n] for n in ("time", "golden_part", "camera", "outcome", "part", "found")]
    counts = Counter(check["outcome"] for check in checks)
    said = ", ".join(f"{words[f'golden_{name}']} {n:,}" for name, n in counts.most_common())
    inner = paragraph("", said) + table(heads, rows, numbers=0)
    return section(words["golden_checks"], inner, words["golden_checks_note"])


def limits_section(found: Audited, words: Words, period: Period) -> str:
    """Return who changed limits in the period, from what to what, and why."""
    if not found.changes:
        return section(words["limit_changes"], paragraph("", words["no_limit_changes"]))
    rows = [
        [
            clock(change.at, period),
            change.slot,
            f"{_figure(change.old)} → {_figure(change.new)}"
            + (f" ({words['undone']})" if change.is_undone else ""),
            change.by,
            change.why,
        ]
        for change in found.changes[-MAX_CHANGES:]
    ]
    heads = [words[name] for name in ("time", "slot", "limit", "by", "why")]
    more = len(found.changes) - len(rows)
    note = words["more_changes"].format(count=more) if more else ""
    return section(words["limit_changes"], table(heads, rows, numbers=0), note)


def head_section(found: Audited, words: Words) -> str:
    """Return the audit's head: with it, a later look at the audit shows whether it was changed."""
    if found.trouble:
        return section(words["audit_head"], paragraph("", found.trouble))
    if not found.head:
        return section(words["audit_head"], paragraph("", words["no_audit"]))
    shown = f'<p class="head">{escaped(found.head)}</p>'
    return section(words["audit_head"], shown, words["audit_head_note"])


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"
