"""Methods that rebuild a part, on a texture and on an object: a synthetic carpet and bottle.

    python -m benchmarks.texture_object --steps 300 --gan-steps 1500

A texture never repeats at the same place, an object does: a network that must draw the whole
picture from a few numbers can learn the object and not the texture. PaDiM and PatchCore stand
beside them to show how well the blemishes can be seen otherwise. Both sets are drawn here, 64 × 64
pixels, with the same blemishes. Everything is judged through ONNX Runtime.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.accuracy import TestSet, judged, open_session
from benchmarks.accuracy_figures import Figures, figures_of
from edge_app.records import F32Array, U8Array
from edge_app.simulator.texture import smooth_noise
from export.cli.progress import ConsoleProgress
from export.evaluation.data import GOOD
from export.methods.autoencoder import AutoencoderMethod, AutoencoderSettings
from export.methods.fanogan import FAnoGan, FAnoGanSettings
from export.methods.onnx_file import write_graph
from export.methods.padim import PaDiM, PaDiMSettings
from export.methods.patchcore import PatchCore, PatchCoreSettings
from export.methods.protocol import Method, TrainingSet, TrainSettings

HW = (64, 64)

WEAVE_GREY = 30.0
"""Amplitude of the carpet's knots, grey levels."""

GRAIN_GREY = 3.5

Draw = Callable[[np.random.Generator], F32Array]
"""Draws one good picture, float32 (h, w), grey levels."""


def main() -> None:
    """Draw both sets, train, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--good", type=int, default=300, help="for training")
    parser.add_argument("--test", type=int, default=100, help="good ones, and as many blemished")
    parser.add_argument("--steps", type=int, default=300, help="of the autoencoders")
    parser.add_argument("--gan-steps", type=int, default=1500, help="of f-AnoGAN")
    parser.add_argument(
        "--blemish-grey", type=float, default=25.0, help="how much darker or brighter a blemish is"
    )
    parser.add_argument("--methods", nargs="+", choices=methods(1, 1), help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("accuracy_work"), help="checkpoints")
    parser.add_argument("--pictures", type=Path, help="write a sheet of both sets there")
    parser.add_argument("--markdown", type=Path, help="write the table there after each row")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    sets = {name: drawn_set(
            draw, options.good, options.test, options.blemish_grey, options.seed
        )
            for name, draw in (("texture", texture), ("object", thing))}  # fmt: skip
    if options.pictures is not None:
        cv2.imwrite(str(options.pictures), sheet([test for _, test in sets.values()]))
    rows: list[Row] = []
    with ConsoleProgress() as progress:
        known = methods(options.steps, options.gan_steps)
        for name in options.methods or known:
            method, steps = known[name]
            settings = TrainSettings(options.seed, steps, "cpu", options.work)
            found = {
                kind: figures(method, data, test, settings, progress, f"{name}, {kind}")
                for kind, (data, test) in sets.items()
            }
            rows.append(Row(name, found["texture"], found["object"]))
            if options.markdown is not None:
                options.markdown.write_text(as_markdown(rows), encoding="utf-8")
    print(as_markdown(rows))


def methods(steps: int, gan_steps: int) -> dict[str, tuple[Method, int]]:
    """Return what is compared: small settings for 64 × 64 pixels and two cores."""
    small = AutoencoderSettings(latent=64)
    gan = FAnoGanSettings(latent=16, width=8, batch=16, learning_rate=0.001, gan_share=0.6)
    return {
        "padim": (PaDiM(settings=PaDiMSettings(taps=(4, 7), stride=8, dimensions=80)), 1),
        "patchcore": (PatchCore(settings=PatchCoreSettings(stride=8, coreset=500)), 1),
        "autoencoder-l2": (AutoencoderMethod("autoencoder-l2", small), steps),
        "autoencoder-ssim": (AutoencoderMethod("autoencoder-ssim", small), steps),
        "f-anogan": (FAnoGan(settings=gan), gan_steps),
    }


def texture(rng: np.random.Generator) -> F32Array:
    """Return a piece of carpet: knots in a slack weave, its phase and slack new in each picture."""
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float32)
    slack_y, slack_x = (1.5 * smooth_noise(rng, HW, 12) for _ in range(2))
    phase_y, phase_x = rng.uniform(0, 2 * np.pi, 2)
    weave = np.sin((y + slack_y) * 0.9 + phase_y) * np.sin((x + slack_x) * 0.7 + phase_x)
    return np.asarray(120 + WEAVE_GREY * weave + 4 * smooth_noise(rng, HW, 20), np.float32)


def thing(rng: np.random.Generator) -> F32Array:
    """Return a bottle's mouth from above: rings at the same place, give or take half a pixel."""
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float32)
    dy, dx = rng.uniform(-0.5, 0.5, 2)
    radius = np.hypot(y - HW[0] / 2 - dy, x - HW[1] / 2 - dx)
    rings = 60 / (1 + np.exp(radius - 26)) + 60 / (1 + np.exp(radius - 18))
    mouth = 70 / (1 + np.exp(radius - 9))
    return np.asarray(70 + rings - mouth, np.float32)


def blemished(
    rng: np.random.Generator, grey_hw: F32Array, blemish_grey: float
) -> tuple[F32Array, U8Array]:
    """Return the picture with one soft dark or bright spot near its middle, and where it is.

    Args:
        rng: decides where, how wide, and whether dark or bright.
        grey_hw: float32 (h, w).
        blemish_grey: change at the spot's middle, grey levels.
    """
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float32)
    cy, cx = rng.uniform(16, 48, 2)
    radius = rng.uniform(3, 5)
    spot = np.exp(-0.5 * (((y - cy) ** 2 + (x - cx) ** 2) / (radius / 1.5) ** 2))
    sign = 1 if rng.random() < 0.5 else -1
    there = (np.hypot(y - cy, x - cx) <= radius).astype(np.uint8)
    return np.asarray(grey_hw + sign * blemish_grey * spot, np.float32), there


def drawn_set(
    draw: Draw, good: int, test: int, blemish_grey: float, seed: int
) -> tuple[TrainingSet, TestSet]:
    """Return good pictures for training, and good and blemished ones for testing."""
    rng = np.random.default_rng(seed)
    crops = np.stack([as_crop(rng, draw(rng)) for _ in range(good)])
    fine = np.stack([as_crop(rng, draw(rng)) for _ in range(test)])
    bad, regions = [], []
    for _ in range(test):
        grey, there = blemished(rng, draw(rng), blemish_grey)
        bad.append(as_crop(rng, grey))
        regions.append(there)
    kinds = np.array([GOOD] * test + ["spot"] * test)
    where = np.concatenate([np.zeros((test, *HW), np.uint8), np.stack(regions)])
    return TrainingSet(crops, None), TestSet(np.concatenate([fine, np.stack(bad)]), kinds, where)


def as_crop(rng: np.random.Generator, grey_hw: F32Array) -> U8Array:
    """Return uint8 (h, w, 3) with grain."""
    grainy = grey_hw + rng.normal(0, GRAIN_GREY, HW)
    return np.repeat(np.clip(np.round(grainy), 0, 255).astype(np.uint8)[:, :, None], 3, 2)


def sheet(tests: list[TestSet], each: int = 6) -> U8Array:
    """Return good pictures above blemished ones, the sets side by side, twice as large."""
    columns = []
    for test in tests:
        fine, bad = test.crops[test.kinds == GOOD], test.crops[test.kinds != GOOD]
        columns += [np.concatenate([f, b]) for f, b in zip(fine[:each], bad[:each], strict=True)]
    small = np.concatenate(columns, axis=1)
    return np.asarray(small.repeat(2, 0).repeat(2, 1), np.uint8)


def figures(
    method: Method, data: TrainingSet, test: TestSet, settings: TrainSettings,
    progress: ConsoleProgress, row: str,
) -> Figures:  # fmt: skip
    """Train, export and judge one method on one set."""
    trained = method.train(data, settings, partial(progress.show, row))
    settings.work.mkdir(parents=True, exist_ok=True)
    path = settings.work / f"{method.name}.onnx"
    write_graph(trained, data.crop_hw, path)
    scores, maps = judged(open_session(path, torch.get_num_threads()), test.crops)
    return figures_of(scores, maps, test.kinds, test.regions)


@dataclass(frozen=True, slots=True)
class Row:
    """One method on both sets."""

    name: str
    texture: Figures
    object: Figures


HEAD = ("Method", "Image AUROC, texture (95 %)", "object (95 %)",
        "Pixel AUROC, texture", "object")  # fmt: skip


def as_markdown(rows: list[Row]) -> str:
    """Return the table as Markdown, figures in %."""
    lines = [list(HEAD), ["---"] * len(HEAD)]
    for row in rows:
        both = (row.texture, row.object)
        images = [f"{f.auroc:.1%} ({f.interval[0]:.1%} to {f.interval[1]:.1%})" for f in both]
        lines.append([row.name, *images, *(f"{f.pixel_auroc or 0.0:.1%}" for f in both)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
