"""The report's sections about downtime and interruptions."""

from __future__ import annotations

from typing import Any

from edge_app.report.interruptions import PAUSED, Downtime, Interruptions
from edge_app.report.markup import clock, paragraph, percent, section, table
from edge_app.report.period import Period
from edge_app.report.words import Words, reason_text


def downtime_section(found: Interruptions, words: Words, period: Period) -> str:
    """Return how long nothing was inspected, by kind and camera."""
    if not found.sums:
        return section(words["downtime"], paragraph("", words["no_downtime"]))
    rows = [
        [
            words[one.kind],
            one.camera or words["all_cameras"],
            f"{one.times:,}",
            _length(one, words),
            percent(one.length_ns / max(period.to_ns - period.from_ns, 1)),
            f"{one.parts:,}" if one.parts else "",
        ]
        for one in found.sums
    ]
    heads = ("what", "camera", "times_seen", "length", "of_this_time", "parts")
    shown = table([words[h] for h in heads], rows, numbers=4)
    return section(words["downtime"], shown, words["downtime_note"])


def interruptions_section(found: Interruptions, words: Words, language: str, period: Period) -> str:
    """Return the single interruptions."""
    if not found.count:
        text = words["no_gaps" if found.sums else "no_interruptions"]
        return section(words["interruptions"], paragraph("", text))
    rows = [_row(gap, words, language, period) for gap in found.listed]
    heads = ("camera", "from", "to", "what", "parts")
    more = found.count - len(rows)
    note = words["more_gaps"].format(count=f"{more:,}") if more else ""
    return section(words["interruptions"], table([words[h] for h in heads], rows, numbers=1), note)


def _row(gap: dict[str, Any], words: Words, language: str, period: Period) -> list[str]:
    is_pause = gap["reason"] == PAUSED
    why = reason_text(gap["reason"], language) if gap["reason"] else ""
    what = words[PAUSED if is_pause else gap["kind"]]
    if why and gap["kind"] != "down":
        what += f" ({why})"
    if gap["first_number"] is not None:
        numbers = words["numbers"].format(first=gap["first_number"], last=gap["last_number"])
        what = f"{what}, {numbers}"
    count = "" if gap["count"] is None else f"{gap['count']:,}"
    begin = clock(gap["from_at"], period) if gap["from_at"] else "?"
    return [gap["camera"] or "", begin, clock(gap["to_at"], period), what, count]


def _length(one: Downtime, words: Words) -> str:
    seconds = round(one.length_ns / 10**9)
    if one.unknown == one.times:
        return words["unknown_length"]
    minutes = (seconds + 30) // 60
    if seconds < 90:
        text = words["length_s"].format(s=seconds)
    elif minutes < 60:
        text = words["length_min"].format(min=minutes)
    else:
        text = words["length_h"].format(h=f"{minutes // 60:,}", min=f"{minutes % 60:02d}")
    return f"{text} + ?" if one.unknown else text
