"""evaluation.html: figures, curves, and the pictures a person should look at."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from edge_app.cameras.pictures import read_picture
from edge_app.errors import CameraError
from edge_app.model.loaded_model import LoadedModel
from edge_app.records import JsonObject
from export import charts
from export.evaluation.answer import answer
from export.evaluation.data import TestPictures
from export.evaluation.figures import good_and_bad, scores_of
from export.evaluation.image_metrics import score_curve
from export.evaluation.judge import Judged, defects_of, inspected_parts, read_mask
from export.evaluation.pixel_metrics import frame_map
from export.evaluation.sheets import row_of

ROWS = 12
"""Pictures shown of each sort."""


def write_page(
    model: LoadedModel, pictures: TestPictures, judged: Sequence[Judged], figures: JsonObject
) -> str:
    """Return the whole page, self-contained."""
    good, bad = good_and_bad(judged)
    misses = sorted((j for j in bad if not j.is_ng), key=lambda j: j.rank_score)
    alarms = sorted((j for j in good if j.is_ng), key=lambda j: -j.rank_score)
    hits = sorted((j for j in bad if j.is_ng), key=lambda j: j.rank_score)
    blind = [j for j in judged if j.score is None]
    first, *more = answer(figures)
    body = [
        f"<p><b>{html.escape(first)}</b> {html.escape(' '.join(more))}</p>",
        *(f'<p class="warning">{html.escape(w)}</p>' for w in figures["warnings"]),
        charts.table(["What", "Measured"], fact_rows(figures)),
        "<h2>By kind</h2>",
        charts.table(*_kind_table(figures)),
        "<h2>Scores</h2>",
        *_curves(good, bad, figures),
        "<h2>Worst misses</h2>",
        *_rows(model, misses[:ROWS], f"{len(misses)} of {len(bad)} defective pictures not caught"),
        "<h2>Worst false alarms</h2>",
        *_rows(model, alarms[:ROWS], f"{len(alarms)} of {len(good)} good pictures alarmed"),
        "<h2>Caught, from the weakest to the strongest</h2>",
        *_rows(model, _spread(hits), f"{len(hits)} of {len(bad)} defective pictures caught"),
        "<h2>Not inspected</h2>",
        _listed([f"{j.picture.name}: {j.reason}" for j in blind], "every picture was inspected"),
        "<h2>Near-duplicates of training pictures (judged and counted)</h2>",
        _listed(figures["near_training_pictures"], "none found"),
        "<h2>Left out: the bundle was trained or calibrated on them</h2>",
        _listed([p.name for p in pictures.excluded], "none"),
    ]
    return charts.page(f"Evaluation: {figures['product']}, serial {figures['serial']}", body)


def fact_rows(figures: JsonObject) -> list[list[str]]:
    """Return (what, figure) rows for a person, page and terminal alike."""
    low, high = figures["image_auroc_interval"]
    blind = figures["not_inspected"]
    rows = [
        ["Pictures", f"{figures['good']} good, {figures['bad']} defective"],
        ["Left out (seen in training)", str(figures["excluded"])],
        ["Not inspected", f"{blind['good']} good, {blind['bad']} defective (count as missed)"],
        ["Image AUROC", f"{figures['image_auroc']:.4f} (95 %: {low:.4f} to {high:.4f})"],
        ["AUPR", f"{figures['aupr']:.4f}"],
        ["Best F1", f"{figures['f1_max']:.4f}"],
        ["Threshold", f"{figures['threshold']:.4g} ({figures['threshold_id']})"],
        ["Caught", _rate(figures["caught"], figures["recall"], figures["recall_bounds"])],
        [
            "False alarms",
            _rate(
                figures["false_alarms"],
                figures["false_alarm_rate"],
                figures["false_alarm_rate_bounds"],
            ),
        ],
        ["PB2: recall at 2 % false alarms", pb2_text(figures)],
        ["Efficiency of the threshold", efficiency_text(figures)],
    ]
    if figures["near_training"]:
        apart = figures["apart_from_training"]
        rows.append(
            [
                "Near-duplicates of training pictures",
                f"{figures['near_training']} of the good ones; without them "
                f"{apart['false_alarms']} false alarms of {apart['inspected']}",
            ]
        )
    if "pixel_auroc" in figures:
        rows += [
            ["Pixel AUROC", f"{figures['pixel_auroc']:.4f} ({figures['masked']} masks)"],
            ["PRO (up to 0.3 false positives)", f"{figures['pro']:.4f}"],
            ["Defects met by a box", f"{figures['regions_met']:.1%} of {figures['regions']}"],
            ["Boxes that meet a defect", _share(figures["boxes_on_defects"], figures["boxes"])],
        ]
    if "judge_median" in figures["picture_ms"]:
        ms = figures["picture_ms"]
        rows.append(
            [
                "Time per picture, this machine",
                f"reading {ms['read_median']:.1f} ms, judging {ms['judge_median']:.1f} ms "
                f"(95 % within {ms['judge_p95']:.1f} ms)",
            ]
        )
    return rows


def pb2_text(figures: JsonObject) -> str:
    """Return PB2 with its interval."""
    if figures["pb2"] is None:
        return "no good picture was inspected"
    low, high = figures["pb2_interval"]
    return f"{figures['pb2']:.1%} (95 %: {low:.1%} to {high:.1%})"


def efficiency_text(figures: JsonObject) -> str:
    """Return the efficiency with what it is a share of, or why there is none."""
    best = figures["best_value"]
    if best is None:
        return "no good picture was inspected"
    if figures["efficiency"] is None:
        return f"not defined: the best value at any threshold is only {best:.2f}"
    return f"{figures['efficiency']:.2f} ({figures['value']:.2f} of {best:.2f})"


def _rate(count: int, rate: float | None, bounds: Sequence[float] | None) -> str:
    if rate is None or bounds is None:
        return "no good picture was inspected"
    return f"{count} = {rate:.2%} (95 %: at least {bounds[0]:.2%}, at most {bounds[1]:.2%})"


def _share(share: float | None, count: int) -> str:
    return "no boxes" if share is None else f"{share:.1%} of {count}"


def _kind_table(figures: JsonObject) -> tuple[list[str], list[list[str]]]:
    header = ["Kind", "Pictures", "Caught", "At least", "Not inspected", "Image AUROC"]
    has_masks = "pixel_auroc" in figures
    if has_masks:
        header += ["Pixel AUROC", "PRO", "Defects met"]
    rows = []
    for k in figures["kinds"]:
        cells = [
            k["kind"],
            str(k["pictures"]),
            f"{k['caught']} = {k['recall']:.1%}",
            f"{k['recall_bounds'][0]:.1%}",
            str(k["not_inspected"]),
            f"{k['image_auroc']:.4f}",
        ]
        if "pixel_auroc" in k:
            met = f"{k['regions_met']:.1%} of {k['regions']}"
            cells += [f"{k['pixel_auroc']:.4f}", f"{k['pro']:.4f}", met]
        elif has_masks:
            cells += ["no masks", "", ""]
        rows.append(cells)
    return header, rows


def _curves(good: Sequence[Judged], bad: Sequence[Judged], figures: JsonObject) -> list[str]:
    curve = score_curve(scores_of(good), scores_of(bad))
    groups = [
        ("good", charts.GOOD, [j.score for j in good if j.score is not None]),
        ("defective", charts.BAD, [j.score for j in bad if j.score is not None]),
    ]
    alarms = figures["false_alarms"] / len(good)
    called = figures["false_alarms"] + figures["caught"]
    working_point = (figures["recall"], figures["caught"] / called) if called else None
    return [
        charts.histogram(groups, [("threshold", figures["threshold"])]),
        "<p>Below: what every threshold would give, a picture not inspected ranking highest. "
        "The dot is the bundle's own threshold, where such a picture is neither caught nor an "
        "alarm: it can lie beside the curve.</p>"
        '<div style="display:flex;flex-wrap:wrap">',
        charts.unit_curve(
            [0.0, *curve.false_alarms.tolist()],
            [0.0, *curve.recall.tolist()],
            ("false-alarm rate", "recall (ROC)"),
            (alarms, figures["recall"]),
        ),
        charts.unit_curve(
            [0.0, *curve.recall.tolist()],
            [float(curve.precision[0]), *curve.precision.tolist()],
            ("recall", "precision"),
            working_point,
        ),
        "</div>",
    ]


def _rows(model: LoadedModel, judged: Sequence[Judged], lead: str) -> list[str]:
    lead_line = f"<p>{html.escape(lead)}. Original | map | overlay | mask where there is one.</p>"
    return [lead_line, *(_row(model, j) for j in judged)]


def _row(model: LoadedModel, judged: Judged) -> str:
    """Return one picture's panels; it is inspected again, so that none had to be kept."""
    result = judged.reason
    if judged.score is not None:
        result = f"score {judged.score:.4g}, threshold {model.limits.score_threshold:.4g}"
    caption = f"{judged.picture.name}: {judged.verdict.value}, {result}"
    try:
        frame = read_picture(judged.picture.path)
    except CameraError:
        return f"<p>{html.escape(caption)}</p>"
    looks, _ = inspected_parts(model, frame)
    mask, _ = read_mask(judged.picture, frame)
    h, w = frame.shape[:2]
    map_hw = frame_map(looks, model.spec, (h, w))
    return charts.picture(
        row_of(model, frame, looks, defects_of(model, looks), map_hw, mask), caption
    )


def _spread(hits: Sequence[Judged]) -> list[Judged]:
    picks = np.linspace(0, len(hits) - 1, min(ROWS, len(hits))).astype(int)
    return [hits[i] for i in picks]


def _listed(lines: Sequence[str], nothing: str) -> str:
    if not lines:
        return f"<p>{html.escape(nothing)}</p>"
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"
