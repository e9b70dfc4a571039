"""Does a cross-fitted limit keep its rate? Simulated good parts, with and without odd ones.

    python -m benchmarks.cross_fit --sizes 40 120 320 --odd 0 0.01 0.025 --draws 40 --budget 30m
    python -m benchmarks.cross_fit --only-table --table cross_fit.md

Upright crops of good simulated parts are cut by the shipped bundle's own detector and pose, and
their frozen features are computed, once for all draws. Each draw takes n parts of the pool, with a
share of odd ones (a small stain, which a person would still call good), has the default method fit
its densities and its memory to each fold and choose its terms, sets the limit at 2 % nominal by the
folds, fits what is shipped to all n, and counts alarms on other parts of the pool. The claim: with
95 % confidence the true rate is below the Beta quantile that the build states. Further parts are
good ones with the same share of odd ones; the rate over good ones alone is given beside it.
One JSON a cell; a stopped run goes on. Reduced: `REDUCED`. Not measured: refitting detector and
pose, real pictures, other rates, near-duplicates.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.cross_fit_pool import DEFECTS_A_PART, SEED, Pool, good_crops, make_pool
from calibration.thresholds.threshold import nominal_threshold
from edge_app.binomial import exact_interval
from edge_app.records import F64Array, JsonObject
from export.defects.evidence import Evidence, I64Array
from export.evaluation.looks import code_digest
from export.methods.ensemble.method import Frozen, fitted_to
from export.methods.ensemble.terms import CropFeatures
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.time_budget import duration_s

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "cross_fit"
CACHE = Path.home() / ".cache" / "cropliq-edge" / "cross_fit"

RATE = 0.02
DEFECTS_A_DRAW = 54
TESTED_ODD, TESTED_DEFECTS = 300, 324
CROP_HW = (32, 128)
DIGEST_CHARACTERS = 12
REDUCED = (
    "crops of 32 × 128 pixels (the shipped bundle's: 128 × 448), a draw chooses its terms by 54 "
    "synthetic defects (a build by 216) drawn into the crop, alarms are counted on one pool's parts"
)


def _joined(parts: list[CropFeatures]) -> CropFeatures:
    taps = {b: torch.cat([part.taps[b] for part in parts]) for b in parts[0].taps}
    return CropFeatures(taps, parts[0].crop_hw)


def one_draw(
    pool: Pool, n: int, odd_share: float, tested: int, rng: np.random.Generator
) -> JsonObject:
    """Return what one build's limit does on parts that it has not seen."""
    order = rng.permutation(len(pool.crops))
    drawn, rest = order[:n], order[n : n + tested]
    odd_count = int(odd_share * n + rng.random())
    features = _joined([pool.odd.rows(drawn[:odd_count]), pool.good.rows(drawn[odd_count:])])
    at = rng.permutation(DEFECTS_A_PART * n)[:DEFECTS_A_DRAW]  # their parts: at // DEFECTS_A_PART
    rows = DEFECTS_A_PART * drawn[at // DEFECTS_A_PART] + at % DEFECTS_A_PART
    labels = tuple(pool.labels[row] for row in rows)
    numbers = np.arange(len(rows))
    of = (at // DEFECTS_A_PART).astype(np.int64)
    evidence = Evidence(np.arange(n), pool.defect_crops[rows], numbers, of, labels)
    data = TrainingSet(pool.crops[drawn], None, None, evidence)
    settings = TrainSettings(int(rng.integers(1 << 30)), 1, "cpu", Path())
    frozen = Frozen(pool.extractor, features, pool.defects.rows(rows))
    trained = fitted_to(frozen, data, settings, lambda _text, _share: None)
    if trained.cross_fitted is None:
        raise AssertionError("the ensemble judges by folds")
    limit = nominal_threshold(trained.cross_fitted.good, RATE, is_cross_fitted=True)

    def alarmed(features: CropFeatures, at: I64Array) -> float:
        return float((_judged(trained.graph, features.rows(at)) >= limit.threshold).mean())

    return {
        "odd": odd_count,
        "terms": trained.about["settings"]["terms"],
        "bound": limit.rate_bound,
        "rate_good": alarmed(pool.good, rest),
        "rate_odd": alarmed(pool.odd, rest[:TESTED_ODD]),
        "recall": alarmed(pool.defects, DEFECTS_A_PART * rest[:TESTED_DEFECTS]),
        "shift": _shift(trained.cross_fitted.good, _judged(trained.graph, pool.good.rows(rest))),
    }


def _judged(graph: torch.nn.Module, features: CropFeatures) -> F64Array:
    scores = []
    with torch.no_grad():
        for taps in features.chunks():
            score, _ = graph.judge(taps, features.crop_hw)  # type: ignore[operator]
            scores.append(score.double().numpy())
    return np.concatenate(scores)


def _shift(folds: F64Array, shipped: F64Array) -> float:
    """Return how much higher folds score good parts than the shipped fit, over its spread."""
    spread = 1.4826 * float(np.median(np.abs(shipped - np.median(shipped))))
    return float((np.median(folds) - np.median(shipped)) / max(spread, 1e-9))


def rate_of(draw: JsonObject, odd_share: float) -> float:
    """Return the alarm rate on further parts of which a share is odd."""
    return float((1 - odd_share) * draw["rate_good"] + odd_share * draw["rate_odd"])


def summary_of(cell: JsonObject) -> list[str]:
    """Return the table's cells of one (n, odd share)."""
    draws, odd = cell["draws"], cell["odd"]
    rates = [rate_of(draw, odd) for draw in draws]
    kept = sum(r <= d["bound"] for r, d in zip(rates, draws, strict=True))
    kept_good = sum(d["rate_good"] <= d["bound"] for d in draws)
    low, high = exact_interval(kept, len(draws))
    return [
        str(cell["n"]), f"{odd:.1%}", f"{draws[0]['bound']:.1%}", f"{kept} of {len(draws)}",
        f"{kept / len(draws):.0%} ({low:.0%} to {high:.0%})", f"{kept_good} of {len(draws)}",
        f"{np.mean(rates):.1%}", f"{max(rates):.1%}",
        f"{np.mean([d['recall'] for d in draws]):.0%}",
        f"{np.mean([d['shift'] for d in draws]):+.2f}",
    ]  # fmt: skip


HEAD = [
    "n", "odd parts", "stated bound", "draws within it", "share, exact 95 %",
    "the same on good ones alone", "mean rate", "largest", "recall", "shift",
]  # fmt: skip


def table_of(results: Path, digest: str) -> str:
    """Return the Markdown over the cells of a code."""
    cells = [json.loads(file.read_text()) for file in results.glob("*.json")]
    cells = [cell for cell in cells if cell["code_digest"].startswith(digest)]
    rows = [summary_of(c) for c in sorted(cells, key=lambda c: (c["n"], c["odd"])) if c["draws"]]
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def make_draws(pool: Pool, args: argparse.Namespace, digest: str) -> None:
    """Make the draws that are missing, one of each cell in turn, until the time is up."""
    until = time.monotonic() + duration_s(args.budget)
    args.results.mkdir(parents=True, exist_ok=True)
    for number in range(args.draws):
        for n in args.sizes:
            for odd in args.odd:
                if time.monotonic() > until:
                    print("The time is up: the same command goes on from here.", flush=True)
                    return
                _one_more(args, pool, (n, odd, number), digest)


def _one_more(
    args: argparse.Namespace, pool: Pool, place: tuple[int, float, int], digest: str
) -> None:
    n, odd, number = place
    short = digest[:DIGEST_CHARACTERS]
    file = args.results / f"n{n}-odd{round(odd * 1000)}-pool{args.pool}-{short}.json"
    cell = {
        "n": n, "odd": odd, "pool": args.pool, "tested": args.tested, "reduced": REDUCED,
        "code_digest": digest, "draws": [],
    }  # fmt: skip
    if file.is_file():
        cell = json.loads(file.read_text())
    if len(cell["draws"]) != number:  # it is there
        return
    started = time.monotonic()
    rng = np.random.default_rng([SEED, n, round(odd * 1000), number])
    cell["draws"].append(one_draw(pool, n, odd, args.tested, rng))
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(cell, indent=1, ensure_ascii=False) + "\n")
    partial.replace(file)
    print(f"n {n}, odd {odd}, draw {number}: {time.monotonic() - started:.1f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pool", type=int, default=3000, help="good parts in all")
    parser.add_argument("--tested", type=int, default=1500, help="parts judged a draw")
    parser.add_argument("--draws", type=int, default=40, help="of each cell")
    parser.add_argument("--sizes", type=int, nargs="+", default=[40, 120, 320, 800])
    parser.add_argument("--odd", type=float, nargs="+", default=[0.0, 0.01, 0.025])
    parser.add_argument("--budget", default="8h", help="time for everything: 90s, 30m, 2h")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the cells")
    parser.add_argument("--cache", type=Path, default=CACHE, help="keeps the pool's crops")
    parser.add_argument("--digest", default="", help="code whose cells the table shows (here)")
    parser.add_argument("--only-table", action="store_true", help="make no draw")
    parser.add_argument("--table", type=Path, help="write the table there too")
    args = parser.parse_args()
    digest = args.digest or code_digest(ROOT)
    if not args.only_table:
        torch.set_num_threads(1)
        make_draws(make_pool(good_crops(args.pool, CROP_HW, args.cache)), args, digest)
    text = table_of(args.results, digest)
    print(text)
    if args.table is not None:
        args.table.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
