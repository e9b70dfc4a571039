"""One data set out of a person's own and what people marked on devices, in the build's workspace.

    OUT.work/feedback/marked/NAME.jpg|png           each marked part; its name holds device and part
    OUT.work/feedback/data/train/good/...           the pictures of --data, linked
    OUT.work/feedback/data/train/good/marked/...    good parts that join them
    OUT.work/feedback/known/CLASS/NAME...           known defects and confirmed ones, with masks

Files are linked where the disk can, else copied; the steps of a
build are kept by what pictures hold, so that making this again costs no step.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from edge_app.errors import DataError
from edge_app.records import PointXy, U8Array
from edge_app.replay.judging import place_round
from export.bundle_build.records import BuildOptions
from export.data.dataset import GoodPictures
from export.data.name_meanings import file_is_no_good
from export.data.review import read_decisions, write_decisions
from export.defects.labelled import mask_of
from export.defects.pictures import DefectPictures
from export.feedback.records import folder_name
from export.feedback_build.marked_parts import MarkedPart
from export.labels.given.read import has_labels

UNNAMED = "defect"
"""The class of a confirmed defect that nobody named: it teaches the bundle no name."""


@dataclass(frozen=True, slots=True)
class StagedPart:
    """A marked part as a build gets it.

    Attributes:
        path: its picture below `marked/`; the device's own bytes unless the part had to be taken
            out of a frame that may show others.
        sha256: of these bytes.
    """

    part: MarkedPart
    path: Path
    sha256: str


def stage(parts: Iterable[MarkedPart], folder: Path, takes_out: bool) -> list[StagedPart]:
    """Put each part's picture into a folder under a name that says whose it is.

    Args:
        takes_out: a frame may show several parts, and the mark speaks of one: what lies round it
            is painted over with the border of its surroundings, in a picture of the same size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_staged(part, folder, takes_out) for part in parts]


def _staged(part: MarkedPart, folder: Path, takes_out: bool) -> StagedPart:
    corners = part.record.corners
    if not (takes_out and corners):
        path = folder / f"{plain_name(part)}{part.path.suffix}"
        _link(part.path, path)
        return StagedPart(part, path, part.record.sha256)
    is_done, data = cv2.imencode(".png", alone(part.read(), corners))
    if not is_done:
        raise DataError(f"{part.words()} cannot be written as PNG.")
    path = folder / f"{plain_name(part)}.png"
    if not path.is_file() or path.read_bytes() != bytes(data):
        path.write_bytes(bytes(data))
    return StagedPart(part, path, hashlib.sha256(bytes(data)).hexdigest())


def plain_name(part: MarkedPart) -> str:
    """Return a part's file name without its ending; one that would read as bad loses its words."""
    stem = Path(part.record.file).stem
    return f"part-{part.record.sha256[:16]}" if file_is_no_good(stem) else stem


def alone(pixels_hwc: U8Array, corners_xy: tuple[PointXy, ...]) -> U8Array:
    """Return a frame, uint8 (h, w, 3), that shows one part's surroundings and nothing else."""
    h, w = pixels_hwc.shape[:2]
    x0, y0, x1, y1 = place_round((h, w), corners_xy)
    around = (y0, h - y1, x0, w - x1)
    filled = cv2.copyMakeBorder(pixels_hwc[y0:y1, x0:x1], *around, cv2.BORDER_REPLICATE)
    return np.asarray(filled, np.uint8)


def refuse_own_labels(options: BuildOptions, good: GoodPictures) -> None:
    """Refuse label files, which belong to pictures by their paths, unless a detector is given.

    Raises:
        DataError: says what to do.
    """
    if Path(options.detector).is_file() or not has_labels(good.folder, good.root):
        return
    raise DataError(
        f"{options.data} has label files, and pictures of marked parts have none. Train the "
        "detector from them first (edge-export detector), then build with --feedback and "
        "--detector DETECTOR.onnx."
    )


def compose(
    folder: Path,
    good: GoodPictures,
    known: DefectPictures,
    goods: Iterable[StagedPart],
    defects: Iterable[StagedPart],
    options: BuildOptions,
) -> BuildOptions:
    """Make the data set and return the build's options for it; files of a run before are removed.

    What a person decided on odd good parts (review.json) is taken over, from --data and from here.

    Args:
        good: the usable pictures of --data.
        known: the known defects that a person named, {} without any.
        goods, defects: the marked parts that join them.

    Raises:
        OSError: a file cannot be linked or copied.
    """
    data, kinds = folder / "data", folder / "known"
    wanted = {data / "train/good" / p.name: p.path for p in good.pictures}
    wanted |= {data / "train/good/marked" / s.path.name: s.path for s in goods}
    marked = {kinds / _kind(s) / s.path.name: s for s in defects}
    wanted |= {place: s.path for place, s in marked.items()}
    wanted |= {p.with_name(f"{p.stem}_mask.png"): m for p, s in marked.items() if (m := _mask(s))}
    for picture in known.pictures:
        wanted[kinds / picture.name] = picture.path
        mask = mask_of(picture)
        if mask is not None:
            wanted[(kinds / picture.name).with_name(mask.name)] = mask
    _make(folder, wanted)
    data.mkdir(parents=True, exist_ok=True)
    decided = {**read_decisions(options.data), **read_decisions(data)}
    if decided:
        write_decisions(data, decided)
    has_defects = bool(marked or known.pictures)
    return replace(options, data=data, known_defects=kinds if has_defects else None)


def _make(folder: Path, wanted: dict[Path, Path]) -> None:
    for top in (folder / "data" / "train", folder / "known"):
        for file in sorted(top.rglob("*")) if top.is_dir() else ():
            if file.is_file() and file not in wanted:
                file.unlink()
    for place, source in wanted.items():
        _link(source, place)


def _link(source: Path, place: Path) -> None:
    """Make a file with the source's bytes; one that is there and is the same stays."""
    if place.is_file():
        if place.samefile(source) or _same_bytes(place, source):
            return
        place.unlink()
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), place)
    except OSError:  # another disk, or one without links
        partial = place.with_name(f".{place.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(place)


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _kind(staged: StagedPart) -> str:
    name = folder_name(staged.part.record.defect_class)
    return "" if name == UNNAMED else name


def _mask(staged: StagedPart) -> Path | None:
    """Return the mask of a part whose picture is the device's own frame, if there is one."""
    record = staged.part.record
    if not record.mask:
        return None
    root = staged.part.path.parents[len(Path(record.file).parts) - 1]
    mask = root / record.mask
    return mask if mask.is_file() else None
