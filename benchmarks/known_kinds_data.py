"""Labelled defects of deep_pcb (boxes) and magnetic_tile (masks) for `benchmarks.known_kinds`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from edge_app.cameras.pictures import read_picture
from edge_app.imaging.upright_crop import CropSpec, whole_frame_box
from edge_app.inspection.judge import Limits, find_defects
from edge_app.records import Anomaly, PointXy
from export.defects.labelled import KnownDefect, outlines_of

PCB_KINDS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
"""In the order of the numbers 1 to 6 in its text files."""

LABELLED_SHARE = 0.2
"""Of the boards, the first by number: neighbours on one panel do not fall on both sides."""

MAP_STRIDE = 4
"""Frame pixels per map pixel, as inspectors export their maps."""

TEMPLATE_LIMITS = Limits(0.0, 40.0, "difference")
"""Grey levels of mean difference in a map pixel: read off the labelled boards, where lower finds
ragged edges and higher loses mouse bites."""


def labelled_defects(data: Path) -> tuple[list[KnownDefect], list[KnownDefect] | None]:
    """Return the defects to draw examples from, and those to test on (None: all not drawn)."""
    boards = sorted(data.glob("*_test.jpg"))
    if not boards:
        return _tiles(data), None
    count = round(LABELLED_SHARE * len(boards))
    return _boards(boards[:count]), _boards(boards[count:])


def _boards(boards: list[Path]) -> list[KnownDefect]:
    found = []
    for board in boards:
        text = board.with_name(board.name.replace("_test.jpg", ".txt")).read_text()
        for line in text.splitlines():
            x0, y0, x1, y1, kind = map(int, line.split())
            outline: tuple[PointXy, ...] = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
            read = partial(read_picture, board)
            found.append(KnownDefect(board.name, read, outline, 0.0, PCB_KINDS[kind - 1]))
    return found


def _tiles(data: Path) -> list[KnownDefect]:
    """Return the largest area of every mask: one defect a picture."""
    found = []
    for mask in sorted((data / "ground_truth").glob("*/*_mask.png")):
        (picture,) = (data / "test" / mask.parent.name).glob(mask.stem.removesuffix("_mask") + ".*")
        outline = outlines_of(read_picture(mask))[0]
        read = partial(read_picture, picture)
        found.append(KnownDefect(picture.name, read, outline, 0.0, mask.parent.name))
    return found


def found_on_boards(data: Path, names: set[str]) -> list[KnownDefect]:
    """Return what `find_defects` outlines on maps of |board − template|, whole frame as product."""
    found = []
    for name in sorted(names):
        board = read_picture(data / name)
        template = read_picture(data / name.replace("_test", "_temp"))
        h, w = board.shape[:2]
        difference = cv2.absdiff(board, template).mean(axis=2).astype(np.float32)
        small = cv2.resize(difference, (w // MAP_STRIDE, h // MAP_STRIDE), interpolation=3)
        spec = CropSpec((h, w), 0.0, stretch=True)
        defects = find_defects(Anomaly(1.0, small), whole_frame_box((h, w)), spec, TEMPLATE_LIMITS)
        read = partial(read_picture, data / name)
        found += [
            KnownDefect(name, read, d.polygon_xy, 0.0, "")
            for d in defects
            if not d.weak_localisation
        ]
    return found


def is_met(region: KnownDefect, labelled: KnownDefect) -> bool:
    """Tell whether a region's middle lies in the labelled box, or the box's in the region's."""
    a, b = (np.asarray(d.polygon_xy) for d in (region, labelled))
    return _holds(b, a) or _holds(a, b)


def _holds(outline: np.ndarray, other: np.ndarray) -> bool:
    low, high = outline.min(axis=0), outline.max(axis=0)
    middle = (other.min(axis=0) + other.max(axis=0)) / 2
    return bool((middle >= low).all() and (middle <= high).all())
