"""What a bundle's further precisions do to verdicts, over many parts of the simulated line:

    python -m benchmarks.precision BUNDLE --work DIR [--parts 5000] [--scenes 500] [--seed 44]

Blocks of scores are kept in DIR: a stopped run goes on. Thresholds are those of the bundle.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.precision_parts import Judged, judged_parts
from calibration.precision.parity import PartPairs, flips
from calibration.precision.variant import flip_table
from edge_app.bundle.archive import Bundle, read_bundle
from edge_app.records import F64Array
from edge_app.simulator.config import as_product
from export.evaluation.image_metrics import auroc, rate_interval


def main() -> None:
    """Judge the same parts in every precision and print what flips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder of scored blocks")
    parser.add_argument("--product", default="tapered")
    parser.add_argument("--seed", type=int, default=44)
    parser.add_argument("--parts", type=int, default=5000, help="scored on the same crops")
    parser.add_argument("--scenes", type=int, default=500, help="of these, also the whole way")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    bundle = read_bundle(args.bundle)
    names, judged = judged_parts(
        bundle, as_product(args.product), args.seed, args.parts, args.scenes, args.work,
        args.threads,
    )  # fmt: skip
    for k in range(1, len(names)):
        print(summary(bundle, names[k], k, judged))


def summary(bundle: Bundle, name: str, k: int, judged: Judged) -> str:
    """Return what a person should know of variant number k: flips, boxes, AUROC, sizes."""
    limits = [bundle.variant(p).thresholds.score_threshold for p in ("fp32", name)]
    parity = bundle.variant(name).parity
    lines = [f"{name}: weights of the rewritten layers {parity.weight_share if parity else '?'}"]
    lines += flip_lines("same crops", _numbered(judged.scores), judged.scores[[0, k]], limits)
    lines.append(f"  image AUROC {_auroc(judged, 0):.3%} in fp32, {_auroc(judged, k):.3%} here")
    if judged.whole.shape[1]:
        lines += flip_lines("whole way", _numbered(judged.whole), judged.whole[[0, k]], limits)
        ious = judged.ious[k]
        lines.append(
            f"  boxes beside fp32's, {len(ious)} scenes: IoU median {np.median(ious):.4f}, least "
            f"{ious.min():.4f}; another number of products in {int((ious == 0).sum())}"
        )
    return "\n".join(lines)


def _numbered(scores: F64Array) -> list[str]:
    return [f"part {i + 1}" for i in range(scores.shape[1])]


def flip_lines(
    what: str, names: Sequence[str], scores: F64Array, limits: Sequence[float]
) -> list[str]:
    """Return how many of the parts flip between two precisions, and which.

    Args:
        names: (n) of the parts.
        scores: (2, n) float64, fp32 and the other; NaN where a product was not found.
        limits: the two thresholds.
    """
    both = np.isfinite(scores).all(axis=0)
    numbers = tuple(names[int(i)] for i in np.flatnonzero(both))
    none = np.zeros(0)
    one_only = int((np.isfinite(scores).any(axis=0) & ~both).sum())
    pairs = PartPairs(numbers, scores[0, both], scores[1, both], none, none, one_only)
    found = flips(pairs, limits[0], limits[1])
    high = rate_interval(len(found), len(numbers))[1]
    moved = np.abs((pairs.variant - limits[1]) - (pairs.reference - limits[0])) / abs(limits[0])
    told_flips = flip_table(found).rstrip()
    return [
        f"  {what}: {len(found)} of {len(numbers)} parts flip ({len(found) / len(numbers):.3%}, "
        f"below {high:.3%} at 95 %), {int((pairs.reference >= limits[0]).sum())} NG in fp32, "
        f"{one_only} found by one only; scores differ by a median {np.median(moved):.2%}, at most "
        f"{moved.max():.2%} of the threshold",
        *([told_flips] if told_flips else []),
    ]


def _auroc(judged: Judged, k: int) -> float:
    there = np.isfinite(judged.scores).all(axis=0)
    scores = judged.scores[k]
    return auroc(scores[there & ~judged.is_bad], scores[there & judged.is_bad])


if __name__ == "__main__":
    main()
