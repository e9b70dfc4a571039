"""A bundle measured on pictures it has not seen, through the code that runs on the device.

pictures → product boxes → poses → upright crops → scores + maps → figures + evaluation.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from calibration.thresholds.words import told_unlike
from edge_app.bundle.archive import read_bundle
from edge_app.bundle.manifest import Manifest
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import JsonObject, VerdictState
from export.evaluation.data import TestPictures, scan_test_pictures
from export.evaluation.figures import figures_of
from export.evaluation.judge import Judged, judge_picture
from export.evaluation.pixel_metrics import PixelCounts
from export.evaluation.report import write_page
from export.workspace import OnStep


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    Attributes:
        figures: the JSON object of docs/evaluation.md.
        page: evaluation.html.
    """

    figures: JsonObject
    page: Path


OnLook = Callable[[], object]
"""Called once before the first test picture is judged; `export/evaluation/looks.py` writes it."""


def evaluate(
    bundle: Path,
    data: Path,
    out: Path | None,
    on_step: OnStep,
    on_look: OnLook = lambda: None,
) -> Evaluation:
    """Judge every test picture, write evaluation.html and evaluation.json into `out`.

    Args:
        data: a data set's folder; see data.py.
        out: default: NAME.evaluation beside the bundle.
        on_look: the commands write the look into the log, where there is one.

    Raises:
        BundleError, ModelError: the bundle cannot be used.
        DataError: fewer than one good and one bad picture remain.
    """
    on_step("pictures", "reading and hashing", 0.0)
    opened = read_bundle(bundle)
    model = load_model(opened)
    provenance = opened.manifest.provenance
    seen = {*provenance.training_sha256, *provenance.calibration_sha256}
    pictures = scan_test_pictures(data, seen)
    on_step("pictures", f"{len(pictures.kept)} to judge", 1.0)
    on_look()
    judged, pixels, warnings = _judge_all(model, pictures, on_step)
    warnings += _unlike_training(opened.manifest, judged)
    figures = figures_of(model, pictures, judged, pixels, [*pictures.warnings, *warnings])
    out = out or bundle.with_name(bundle.stem + ".evaluation")
    out.mkdir(parents=True, exist_ok=True)
    on_step("report", "", 0.0)
    page = out / "evaluation.html"
    page.write_text(write_page(model, pictures, judged, figures), encoding="utf-8")
    (out / "evaluation.json").write_text(_record(figures, judged), encoding="utf-8")
    on_step("report", str(page), 1.0)
    return Evaluation({**figures, "report": str(page)}, page)


def _unlike_training(manifest: Manifest, judged: list[Judged]) -> list[str]:
    """Return a sentence if the good pictures are not like those that the limit was made from."""
    origin = manifest.variants[0].thresholds.origin
    good = [j for j in judged if j.picture.is_good and j.verdict is not VerdictState.NOT_INSPECTED]
    if origin is None:
        return []
    alarms = sum(j.is_ng for j in good)
    told = told_unlike(alarms, len(good), origin.rank, origin.good_parts)
    return [] if told is None else [told]


def _judge_all(
    model: LoadedModel, pictures: TestPictures, on_step: OnStep
) -> tuple[list[Judged], PixelCounts, list[str]]:
    pixels, judged, warnings = PixelCounts(), [], []
    for number, picture in enumerate(pictures.kept, start=1):
        result, warning = judge_picture(model, picture, pixels)
        judged.append(result)
        warnings += [warning] if warning else []
        on_step("evaluate", picture.name, number / len(pictures.kept))
    return judged, pixels, warnings


def _record(figures: JsonObject, judged: list[Judged]) -> str:
    rows = [
        {
            "picture": j.picture.name,
            "kind": j.picture.kind,
            "score": j.score,
            "verdict": j.verdict.value,
            "reason": j.reason,
        }
        for j in judged
    ]
    return json.dumps({**figures, "pictures": rows}, indent=1) + "\n"
