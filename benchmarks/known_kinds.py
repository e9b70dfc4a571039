"""How well known defect kinds are named, on defects nobody trained on.

    python -m benchmarks.known_kinds --data DIR/deep_pcb --examples 20 --seeds 0 1 2
    python -m benchmarks.known_kinds --data DIR/magnetic_tile --examples 10 --seeds 0 1 2

deep_pcb: the examples come from the first fifth of the boards, every defect of the other boards
is tested: as labelled, and as found by the device's own `find_defects` on the difference between
board and template. magnetic_tile: examples and the rest of its kinds, by their masks. Everything
is chosen by cross-validation among the examples. Named by ONNX Runtime as on a device.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.known_kinds_data import TEMPLATE_LIMITS, found_on_boards, is_met, labelled_defects
from edge_app.backends.onnx import OnnxRunner
from edge_app.imaging.defect_region import UNKNOWN, region_of
from edge_app.inspection.defect_classifier import DefectClassifier, Guess
from edge_app.records import JsonObject, U8Array
from export.defect_classifier.graph import write_classifier
from export.defect_classifier.train import TrainedClassifier, train_classifier
from export.defects.labelled import KnownDefect

BATCH = 20
THREADS = 1


@dataclass(frozen=True, slots=True, eq=False)
class Classifier:
    """A trained classifier in ONNX Runtime, with its threshold and without."""

    trained: TrainedClassifier
    runner: OnnxRunner
    onnx_bytes: int

    def guesses(self, defects: Sequence[KnownDefect], threshold: float) -> list[Guess]:
        spec = self.trained.spec.to_spec()
        namer = DefectClassifier(self.runner, spec, self.trained.spec.kinds, threshold)
        found: list[Guess] = []
        pixels: dict[str, U8Array] = {}
        for start in range(0, len(defects), BATCH):
            regions = []
            for defect in defects[start : start + BATCH]:
                if defect.source not in pixels:
                    pixels = {defect.source: defect.read()}
                regions.append(
                    region_of(pixels[defect.source], defect.polygon_xy, defect.angle_rad, spec)
                )
            found += namer.guess(np.stack(regions))
        return found


def main() -> None:
    """Train once per seed, print the figures of each and their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=20, help="per kind")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="figures as JSON")
    options = parser.parse_args()
    pool, tested = labelled_defects(options.data)
    runs = [_run(seed, options.examples, pool, tested, options.data) for seed in options.seeds]
    mean = {
        key: round(float(np.mean([run[key] for run in runs])), 4)
        for key in runs[0]
        if isinstance(runs[0][key], float)
    }
    print(json.dumps({"mean": mean}, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps({"runs": runs, "mean": mean}, indent=1) + "\n")


def _run(
    seed: int,
    count: int,
    pool: list[KnownDefect],
    tested: list[KnownDefect] | None,
    data: Path,
) -> JsonObject:
    examples = _drawn(pool, count, seed)
    started_s, cpu_s = time.monotonic(), time.process_time()
    trained = train_classifier(examples, seed, lambda *_: None)
    figures: JsonObject = {
        "seed": seed,
        "train_s": round(time.monotonic() - started_s, 1),
        "train_cpu_s": round(time.process_time() - cpu_s, 1),
        "chosen": {k: v for k, v in asdict(trained.figures).items() if v is not None},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "classifier.onnx"
        write_classifier(trained.graph, trained.spec.region_hw, file)
        one = Classifier(trained, OnnxRunner(file, THREADS), file.stat().st_size)
    figures["onnx_bytes"] = one.onnx_bytes
    used = set(map(id, examples))
    rest = [d for d in pool if id(d) not in used] if tested is None else tested
    figures |= _named("labelled", one, rest)
    if tested is not None:
        figures |= _on_found(one, data, tested)
    figures["regions_20_ms"] = _batch_ms(one)
    print(json.dumps(figures), flush=True)
    return figures


def _drawn(pool: list[KnownDefect], count: int, seed: int) -> list[KnownDefect]:
    rng = np.random.default_rng(seed)
    drawn = []
    for kind in sorted({d.kind for d in pool}):
        mine = [d for d in pool if d.kind == kind]
        drawn += [mine[i] for i in rng.choice(len(mine), count, replace=False)]
    return drawn


def _named(what: str, one: Classifier, defects: list[KnownDefect]) -> JsonObject:
    """Return accuracy without the threshold, and with it (unknown counts as wrong)."""
    free = one.guesses(defects, 0.0)
    strict = one.guesses(defects, one.trained.threshold)
    right = np.array([g.kind == d.kind for g, d in zip(free, defects, strict=True)])
    sure = np.array([g.kind == d.kind for g, d in zip(strict, defects, strict=True)])
    kinds = np.array([d.kind for d in defects])
    by_kind = {k: round(float(right[kinds == k].mean()), 4) for k in np.unique(kinds)}
    mixed = Counter(f"{d.kind} as {g.kind}" for g, d in zip(free, defects, strict=True))
    wrong = {k: n for k, n in mixed.most_common() if len(set(k.split(" as "))) == 2}
    named = np.array([g.kind != UNKNOWN for g in strict])
    return {
        f"{what}_count": len(defects),
        f"{what}_accuracy": float(right.mean()),
        f"{what}_mean_over_kinds": float(np.mean(list(by_kind.values()))),
        f"{what}_accuracy_with_unknown": float(sure.mean()),
        f"{what}_unknown": float(1 - named.mean()),
        f"{what}_right_of_named": float(sure[named].mean()),
        f"{what}_by_kind": by_kind,
        f"{what}_wrong": dict(list(wrong.items())[:6]),
    }


def _on_found(one: Classifier, data: Path, tested: list[KnownDefect]) -> JsonObject:
    """Return the figures on the regions that `find_defects` outlines on the test boards."""
    found = found_on_boards(data, {d.source for d in tested})
    of_board: dict[str, list[KnownDefect]] = {}
    for defect in tested:
        of_board.setdefault(defect.source, []).append(defect)
    met: list[KnownDefect] = []
    elsewhere: list[KnownDefect] = []
    seen: set[int] = set()
    for region in found:
        hits = [d for d in of_board[region.source] if is_met(region, d)]
        seen |= set(map(id, hits))
        if len({d.kind for d in hits}) == 1:
            met.append(
                KnownDefect(
                    region.source,
                    region.read,
                    region.polygon_xy,
                    region.angle_rad,
                    hits[0].kind,
                )
            )
        elif not hits:
            elsewhere.append(region)
    figures = _named("found", one, met)
    figures["found_share_of_labelled"] = len(seen) / len(tested)
    figures["found_map_threshold"] = float(TEMPLATE_LIMITS.map_threshold)
    figures["found_elsewhere"] = len(elsewhere)
    if elsewhere:
        guesses = one.guesses(elsewhere, one.trained.threshold)
        figures["found_elsewhere_unknown"] = sum(g.kind == UNKNOWN for g in guesses)
    return figures


def _batch_ms(one: Classifier) -> float:
    regions = np.zeros((BATCH, *one.trained.spec.region_hw, 3), np.uint8)
    times = []
    for _ in range(12):
        started_s = time.perf_counter()
        one.runner.run({"regions": regions})
        times.append(time.perf_counter() - started_s)
    return min(times) * 1e3


if __name__ == "__main__":
    main()
