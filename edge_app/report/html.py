"""The report as one HTML file: no script, nothing fetched, printable on A4."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from edge_app.imaging.defect_region import UNKNOWN
from edge_app.report.charts import bars, pareto, scores, shares
from edge_app.report.figures import MAX_LISTED, Counts, Figures, Judge
from edge_app.report.interrupted import downtime_section, interruptions_section
from edge_app.report.markup import clock, escaped, paragraph, percent, section, table
from edge_app.report.period import Period
from edge_app.report.said import golden_section, head_section, limits_section, reviews_section
from edge_app.report.words import LANGUAGES, Words, reason_text

STYLE = """
:root{--ink:#1a1f26;--soft:#5a6675;--line:#d5dbe3;--ok:#1b8a62;--ng:#c62f26;--not:#b26b00}
*{box-sizing:border-box}
body{font:15px/1.45 system-ui,"Segoe UI",Roboto,"Noto Sans","Noto Sans KR","DejaVu Sans",sans-serif;
color:var(--ink);max-width:820px;margin:24px auto;padding:0 20px;font-variant-numeric:tabular-nums}
h1{font-size:1.5rem;margin:0}h2{font-size:1.08rem;margin:28px 0 6px}
header p,.note{color:var(--soft);margin:2px 0}
.lead{font-size:1.15rem;font-weight:600;margin:18px 0 4px}
.lead.bad,.lead.not{border-left:5px solid var(--not);padding-left:10px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(120px,1fr));gap:8px;margin:16px 0}
.tiles div{border:1px solid var(--line);border-radius:8px;padding:8px 10px}
.tiles dt{color:var(--soft);font-size:.85rem}
.tiles dd{margin:0;font-size:1.4rem;font-weight:650;white-space:nowrap}
.tiles .ng dd{color:var(--ng)}.tiles .not dd{color:var(--not)}
.chart{width:100%;height:auto;display:block}
.chart text{font-size:11px;fill:var(--soft)}.tick{text-anchor:middle}.axis-text{text-anchor:end}
.axis{stroke:var(--line);fill:none}.ok{fill:var(--ok)}.ng{fill:var(--ng)}.not{fill:var(--not)}
.band{fill:#f0c7c3}.line{fill:none;stroke:var(--ng);stroke-width:1.5}.dot{fill:var(--ng)}
@media screen and (max-width:760px){.chart{min-width:700px}}
.limit{stroke:var(--ink);stroke-dasharray:4 3;fill:none}
.keys span{display:inline-block;margin-right:14px;color:var(--soft)}
.keys i{display:inline-block;width:11px;height:11px;margin-right:5px;vertical-align:-1px}
.keys .ok i{background:var(--ok)}.keys .ng i{background:var(--ng)}
.keys .not i{background:var(--not)}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:4px 8px 4px 0;
border-bottom:1px solid var(--line);vertical-align:top;font-weight:400}
.say{overflow-wrap:anywhere;min-width:9em}
thead th{color:var(--soft);font-size:.85rem}.n{text-align:right;white-space:nowrap}
.bar{width:50%}.bar svg{width:100%;height:12px;display:block}
.wide{overflow-x:auto}.head{font-family:monospace;overflow-wrap:anywhere;margin:4px 0}
@media print{body{margin:0;max-width:none;padding:0;font-size:11px}h2{break-after:avoid}
section,tr,.tiles{break-inside:avoid}.chart{max-height:150px}@page{size:A4;margin:14mm}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def report_html(
    found: Figures,
    period: Period,
    device: str,
    made_at: datetime,
    language: str = "en",
    camera: str | None = None,
) -> str:
    """Return a report.

    Args:
        device: its name, SITE/LINE/DEVICE.
        made_at: now, in the period's zone.
        language: a key of `LANGUAGES`.
        camera: the one that the figures are of; None: all.
    """
    words = LANGUAGES[language]
    zone = f"{period.begin:%Z %z}".strip()
    head = (
        f"<header><h1>{escaped(words['title'])}: {escaped(period.title)}</h1>"
        f"<p>{escaped(' · '.join(filter(None, (device, camera or words['all_cameras']))))}</p>"
        f"<p>{escaped(_span(period))} · {escaped(words['times'].format(zone=zone))} · "
        f"{escaped(words['made'].format(at=f'{made_at:%Y-%m-%d %H:%M}'))}</p></header>"
    )
    names = [f"{at:%d.}" if period.is_long else f"{at:%H:%M}" for at, _ in found.slices]
    counts = [count for _, count in found.slices]
    per = "day" if period.is_long else "hour"
    sections = [
        section(words[f"per_{per}"], _keys(words) + bars(names, counts, words[f"per_{per}"])),
        section(
            words[f"bad_per_{per}"], shares(names, counts, words[f"bad_per_{per}"]), words["band"]
        ),
        _cameras(found, words) if len(found.by_camera) > 1 else "",
        _pareto(found, words),
        _reasons(found, words, language),
        section(
            words["scores"],
            scores(found.histogram, words["scores"], words["limit"]),
            words["scores_note"],
        )
        if found.histogram
        else "",
        downtime_section(found.interruptions, words, period),
        interruptions_section(found.interruptions, words, language, period),
        _judges(found.judges, words, period),
        reviews_section(found.reviews, words),
        golden_section(found.golden, words, period),
        limits_section(found.audit, words, period),
        _bad_parts(found, words, period),
        head_section(found.audit, words),
    ]
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(words['title'])} {escaped(period.title)} {escaped(device)}</title>"
        f"<style>{STYLE}</style>{head}{_lead(found, words, period)}{''.join(sections)}</html>"
    )


def _lead(found: Figures, words: Words, period: Period) -> str:
    total = found.total
    said = (
        [paragraph("lead", words["lead_none"])]
        if not total.inspected
        else _verdict(found, words, period)
    )
    if total.not_inspected:
        share = percent(total.not_inspected / total.parts)
        text = words["not_inspected_lead"].format(count=f"{total.not_inspected:,}", share=share)
        said.append(paragraph("lead not", text))
    if lost := found.interruptions.lost:
        said.append(paragraph("lead not", words["lost_lead"].format(count=f"{lost:,}")))
    if total.suspect:
        said.append(paragraph("note", words["suspect_lead"].format(count=f"{total.suspect:,}")))
    if not found.has_all_parts:
        said.append(paragraph("note", words["deleted"]))
    if period.from_ns % (3600 * 10**9) or period.to_ns % (3600 * 10**9):
        said.append(paragraph("note", words["whole_hours"]))
    share = "–" if total.ng_share is None else percent(total.ng_share)
    tiles = (
        ("", "inspected", f"{total.inspected:,}"),
        ("", "ok", f"{total.ok:,}"),
        ("", "suspect", f"{total.suspect:,}"),
        ("ng", "ng", f"{total.ng:,}"),
        ("ng", "ng_share", share),
        ("not", "not_inspected", f"{total.not_inspected:,}"),
    )
    cells = "".join(
        f'<div class="{kind}"><dt>{escaped(words[name])}</dt><dd>{value}</dd></div>'
        for kind, name, value in tiles
    )
    return f"{''.join(said)}<dl class=tiles>{cells}</dl>"


def _verdict(found: Figures, words: Words, period: Period) -> list[str]:
    total, before = found.total, found.before
    share, (low, high) = total.ng_share or 0.0, total.interval
    length = period.end - period.begin
    hours = round(length.total_seconds() / 3600)
    long = words["days"].format(count=round(hours / 24)) if hours >= 48 else ""
    length_words = long or words["hours"].format(count=hours)
    said = [
        paragraph(
            "lead",
            words["lead"].format(
                inspected=f"{total.inspected:,}", ng=f"{total.ng:,}", share=percent(share)
            ),
        ),
        paragraph("note", words["interval"].format(low=percent(low), high=percent(high))),
    ]
    if before.ng_share is None:
        said.append(paragraph("note", words["no_before"].format(length=length_words)))
    else:
        was_low, was_high = before.interval
        change = "higher" if low > was_high else "lower" if high < was_low else "same"
        text = words["against"].format(
            before=percent(before.ng_share), length=length_words, change=words[change]
        )
        said.append(paragraph("note", text))
    return said


def _cameras(found: Figures, words: Words) -> str:
    rows = [(name, count) for name, count in sorted(found.by_camera.items())]
    heads = ("camera", "inspected", "ng", "ng_share", "not_inspected")
    return section(
        words["by_camera"],
        table(
            [words[head] for head in heads],
            [[name, *_cells(count)] for name, count in rows],
            numbers=4,
        ),
    )


def _cells(count: Counts) -> list[str]:
    share = "–" if count.ng_share is None else percent(count.ng_share)
    return [f"{count.inspected:,}", f"{count.ng:,}", share, f"{count.not_inspected:,}"]


def _pareto(found: Figures, words: Words) -> str:
    if not found.total.ng:
        return section(words["pareto"], paragraph("", words["no_bad"]))
    rows = [(_class(name, words), n) for name, n in found.classes.most_common(20)]
    return section(words["pareto"], f"<table>{pareto(rows)}</table>", words["pareto_note"])


def _reasons(found: Figures, words: Words, language: str) -> str:
    if not found.total.not_inspected:
        return section(words["reasons"], paragraph("", words["all_inspected"]))
    rows = [(reason_text(why, language), n) for why, n in found.reasons.most_common()]
    return section(words["reasons"], f"<table>{pareto(rows)}</table>")


def _judges(judges: Sequence[Judge], words: Words, period: Period) -> str:
    rows = [
        [
            f"{j.product}, {words['serial']} {j.serial}, {j.precision}",
            f"{j.threshold:.4g} ({j.threshold_id})",
            _local(j.first_ns, period),
            _local(j.last_ns, period),
            f"{j.parts:,}",
        ]
        for j in judges
    ]
    heads = ("product", "limit", "from", "to", "parts")
    if not rows:
        return ""
    return section(words["judges"], table([words[h] for h in heads], rows, numbers=1))


def _bad_parts(found: Figures, words: Words, period: Period) -> str:
    if not found.listed:
        return ""
    rows = []
    for part in found.listed:
        named = {_class(str(d.get("class", "")), words) for d in part["defects"]}
        number = "" if part["number"] is None else f"no. {part['number']}"
        name = part["trigger_id"] or part["source_name"] or number or part["part_id"]
        shown, limit = ", ".join(sorted(named)), part["threshold"]
        share = f"{part['score'] / limit:.0%}" if part["score"] is not None and limit > 0 else "–"
        at = clock(part["captured_at"], period)
        rows.append([at, part["camera"], name, share, shown])
    heads = [words[h] for h in ("time", "camera", "part")]
    heads += [f"{words['score']}, {words['of_limit']}", words["defects"]]
    note = ""
    if found.total.ng > len(found.listed) or len(found.listed) == MAX_LISTED:
        note = words["newest"].format(count=len(found.listed), all=f"{found.total.ng:,}")
    return section(words["bad_parts"], table(heads, rows, numbers=0), note)


def _class(name: str, words: Words) -> str:
    return words["unnamed"] if name in ("", UNKNOWN) else name


def _keys(words: Words) -> str:
    return "<p class=keys>" + "".join(
        f'<span class="{kind}"><i></i>{escaped(words[name])}</span>'
        for kind, name in (("ok", "ok"), ("ng", "ng"), ("not", "not_inspected"))
    ) + "</p>"  # fmt: skip


def _span(period: Period) -> str:
    return f"{period.begin:%Y-%m-%d %H:%M} – {period.end:%Y-%m-%d %H:%M}"


def _local(ns: int, period: Period) -> str:
    try:
        return f"{datetime.fromtimestamp(ns // 10**9, period.begin.tzinfo):%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"
