"""Does a cross-fitted limit keep its rate? Simulated good parts, with and without odd ones.

    python -m benchmarks.cross_fit --pool 3000 --draws 8 --sizes 40 120 --odd 0 0.025

Upright crops of good simulated parts are cut by the shipped bundle's own detector and pose: one for
all draws, not refitted, as in a build. Each draw takes n of them, replaces a share by odd parts (a
small stain, which a person would still call good), lets the default method choose and fit its terms
by folds, sets the limit at 2 % nominal, fits what is shipped to all n, and counts alarms on the
others. Printed: the rate, and in how many draws it stayed below the stated 95 % bound.
Not measured: refitting detector and pose, real pictures, other rates.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

from calibration.thresholds.threshold import nominal_threshold
from edge_app.bundle.archive import read_bundle
from edge_app.model.loaded_model import load_model
from edge_app.model.offline import look_at
from edge_app.records import U8Array
from edge_app.simulator.config import SimulatorConfig
from edge_app.simulator.scene import good_line
from export.augment.defect_like import DEFECTS, SIZES, synthetic_defect
from export.defects.evidence import Evidence
from export.methods.cross_fit import judged_by
from export.methods.ensemble.method import Ensemble
from export.methods.protocol import TrainingSet, TrainSettings

BUNDLE = Path(__file__).parents[1] / "edge_app" / "assets" / "demo-tapered.bundle"
SEED = 9000
"""Of the simulated line: no seed that training or tests use."""

DEFECTS_A_DRAW = 54
RATE = 0.02


def good_crops(count: int) -> U8Array:
    """Return upright crops of good simulated parts, uint8 (n, h, w, 3)."""
    model = load_model(read_bundle(BUNDLE))
    line = good_line(SimulatorConfig(product="tapered", seed=SEED))
    crops: list[U8Array] = []
    number = 0
    while len(crops) < count:
        number += 1
        crops += [look.crop for look in look_at(model, line.single(number)[0])][:1]
        if number % 100 == 0:
            print(f"{len(crops)} of {count} good parts", file=sys.stderr, flush=True)
    return np.stack(crops)


def one_draw(
    pool: U8Array, n: int, odd_share: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Return (true alarm rate of the shipped fit, the stated 95 % bound)."""
    order = rng.permutation(len(pool))
    drawn, rest = pool[order[:n]].copy(), pool[order[n:]]
    for index in range(round(odd_share * n)):
        drawn[index] = synthetic_defect(rng, drawn[index], None, "stain", "small").pixels_hwc
    kinds = list(DEFECTS)
    of = rng.integers(0, n, DEFECTS_A_DRAW)
    labels = tuple((kinds[i % len(kinds)], SIZES[i % 3]) for i in range(DEFECTS_A_DRAW))
    bad = [
        synthetic_defect(rng, drawn[k], None, kind, size).pixels_hwc  # type: ignore[arg-type]
        for k, (kind, size) in zip(of, labels, strict=True)
    ]
    at = np.arange(DEFECTS_A_DRAW)
    evidence = Evidence(np.arange(n), np.stack(bad), at, of.astype(np.int64), labels)
    data = TrainingSet(drawn, None, None, evidence)
    settings = TrainSettings(int(rng.integers(1 << 30)), 1, "cpu", Path())
    trained = Ensemble().train(data, settings, lambda _text, _share: None)
    if trained.cross_fitted is None:
        raise AssertionError("the ensemble judges by folds")
    limit = nominal_threshold(trained.cross_fitted.good, RATE, is_cross_fitted=True)
    scores, _ = judged_by(trained.graph, rest)
    return float((scores >= limit.threshold).mean()), limit.rate_bound


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pool", type=int, default=3000)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--sizes", type=int, nargs="+", default=[40, 120])
    parser.add_argument("--odd", type=float, nargs="+", default=[0.0, 0.025])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    pool = good_crops(args.pool)
    rows = []
    started = time.monotonic()
    for n in args.sizes:
        for odd in args.odd:
            rng = np.random.default_rng([SEED, n, round(odd * 1000)])
            draws = [one_draw(pool, n, odd, rng) for _ in range(args.draws)]
            rates = np.array([rate for rate, _ in draws])
            kept = int(sum(rate <= bound for rate, bound in draws))
            rows.append(
                {
                    "n": n, "odd": odd, "draws": len(draws), "bound": draws[0][1],
                    "rate_mean": float(rates.mean()), "rate_largest": float(rates.max()),
                    "within_bound": kept,
                }
            )  # fmt: skip
            print(json.dumps(rows[-1]), f"{time.monotonic() - started:.0f} s", flush=True)
            if args.out is not None:
                args.out.write_text(json.dumps({"pool": len(pool), "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
