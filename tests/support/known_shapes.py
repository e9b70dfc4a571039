"""Drawn defects of three kinds on a textured tile, for the tests of known defect kinds."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge_app.records import U8Array
from export.defects.labelled import KnownDefect, outlines_of

HW = (80, 96)
KINDS = ("blot", "ring", "scratch")


def drawn(kind: str, seed: int) -> tuple[U8Array, U8Array]:
    """Return a tile with one defect, and its mask, both uint8 (h, w, 3)."""
    rng = np.random.default_rng([KINDS.index(kind), seed])
    noise = cv2.GaussianBlur(rng.normal(0, 30, (*HW, 3)), (0, 0), 2.0)
    pixels = (110 + 4 * noise).clip(0, 255).astype(np.uint8)
    mask = np.zeros((*HW, 3), np.uint8)
    x, y = int(rng.integers(20, HW[1] - 20)), int(rng.integers(20, HW[0] - 20))
    radius = int(rng.integers(5, 9))
    if kind == "scratch":
        angle = rng.uniform(0, np.pi)
        step = np.round(1.6 * radius * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        for canvas, grey in ((pixels, 240), (mask, 255)):
            cv2.line(canvas, (x - step[0], y - step[1]), (x + step[0], y + step[1]), (grey,) * 3, 2)
    else:
        width = 2 if kind == "ring" else cv2.FILLED
        for canvas, grey in ((pixels, 5), (mask, 255)):
            cv2.circle(canvas, (x, y), radius, (grey,) * 3, width)
    return pixels, mask


def shapes(count: int, first_seed: int, kinds: tuple[str, ...] = KINDS) -> list[KnownDefect]:
    """Return `count` labelled defects of each kind, each in a picture of its own."""
    found = []
    for kind in kinds:
        for seed in range(first_seed, first_seed + count):
            pixels, mask = drawn(kind, seed)
            read = partial(np.copy, pixels)
            found.append(KnownDefect(f"{kind}{seed}", read, outlines_of(mask)[0], 0.0, kind))
    return found


def write_shapes(folder: Path, count: int, kinds: tuple[str, ...] = KINDS) -> Path:
    """Write pictures and masks, one sub-folder per kind; return the folder."""
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for seed in range(count):
            pixels, mask = drawn(kind, seed)
            cv2.imwrite(str(folder / kind / f"{seed:02d}.png"), pixels)
            cv2.imwrite(str(folder / kind / f"{seed:02d}_mask.png"), mask)
    return folder
