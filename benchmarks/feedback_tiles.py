"""Marks on a real product: bright magnetic tiles, rare but good, held out of training.

    python -m benchmarks.feedback_tiles --data ../shared/datasets --out FOLDER [--result FILE]

Of the good training pictures of `magnetic_tile` the brightest tenth by mean grey level is rare; 200
of the others train the first bundle with default options on whole pictures. Half of the rare ones
pass the line, and a person marks those good that are alarmed; `edge-export build --feedback` builds
again. Both bundles judge 300 further common ones, the other half of the rare ones and every
defective test picture: one look, written down. The rule was fixed before any was judged.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.feedback import _alarms, _both, _put, _rate, _say, _score
from edge_app.bundle.archive import read_bundle
from edge_app.cameras.pictures import read_picture
from edge_app.model.loaded_model import LoadedModel, load_model
from edge_app.records import JsonObject
from export.bundle_build.pipeline import BuildOptions, build
from export.evaluation.looks import append_look, code_digest, set_name
from export.feedback.folder import FeedbackFolder
from export.feedback_build.run import FeedbackOptions, build_with_feedback

ROOT = Path(__file__).resolve().parents[1]
RARE_FROM, TRAINING, COMMON = 0.9, 200, 300
RARE_ON_LINE = 0.1
"""Share of rare parts on the line that the rate is put together for: that of the set."""

FOUND = "a real product, marks learnt"


def main() -> None:
    """Run the experiment; print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--result", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args()
    text = json.dumps(learnt_from_marks(args.data / "magnetic_tile", args.out), indent=1)
    print(text)
    if args.result:
        args.result.write_text(text + "\n", encoding="utf-8")


def learnt_from_marks(tiles: Path, out: Path) -> JsonObject:
    """Return what the marks change; a first bundle that an earlier run left in `out` is used."""
    common, rare = _split(sorted((tiles / "train" / "good").iterdir()))
    data, before, after = out / "data", out / "before.bundle", out / "after.bundle"
    for file in common[:TRAINING]:
        (data / "train/good").mkdir(parents=True, exist_ok=True)
        shutil.copy(file, data / "train/good")
    first = BuildOptions(data=data, out=before, product="link", detector="none", serial=1)
    if not before.is_file():
        build(first, _say)
    old = load_model(read_bundle(before))
    shown, kept_back = rare[: len(rare) // 2], rare[len(rare) // 2 :]
    marks = _mark(old, shown, out / "feedback")
    second = replace(first, out=after, serial=2)
    changed = build_with_feedback(second, FeedbackOptions(out / "feedback", before), _say)
    new = load_model(read_bundle(after))
    append_look(ROOT, set_name(tiles), code_digest(ROOT), FOUND)
    defects = [f for f in sorted((tiles / "test").rglob("*.*")) if f.parent.name != "good"]
    judged = {"common": common[TRAINING : TRAINING + COMMON], "rare": kept_back, "defects": defects}
    figures: JsonObject = {"marks": marks, "sentences": changed.report.sentences()}
    for name, files in judged.items():
        pictures = [read_picture(file) for file in files]
        ng = [_alarms(model, pictures) for model in (old, new)]
        figures[name] = {
            "before": _rate(ng[0]), "after": _rate(ng[1]), "gone": _both(ng[0], ~ng[1])
        }  # fmt: skip
    for side in ("before", "after"):
        rates = [figures[name][side]["count"] / figures[name][side]["of"] for name in judged]
        on_line = (1 - RARE_ON_LINE) * rates[0] + RARE_ON_LINE * rates[1]
        figures[f"false_alarm_rate_{side}"] = round(on_line, 4)
    return figures


def _split(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return common and rare pictures, each in an order that looks at nothing: by their digests."""
    light = {
        file: float(cv2.cvtColor(read_picture(file), cv2.COLOR_BGR2GRAY).mean()) for file in files
    }
    edge = sorted(light.values())[int(len(files) * RARE_FROM)]
    drawn = sorted(files, key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest())
    return [f for f in drawn if light[f] < edge], [f for f in drawn if light[f] >= edge]


def _mark(old: LoadedModel, files: list[Path], folder: Path) -> int:
    """Write those that are alarmed as a pulled set; return how many there are."""
    kept, marks = FeedbackFolder(folder), 0
    for number, file in enumerate(files):
        pixels = np.ascontiguousarray(read_picture(file))
        score = _score(old, pixels)
        if score >= old.limits.score_threshold:
            _put(kept, 14 * number, pixels, score, old)  # a tile every seven minutes
            marks += 1
    return marks


if __name__ == "__main__":
    main()
