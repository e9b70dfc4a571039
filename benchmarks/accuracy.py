"""Methods side by side: same crops, same split, same machine, one run, one table.

    python -m benchmarks.accuracy --crops train.npz --test test.npz --methods padim cutpaste:100

train.npz holds `crops` uint8 (n, h, w, 3) and, if the product does not fill them, `mask` (h, w);
test.npz holds `crops`, `kinds` (n,) ("good" or a defect's kind) and, where known, `regions`
(n, h, w), > 0 on the defect. `benchmarks.accuracy_crops` writes both. Every method is trained,
exported, and judged through ONNX Runtime: what is measured is what a device runs. With several
`--seeds` a second table holds the means. Beside the methods of `edge-export build` there is
`frozen-gaussian`: one Gaussian of untrained features' means and deviations.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy_figures import Figures, figures_of
from benchmarks.accuracy_seeds import seeds_markdown
from edge_app.errors import DataError
from edge_app.records import F32Array, F64Array, U8Array
from export.cli.progress import ConsoleProgress
from export.evaluation.data import GOOD
from export.evaluation.image_metrics import auroc_difference_interval
from export.methods.cropliq.pretext_train import train_inspector
from export.methods.inspector_record import InspectorRecord
from export.methods.onnx_file import write_graph
from export.methods.protocol import TrainingSet, TrainSettings
from export.methods.train import train_method
from export.workspace import OnProgress

FROZEN = "frozen-gaussian"

BATCH = 8
LATENCY_RUNS = 30
WARM_UPS = 3


@dataclass(frozen=True, slots=True, eq=False)
class TestSet:
    """What the methods are judged on.

    Attributes:
        crops: uint8 (n, h, w, 3).
        kinds: (n,) strings, "good" or a defect's kind.
        regions: uint8 (n, h, w), > 0 on the defect, or None where nobody marked them.
    """

    __test__ = False  # not a test case for pytest

    crops: U8Array
    kinds: np.ndarray
    regions: U8Array | None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One row of the table.

    Attributes:
        name: the method's, with its steps if they were given.
        scores: (n,) of the test crops.
        train_s: wall-clock seconds of training and fitting.
        onnx_mb: size of inspector.onnx in 10⁶ bytes.
        latency_ms: of one crop, median and fastest of LATENCY_RUNS: on a busy machine the fastest
            is the graph's own.
    """

    name: str
    scores: F64Array
    figures: Figures
    train_s: float
    onnx_mb: float
    latency_ms: tuple[float, float]


def main() -> None:
    """Train, measure and print the table."""
    options = _options()
    data, test = read_crops(options.crops), read_test(options.test)
    torch.set_num_threads(options.threads)
    by_seed: list[list[Measured]] = []
    for seed in options.seeds:
        before = "".join(f"{as_markdown(rows, test)}\n" for rows in by_seed)
        by_seed.append(_one_seed(options, seed, data, test, before))
    if len(by_seed) > 1:
        summary = _over_seeds(by_seed, test)
        print(summary)
        if options.markdown is not None:
            tables = [as_markdown(rows, test) for rows in by_seed]
            options.markdown.write_text("\n".join([*tables, summary]), encoding="utf-8")


def _one_seed(
    options: argparse.Namespace, seed: int, data: TrainingSet, test: TestSet, before: str
) -> list[Measured]:
    """Train, measure and show every method with one seed; `before` heads the Markdown file."""
    rows: list[Measured] = []
    with ConsoleProgress() as progress:
        for wanted in options.methods:
            name, steps = parsed(wanted, options.steps)
            settings = TrainSettings(seed, steps, options.device, options.work / f"seed{seed}")

            def on_progress(step: str, done: float, wanted: str = wanted) -> None:
                progress.show(f"{wanted}, seed {seed}", step, done)

            rows.append(measured(wanted, name, data, test, settings, options.threads, on_progress))
            if options.markdown is not None:  # after each method: a long run may be stopped
                options.markdown.write_text(before + as_markdown(rows, test), encoding="utf-8")
    title = f"{len(data.crops)} good crops; test {len(test.crops)}; seed {seed}"
    Console(width=200).print(as_table(rows, test, title))
    return rows


def _over_seeds(by_seed: list[list[Measured]], test: TestSet) -> str:
    names = [row.name for row in by_seed[0]]
    scores = {n: [rows[i].scores for rows in by_seed] for i, n in enumerate(names)}
    pixel = {n: [rows[i].figures.pixel_auroc for rows in by_seed] for i, n in enumerate(names)}
    return seeds_markdown(scores, pixel, test.kinds == GOOD)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", required=True, metavar="NAME[:STEPS]",
                        help="the first one is what the others are compared with")  # fmt: skip
    parser.add_argument("--steps", type=int, default=200, help="where no STEPS are given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--work", type=Path, default=Path("accuracy_work"), help="checkpoints, ONNX"
    )
    parser.add_argument("--markdown", type=Path, help="write the table there after each method")
    return parser.parse_args()


def parsed(wanted: str, steps: int) -> tuple[str, int]:
    """Return the method's name and its steps from NAME or NAME:STEPS.

    Raises:
        DataError: STEPS is no positive whole number.
    """
    name, _, own_steps = wanted.partition(":")
    if own_steps and (not own_steps.isdecimal() or int(own_steps) < 1):
        raise DataError(f"Expected NAME or NAME:STEPS with STEPS >= 1, got {wanted!r}.")
    return name, int(own_steps) if own_steps else steps


def read_crops(path: Path) -> TrainingSet:
    """Return the good crops and their mask."""
    with np.load(path) as file:
        return TrainingSet(file["crops"], file.get("mask"))


def read_test(path: Path) -> TestSet:
    """Return the crops to be judged.

    Raises:
        DataError: good or defective crops are missing.
    """
    with np.load(path) as file:
        regions = file.get("regions")
        test = TestSet(file["crops"], file["kinds"], regions)
    good = int((test.kinds == GOOD).sum())
    if not 0 < good < len(test.kinds):
        raise DataError(
            f"{path.name} holds {good} good and {len(test.kinds) - good} defective crops: at least "
            "one of each is needed."
        )
    return test


def measured(
    row: str,
    name: str,
    data: TrainingSet,
    test: TestSet,
    settings: TrainSettings,
    threads: int,
    on_progress: OnProgress,
) -> Measured:
    """Train, export and judge one method."""
    started = time.perf_counter()
    folder = settings.work / row.replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    inside = TrainSettings(settings.seed, settings.steps, settings.device, folder)
    if name == FROZEN:
        about = _frozen_gaussian(data, inside, on_progress)
    else:
        about = train_method(name, list(data.crops), data.mask, inside, on_progress)
    train_s = time.perf_counter() - started
    session = open_session(folder / "inspector.onnx", threads)
    scores, maps = judged(session, test.crops)
    figures = figures_of(scores, maps, test.kinds, test.regions)
    latency = latency_ms(session, test.crops[:1])
    return Measured(row, scores, figures, train_s, about.graph.onnx_bytes / 1e6, latency)


def _frozen_gaussian(
    data: TrainingSet, settings: TrainSettings, on_progress: OnProgress
) -> InspectorRecord:
    """Write the floor's graph: the statistics term alone, of all crops, no pretext training."""
    trained = train_inspector(
        list(data.crops), None, settings.work, seed=settings.seed, steps=0, progress=on_progress
    )
    trained.inspector.weight.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0]))
    trained.inspector.map_kind = "statistics_cam"
    return write_graph(trained.as_trained(), data.crop_hw, settings.work / "inspector.onnx")


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Return a graph ready to run on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def judged(session: onnxruntime.InferenceSession, crops: U8Array) -> tuple[F64Array, F32Array]:
    """Return (n,) scores and (n, mh, mw) maps."""
    pieces = [
        session.run(["score", "map"], {"crops": crops[start : start + BATCH]})
        for start in range(0, len(crops), BATCH)
    ]
    scores = np.concatenate([score for score, _ in pieces]).astype(np.float64)
    return scores, np.concatenate([map_nhw for _, map_nhw in pieces])


def latency_ms(session: onnxruntime.InferenceSession, crop: U8Array) -> tuple[float, float]:
    """Return the median and the fastest time of one crop."""
    times = []
    for _ in range(WARM_UPS + LATENCY_RUNS):
        started = time.perf_counter()
        session.run(["score", "map"], {"crops": crop})
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times[WARM_UPS:]), min(times[WARM_UPS:])


HEAD = (
    "Method", "Image AUROC (95 %)", "minus first (95 %, paired)", "AUPR", "F1 max",
    "Pixel AUROC", "PRO", "Training s", "MB", "ms, 1 crop (fastest)",
)  # fmt: skip


def cells(row: Measured, first: Measured, test: TestSet) -> list[str]:
    """Return one row's texts, figures in %."""
    f = row.figures
    low, high = f.interval
    return [
        row.name,
        f"{f.auroc:.1%} ({low:.1%} to {high:.1%})",
        "–" if row is first else _difference(row, first, test.kinds == GOOD),
        f"{f.aupr:.1%}",
        f"{f.f1_max:.1%}",
        "–" if f.pixel_auroc is None else f"{f.pixel_auroc:.1%}",
        "–" if f.pro is None else f"{f.pro:.1%}",
        f"{row.train_s:.0f}",
        f"{row.onnx_mb:.1f}",
        f"{row.latency_ms[0]:.1f} ({row.latency_ms[1]:.1f})",
    ]


def _difference(row: Measured, first: Measured, is_good: np.ndarray) -> str:
    ours, theirs = row.scores, first.scores
    low, high = auroc_difference_interval(
        (ours[is_good], ours[~is_good]), (theirs[is_good], theirs[~is_good])
    )
    middle = row.figures.auroc - first.figures.auroc
    return f"{100 * middle:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def as_table(rows: list[Measured], test: TestSet, title: str) -> Table:
    """Return the table for the terminal."""
    table = Table(title=title)
    for number, head in enumerate(HEAD):
        table.add_column(head, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*cells(row, rows[0], test))
    return table


def as_markdown(rows: list[Measured], test: TestSet) -> str:
    """Return the table as Markdown."""
    lines = [list(HEAD), ["---"] * len(HEAD), *(cells(row, rows[0], test) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
