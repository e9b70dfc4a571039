"""A bundle given a golden set of pictures, each judged by the bundle itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import GoldenPart, GoldenPicture
from edge_app.model.loaded_model import load_model
from edge_app.model.looks import look_at
from edge_app.records import U8Array


def give_golden(path: Path, pictures: Sequence[U8Array]) -> Path:
    """Rewrite a bundle of a product that fills the frame with these golden pictures."""
    bundle = read_bundle(path)
    model, variant = load_model(bundle, 1), bundle.variant()
    golden, files = [], dict(bundle.files)
    for number, pixels in enumerate(pictures):
        (look,) = look_at(model, pixels)
        is_ng = look.anomaly.score >= variant.thresholds.score_threshold
        part = GoldenPart(
            box_cxcywhr=look.box_cxcywhr,
            score=look.anomaly.score,
            verdict="NG" if is_ng else "OK",
        )
        name = f"golden/{number}.png"
        golden.append(GoldenPicture(file=name, parts=(part,)))
        files[name] = cv2.imencode(".png", pixels)[1].tobytes()
    changed = variant.model_copy(update={"golden": tuple(golden)})
    write_bundle(path, bundle.manifest.model_copy(update={"variants": (changed,)}), files)
    return path
