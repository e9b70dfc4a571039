"""Does a false-alarm budget hold? Thresholds from 3,000 good parts, tried on all the others.

    python -m benchmarks.false_alarm_budget --bundle edge_app/assets/demo-tapered.bundle --pool DIR

Good simulated parts go through the whole device path once (`--parts`, in blocks that are kept in
DIR: a stopped run goes on). Then `--draws` times `--calibration` of them set the threshold for the
budget, and the alarm rate is counted on the parts that were not drawn. A budget with a guarantee
at 95 % confidence may be missed by one draw in twenty. Ends with one JSON object.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from functools import partial
from pathlib import Path

import numpy as np

from calibration.thresholds.recalibrate import score_stream
from calibration.thresholds.threshold import GUARANTEED, choose_threshold
from edge_app.cameras.registry import open_camera
from edge_app.records import F64Array

BLOCK = 1000
FIRST_SEED = 5000
"""Block k shows the parts of seed FIRST_SEED + k: no seed that training or tests use."""


def main() -> None:
    """Score what is missing, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--product", default="tapered")
    parser.add_argument("--pool", type=Path, required=True, help="folder of scored blocks")
    parser.add_argument("--parts", type=int, default=30_000)
    parser.add_argument("--calibration", type=int, default=3000)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.002)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    scores = score_pool(
        options.bundle, options.product, options.pool, options.parts, options.workers
    )
    rng = np.random.default_rng(0)
    figures = {
        "pool": len(scores),
        "calibration": options.calibration,
        "budgets": [
            try_budget(scores, rate, options.calibration, options.draws, rng)
            for rate in (options.rate, 1 / 5000)
        ],
    }
    print(json.dumps(figures))


def score_pool(bundle: Path, product: str, folder: Path, parts: int, workers: int) -> F64Array:
    """Return one score per good part, float64, scoring the blocks that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{product}-{k:03d}.npy" for k in range(-(-parts // BLOCK))]
    missing = [(k, file) for k, file in enumerate(files) if not file.is_file()]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        score = partial(_score_block, bundle, product)
        for done, _ in enumerate(pool.imap_unordered(score, missing), start=1):
            print(f"{done * BLOCK} of {len(missing) * BLOCK} parts scored", flush=True)
    return np.concatenate([np.load(file) for file in files])


def _score_block(bundle: Path, product: str, block: tuple[int, Path]) -> None:
    number, file = block
    url = f"sim:{product}?seed={FIRST_SEED + number}&parts={BLOCK}&mode=file&defect_rate=0"
    found = score_stream(bundle, open_camera(url, "pool"), lambda _parts: None)
    part = file.with_suffix(".part.npy")
    np.save(part, found.scores)
    part.replace(file)


def try_budget(
    scores: F64Array, rate: float, calibration: int, draws: int, rng: np.random.Generator
) -> dict[str, object]:
    """Return how often a threshold from `calibration` parts kept `rate` on all other parts."""
    rates, promises = [], set()
    for _ in range(draws):
        order = rng.permutation(len(scores))
        choice = choose_threshold(scores[order[:calibration]], rate)
        rates.append(float(np.mean(scores[order[calibration:]] >= choice.threshold)))
        promises.add(choice.promise)
    kept = int(np.count_nonzero(np.array(rates) <= rate))
    low, middle, high = np.quantile(rates, (0.05, 0.5, 0.95))
    text = ", ".join(sorted(promises))
    print(
        f"budget {rate:.4%}: kept in {kept} of {draws} draws; rate on the others "
        f"{middle:.4%} ({low:.4%} to {high:.4%}); {text}"
    )
    return {
        "rate": rate,
        "kept": kept,
        "draws": draws,
        "promises": sorted(promises),
        "is_guaranteed": promises == {GUARANTEED},
        "rate_quantiles": [low, middle, high],
    }


if __name__ == "__main__":
    main()
