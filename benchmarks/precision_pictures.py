"""What a bundle's further precisions do on a data set's test pictures:

    python -m benchmarks.precision_pictures BUNDLE DATA

DATA is in MVTec AD's layout. Every picture goes each variant's whole way; its score is that of its
most anomalous product. Every flip is listed with its distance from both thresholds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.precision import flip_lines
from calibration.thresholds.recalibrate import REFERENCE
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.cameras.pictures import read_picture
from edge_app.model.loaded_model import load_model
from edge_app.model.looks import look_at
from edge_app.records import F64Array
from export.evaluation.data import TestPicture, scan_test_pictures
from export.evaluation.image_metrics import auroc


def main() -> None:
    """Judge the pictures in every precision and print what flips and what AUROC is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    bundle = read_bundle(args.bundle)
    pictures = scan_test_pictures(args.data, ()).kept
    reference = picture_scores(bundle, REFERENCE, pictures, args.threads)
    for variant in bundle.manifest.variants:
        if variant.precision != REFERENCE:
            scores = picture_scores(bundle, variant.precision, pictures, args.threads)
            print(summary(bundle, variant.precision, pictures, np.stack([reference, scores])))


def picture_scores(
    bundle: Bundle, precision: str, pictures: Sequence[TestPicture], threads: int
) -> F64Array:
    """Return (n,) float64, NaN where no product is found."""
    model = load_model(bundle, threads, precision)
    scores = np.full(len(pictures), np.nan)
    for i, picture in enumerate(pictures):
        looks = look_at(model, read_picture(picture.path))
        if looks:
            scores[i] = max(look.anomaly.score for look in looks)
    return scores


def summary(
    bundle: Bundle, precision: str, pictures: Sequence[TestPicture], scores: F64Array
) -> str:
    """Return what a person should know of one variant.

    Args:
        scores: (2, n) float64, fp32 and the variant.
    """
    limits = [bundle.variant(p).thresholds.score_threshold for p in (REFERENCE, precision)]
    names = [p.name for p in pictures]
    is_good = np.array([p.is_good for p in pictures])
    there = np.isfinite(scores).all(axis=0)
    before, after = (auroc(s[there & is_good], s[there & ~is_good]) for s in scores)
    return "\n".join(
        [
            f"{precision}:",
            *flip_lines("pictures", names, scores, limits),
            f"  image AUROC {before:.2%} in fp32, {after:.2%} here ({100 * (after - before):+.2f})",
        ]
    )


if __name__ == "__main__":
    main()
