"""BGAD with a few real defects against itself without: paired, over draws and seeds.

    python -m benchmarks.bgad_defects --crops train.npz --test test.npz --steps 200

The files are `benchmarks.accuracy_crops`'; test.npz needs `regions`. Each draw takes some defects
out of the test set to learn from. What any draw takes is left out of every test, so that all
trainings are judged on the same pictures, none of which any of them has seen.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.accuracy import TestSet, judged, open_session, read_crops, read_test
from benchmarks.accuracy_figures import Figures, figures_of
from edge_app.errors import DataError
from export.cli.progress import ConsoleProgress
from export.defects.crops import DefectCrops
from export.evaluation.data import GOOD
from export.methods.bgad import Bgad, BgadSettings
from export.methods.onnx_file import write_graph
from export.methods.protocol import TrainingSet, TrainSettings


@dataclass(frozen=True, slots=True)
class Pair:
    """One draw and seed: the same training without and with the draw's defects."""

    draw: int
    seed: int
    without: Figures
    with_real: Figures


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """What all trainings of one seed have in common."""

    method: Bgad
    test: TestSet
    settings: TrainSettings
    progress: ConsoleProgress

    def figures(self, data: TrainingSet, row: str) -> Figures:
        """Train, export and judge through ONNX Runtime."""
        trained = self.method.train(data, self.settings, partial(self.progress.show, row))
        path = self.settings.work / "bgad.onnx"
        write_graph(trained, data.crop_hw, path)
        session = open_session(path, torch.get_num_threads())
        scores, maps = judged(session, self.test.crops)
        return figures_of(scores, maps, self.test.kinds, self.test.regions)


def main() -> None:
    """Train, measure and print the pairs."""
    options = _options()
    data, test = read_crops(options.crops), read_test(options.test)
    torch.set_num_threads(options.threads)
    draws = drawn_defects(test, options.draws, options.real)
    rest = left_over(test, draws)
    method = Bgad(settings=BgadSettings(couplings=options.couplings, positions=options.positions))
    pairs: list[Pair] = []
    with ConsoleProgress() as progress:
        for seed in range(options.seeds):
            settings = TrainSettings(seed, options.steps, options.device, options.work)
            bench = Bench(method, rest, settings, progress)
            without = bench.figures(data, f"seed {seed}, without")
            for draw, chosen in enumerate(draws):
                real = replace(data, defects=defects_of(test, chosen))
                pairs.append(Pair(draw, seed, without, bench.figures(real, f"seed {seed}, {draw}")))
                if options.markdown is not None:  # after each pair: a long run may be stopped
                    options.markdown.write_text(as_markdown(pairs), encoding="utf-8")
    print(f"{len(data.crops)} good crops; test {len(rest.crops)}; {options.real} real defects")
    print(as_markdown(pairs))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crops", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--real", type=int, default=10, help="real defects in each draw")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--couplings", type=int, default=8, help="in each flow")
    parser.add_argument("--positions", type=int, default=512, help="most of a level, a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work", type=Path, default=Path("accuracy_work"), help="checkpoints")
    parser.add_argument("--markdown", type=Path, help="write the table there after each pair")
    return parser.parse_args()


def drawn_defects(test: TestSet, draws: int, count: int) -> list[np.ndarray]:
    """Return each draw's indices of marked defects; no defect is in two draws.

    Raises:
        DataError: defects are not marked, or there are too few for the draws and a test.
    """
    if test.regions is None:
        raise DataError("The test crops have no regions: BGAD learns from where defects are.")
    marked = np.flatnonzero((test.kinds != GOOD) & test.regions.any(axis=(1, 2)))
    if draws * count >= len(marked):
        raise DataError(
            f"{draws} draws of {count} real defects leave none to test on: there are "
            f"{len(marked)} marked ones. Ask for fewer."
        )
    order = np.random.default_rng(0).permutation(marked)
    return [np.sort(order[i * count : (i + 1) * count]) for i in range(draws)]


def defects_of(test: TestSet, chosen: np.ndarray) -> DefectCrops:
    """Return the chosen defects as what a method learns from."""
    assert test.regions is not None
    return DefectCrops(test.crops[chosen], test.regions[chosen])


def left_over(test: TestSet, draws: Sequence[np.ndarray]) -> TestSet:
    """Return the test set without what any draw took."""
    keep = np.ones(len(test.crops), bool)
    keep[np.concatenate(draws)] = False
    regions = None if test.regions is None else test.regions[keep]
    return TestSet(test.crops[keep], test.kinds[keep], regions)


HEAD = ("Draw", "Seed", "Image AUROC without", "with", "difference",
        "Pixel AUROC without", "with", "difference")  # fmt: skip


def as_markdown(pairs: Sequence[Pair]) -> str:
    """Return all pairs and their mean as Markdown, figures in % and points."""
    rows = [
        [str(p.draw), str(p.seed), *_cells(p.without.auroc, p.with_real.auroc),
         *_cells(p.without.pixel_auroc or 0.0, p.with_real.pixel_auroc or 0.0)]
        for p in pairs
    ]  # fmt: skip
    image = [100 * (p.with_real.auroc - p.without.auroc) for p in pairs]
    pixel = [
        100 * ((p.with_real.pixel_auroc or 0.0) - (p.without.pixel_auroc or 0.0)) for p in pairs
    ]
    mean = ["mean", "", "", "", _spread(image), "", "", _spread(pixel)]
    lines = [list(HEAD), ["---"] * len(HEAD), *rows, mean]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cells(before: float, after: float) -> list[str]:
    return [f"{100 * before:.1f}", f"{100 * after:.1f}", f"{100 * (after - before):+.1f}"]


def _spread(points: Sequence[float]) -> str:
    mean = f"{statistics.mean(points):+.1f}"
    return mean if len(points) < 2 else f"{mean} (sd {statistics.stdev(points):.1f})"


if __name__ == "__main__":
    main()
