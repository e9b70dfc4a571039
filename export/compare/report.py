"""report.html of a comparison: one table, speed against accuracy, and what each method sees."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Sequence
from pathlib import Path

from edge_app.records import JsonObject
from export import charts
from export.compare.advice import Advice
from export.compare.chart import Point, speed_chart
from export.compare.one_method import Shared, contender_of, picture_ms
from export.defects.pictures import scan_defects
from export.evaluation.answer import answer
from export.evaluation.data import GOOD
from export.evaluation.operating_point import operating_figures, verdicts_from

HEADER = [
    "Method", "Image AUROC (95 %)", "PB2 (95 %)", "Caught (at least)", "False alarms (at most)",
    "Efficiency", "Not inspected: good, defective", "AUPR", "F1 max", "Pixel AUROC", "PRO",
    "Training s (steps)", "MB", "ms a crop (fastest)", "ms a picture", "Memory MB",
]  # fmt: skip

"""Columns of the page's table and of table.md."""


def write_comparison(
    shared: Shared, rows: Sequence[JsonObject], advice: Advice, latency_ms: float | None
) -> str:
    """Return the whole page, self-contained but for links to each method's evaluation.html."""
    measured = sorted(
        (row for row in rows if "failed" not in row),
        key=lambda row: -float(row["figures"]["image_auroc"]),
    )
    failed = [row for row in rows if "failed" in row]
    body = [
        f'<p class="warning">{html.escape(advice.text)}</p>',
        "<h2>Side by side</h2>",
        charts.table(HEADER, [table_row(row) for row in measured]),
        f"<p>{html.escape(_how(shared))}</p>",
    ]
    if failed:
        body += [
            "<h2>Without a result</h2>",
            charts.table(["Method", "Why"], [[r["method"], r["failed"]] for r in failed]),
        ]
    points = [point for row in measured if (point := _point(row))]
    if points:
        needed = 1000 / latency_ms if latency_ms else None
        body += [
            "<h2>Image AUROC against frames per second</h2>",
            "<p>Whole pictures through the whole path, on this machine, one after the other. "
            "Whiskers: 95 % intervals.</p>",
            speed_chart(points, advice.method, needed),
        ]
    for row in measured:
        body += _section(row)
    return charts.page(f"Methods compared: {shared.options.product}", body)


def table_row(row: JsonObject) -> list[str]:
    """Return one measured method's texts, in the order of HEADER."""
    f, cost = figures_at_limit(row), row["cost"]
    low, high = f["image_auroc_interval"]
    return [
        row["method"],
        f"{f['image_auroc']:.4f} ({low:.4f} to {high:.4f})",
        "–"
        if f["pb2"] is None
        else "{:.1%} ({:.1%} to {:.1%})".format(f["pb2"], *f["pb2_interval"]),
        f"{f['recall']:.1%} ({f['recall_bounds'][0]:.1%})",
        _alarms(f),
        "–" if f["efficiency"] is None else f"{f['efficiency']:.2f}",
        f"{f['not_inspected']['good']}, {f['not_inspected']['bad']}",
        f"{f['aupr']:.4f}",
        f"{f['f1_max']:.4f}",
        f"{f['pixel_auroc']:.4f}" if "pixel_auroc" in f else "no masks",
        f"{f['pro']:.4f}" if "pro" in f else "no masks",
        f"{row['train_s']:.0f} ({row['steps'] or 'none'})",
        f"{row['graph_bytes'] / 1e6:.1f}",
        f"{cost['crop_ms']:.1f} ({cost['crop_ms_fastest']:.1f})",
        f"{picture_ms(row):.1f}",
        "–" if cost["memory_mb"] is None else f"{cost['memory_mb']:.0f}",
    ]


def figures_at_limit(row: JsonObject) -> JsonObject:
    """Return a measured row's figures; an earlier comparison's lack some, its scores give them."""
    if "efficiency" in row["figures"]:
        return dict(row["figures"])
    good = verdicts_from([r for r in row["scores"] if r["kind"] == GOOD])
    bad = verdicts_from([r for r in row["scores"] if r["kind"] != GOOD])
    return {**row["figures"], **operating_figures(good, bad)}


def _alarms(figures: JsonObject) -> str:
    if figures["false_alarm_rate"] is None:
        return "–"
    return f"{figures['false_alarm_rate']:.1%} ({figures['false_alarm_rate_bounds'][1]:.1%})"


def _how(shared: Shared) -> str:
    good = sum(p.kind == GOOD for p in shared.pictures)
    h, w = shared.cut.cutting.spec.crop_hw
    known = len(scan_defects(shared.options.known_defects).pictures)
    taught = f"{known} real defects for the methods that learn from them, " if known else ""
    return (
        f"{len(shared.cut.crops)} good crops of {w} × {h} pixels for training, "
        f"{len(shared.cut.hold_out_crops)} held out for the thresholds, {taught}{good} good and "
        f"{len(shared.pictures) - good} defective test pictures; seed {shared.options.seed}; "
        f"trained on {shared.options.device}, measured in ONNX Runtime on {os.cpu_count()} "
        "processors. Caught, false alarms and efficiency are at each bundle's own threshold; what "
        "was not inspected counts as missed; bounds are at 95 %. PB2 is the recall at 2 % false "
        "alarms; efficiency the share that the threshold makes of the best recall - false-alarm "
        "rate at any, none where that is below 0.2. Steps are those "
        "that fitted into the method's share of the budget; densities take none. Memory is what "
        "opening the graph and judging single crops adds to a process."
    )


def _point(row: JsonObject) -> Point | None:
    low, high = row["figures"]["image_auroc_interval"]
    took_ms = picture_ms(row)
    if not 0 < took_ms < float("inf"):
        return None
    return row["method"], 1000 / took_ms, row["figures"]["image_auroc"], low, high


def _section(row: JsonObject) -> list[str]:
    """Return one method's histogram and pictures."""
    folder = Path(row["folder"])
    found = contender_of(row)
    groups = [
        ("good", charts.GOOD, found.good[found.good < float("inf")].tolist()),
        ("defective", charts.BAD, found.bad[found.bad < float("inf")].tolist()),
    ]
    panels = "Original | map | overlay | mask where there is one"
    if (folder.parent / "inspector" / "reconstruction.onnx").is_file():
        panels += " | the crop as the method rebuilds it"
    link = "/".join(folder.parts[-4:]) + "/evaluation.html"
    return [
        f"<h2>{html.escape(row['method'])}</h2>",
        f"<p>{html.escape(' '.join(answer(figures_at_limit(row))))}</p>",
        *(f'<p class="warning">{html.escape(w)}</p>' for w in row["build_warnings"]),
        f'<p><a href="{html.escape(link)}">its whole evaluation</a></p>',
        charts.histogram(groups, [("threshold", row["figures"]["threshold"])]),
        f"<p>{panels}.</p>",
        *(_figure(folder / "rows" / r["file"], r["caption"]) for r in row["rows"]),
    ]


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
