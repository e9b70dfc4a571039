"""Bare boards that differ from one another: what sees their defects, trained on templates only.

    python -m benchmarks.pcb --data DIR [--trained 60 --tested 40 --seed 0 --markdown table.md]

DIR is DeepPCB's layout: `N_test.jpg`, its defect-free `N_temp.jpg`, and `N.txt` with one
`x1 y1 x2 y2 kind` a line. Two protocols. *Excluded*: the tested boards' templates are not trained
on, and are the good pictures. *Included*, "reference known": they are trained on too. A template
would then be judged by itself, so the good pictures are the templates taken anew (`reimaged`).

Templates were cleaned by hand and tests were not, so a method can tell them apart without seeing
one defect. Three figures watch that: how well good pictures and tests are separated where no
marked defect is in sight (50 % would be nothing), how far the marked defects stand out of the tests
they are on, and how often the map's peak lies on one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.pcb_boards import (
    BOX_MARGIN_PX,
    PATCH_STRIDE,
    REACH_PX,
    Board,
    defect_grid,
    drawn,
    reimaged,
)
from edge_app.records import F32Array, F64Array, U8Array
from export.backbones.efficientnet_lite import EfficientNetLite0, load_lite0, normalise_pixels
from export.evaluation.image_metrics import auroc, auroc_difference_interval, auroc_interval
from export.methods.coreset import greedy_coreset
from export.methods.patchcore import NearestPatch
from export.methods.patches import STD_FLOOR, PatchFeatures
from export.networks.density import fit_global, squared_distances
from export.networks.terms import statistics_embedding

FLOOR_TAPS = (4, 7, 10, 14)
FLOOR_HW = (320, 320)
"""The frozen floor: one Gaussian over a board's channel means and deviations."""

PATCH_TAPS = (4,)
CORESET, CANDIDATES = 3000, 120_000
"""Patches in memory, and most patches they are chosen among."""

Protocol = Literal["excluded", "included"]

Embed = Callable[[U8Array], Tensor]
"""What a method sees of one picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """What a method sees of the pictures, one row a picture.

    Attributes:
        fitted: templates of the boards that are not judged.
        templates, reimaged, tests: of the judged boards, in one order.
    """

    fitted: Tensor
    templates: Tensor
    reimaged: Tensor
    tests: Tensor

    def under(self, protocol: Protocol) -> tuple[Tensor, Tensor, Tensor]:
        """Return what is trained on, what must pass and what must not."""
        if protocol == "excluded":
            return self.fitted, self.templates, self.tests
        return torch.cat([self.fitted, self.templates]), self.reimaged, self.tests


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One method under one protocol.

    Attributes:
        good, bad: (n,) scores, pairs by board; larger is more anomalous.
        rest: (n,) scores of the tests where no marked defect is in sight; None without a map.
        peak_on_defect: share of tests whose map peaks on a marked defect, 0..1; None likewise.
    """

    name: str
    good: F64Array
    bad: F64Array
    rest: F64Array | None = None
    peak_on_defect: float | None = None


def main() -> None:
    """Measure both methods under both protocols and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trained", type=int, default=60, help="boards whose templates are fitted")
    parser.add_argument("--tested", type=int, default=40, help="other boards, judged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fitted, tested = drawn(options.data, options.trained, options.tested, options.seed)
    lines = ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    net = load_lite0(max(FLOOR_TAPS))
    whole = embedded(partial(embed_statistics, net), fitted, tested, options.seed)
    features = PatchFeatures(PATCH_TAPS, PATCH_STRIDE, is_pooled=False).eval()
    grids = embedded(partial(embed_patches, features), fitted, tested, options.seed)
    protocols: tuple[Protocol, ...] = ("excluded", "included")
    for protocol in protocols:
        floor = floor_row(*whole.under(protocol))
        rows = [floor, memory_row(*grids.under(protocol), tested, options.seed)]
        if protocol == "included":
            rows.append(own_board_row(grids, tested))
        lines += [as_line(protocol, row, floor) for row in rows]
        print("\n".join(lines[-len(rows) :]), flush=True)
    if options.markdown is not None:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


def embedded(embed: Embed, fitted: Sequence[Board], tested: Sequence[Board], seed: int) -> Embedded:
    """Return every picture's embedding, computed once for both protocols."""
    rng = np.random.default_rng((seed, 1))
    return Embedded(
        torch.stack([embed(b.template) for b in fitted]),
        torch.stack([embed(b.template) for b in tested]),
        torch.stack([embed(reimaged(b.template, rng)) for b in tested]),
        torch.stack([embed(b.test) for b in tested]),
    )


def embed_statistics(net: EfficientNetLite0, picture_hwc: U8Array) -> Tensor:
    """Return (848,) the floor's channel means and deviations of a picture at FLOOR_HW."""
    small = cv2.resize(picture_hwc, FLOOR_HW[::-1], interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        taps = net(normalise_pixels(torch.from_numpy(small[None])), FLOOR_TAPS)
        return statistics_embedding(taps)[0]


def embed_patches(features: PatchFeatures, picture_hwc: U8Array) -> Tensor:
    """Return (d, gh, gw) patch features of a picture at its own size."""
    with torch.no_grad():
        found: Tensor = features(torch.from_numpy(picture_hwc[None]))[0]
    return found


def floor_row(templates: Tensor, good: Tensor, bad: Tensor) -> Row:
    """Return the global Gaussian's scores; all (n, 848)."""
    gaussian = fit_global(templates.double().numpy())
    scores = [np.sqrt(squared_distances(x.double().numpy(), gaussian)) for x in (good, bad)]
    return Row("global Gaussian, frozen, 320 px", scores[0], scores[1])


def patch_row(name: str, good_maps: F32Array, bad_maps: F32Array, tested: Sequence[Board]) -> Row:
    """Return the largest distances of (n, gh, gw) maps and where they peak."""
    near, seen = (
        [defect_grid(b, bad_maps.shape[1:], margin) for b in tested]
        for margin in (BOX_MARGIN_PX, REACH_PX)
    )
    return Row(
        name,
        good_maps.max((1, 2)).astype(np.float64),
        bad_maps.max((1, 2)).astype(np.float64),
        np.array([m[~on].max(initial=0.0) for m, on in zip(bad_maps, seen, strict=True)]),
        float(np.mean([on.flat[m.argmax()] for m, on in zip(bad_maps, near, strict=True)])),
    )


def memory_row(
    templates: Tensor, good: Tensor, bad: Tensor, tested: Sequence[Board], seed: int
) -> Row:
    """Return the distances to the nearest patch of any template; all (n, d, gh, gw).

    Each channel is divided by its standard deviation over the templates.
    """
    spread = templates.std((0, 2, 3), keepdim=True) + STD_FLOOR  # (1, d, 1, 1)
    memory = NearestPatch(patch_memory(templates / spread, seed))
    maps = [torch.cat([memory(x[None] / spread) for x in y]).numpy() for y in (good, bad)]
    return patch_row("nearest patch of any template", maps[0], maps[1], tested)


def own_board_row(grids: Embedded, tested: Sequence[Board]) -> Row:
    """Return the distances to the nearest patch, anywhere, of the board's own template."""
    spread = grids.fitted.std((0, 2, 3), keepdim=True) + STD_FLOOR  # (1, d, 1, 1)
    own = [NearestPatch(t.flatten(1).T) for t in grids.templates / spread]
    maps = [
        torch.cat([near(x[None]) for near, x in zip(own, y / spread, strict=True)]).numpy()
        for y in (grids.reimaged, grids.tests)
    ]
    return patch_row("nearest patch of its own template", maps[0], maps[1], tested)


def patch_memory(grids: Tensor, seed: int) -> Tensor:
    """Return (m, d) patches of (n, d, gh, gw) templates, as many from each, farthest first."""
    generator = torch.Generator().manual_seed(seed)
    share, kept = max(1, CANDIDATES // len(grids)), []
    for grid in grids:
        patches = grid.flatten(1).T  # (p, d)
        kept.append(patches[torch.randperm(len(patches), generator=generator)[:share]])
    candidates = torch.cat(kept)
    return candidates[greedy_coreset(candidates, CORESET, generator, lambda _done: None)]


HEAD = (
    "Templates of tested boards", "Method", "Image AUROC (95 %)", "minus floor (95 %, paired)",
    "good against tests away from defects", "tests away from defects against tests",
    "Peak on a marked defect",
)  # fmt: skip


def as_line(protocol: Protocol, row: Row, floor: Row) -> str:
    """Return one Markdown row, figures in %."""
    low, high = auroc_interval(row.good, row.bad)
    value = auroc(row.good, row.bad)
    cells = [protocol, row.name, f"{value:.1%} ({low:.1%} to {high:.1%})", *"––––"]
    if row is not floor:
        a, b = auroc_difference_interval((row.good, row.bad), (floor.good, floor.bad))
        gained = value - auroc(floor.good, floor.bad)
        cells[3] = f"{100 * gained:+.1f} ({100 * a:+.1f} to {100 * b:+.1f})"
    if row.rest is not None and row.peak_on_defect is not None:
        separation = (auroc(row.good, row.rest), auroc(row.rest, row.bad))
        cells[4:] = [f"{separation[0]:.1%}", f"{separation[1]:.1%}", f"{row.peak_on_defect:.0%}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
