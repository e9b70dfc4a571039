"""The pictures of good parts a person brings: found, read, hashed, and nothing else touched.

`layouts.py` says where they lie. Nothing under a folder named `test` or `ground_truth` is opened.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.cameras.picture_listing import LeftOut, scan_folder, told_left_out
from edge_app.cameras.pictures import read_picture
from edge_app.errors import CameraError, DataError
from edge_app.records import U8Array
from export.data.layouts import choose_good, find_good_folder, pictures_elsewhere, told_counts
from export.data.name_meanings import NEVER_TRAINED

MIN_PICTURES = 20
"""Fewer good parts than this cannot both fit a density and be held out for a threshold."""

FEW_PICTURES = 100
"""Below this the report warns: the threshold rests on a handful of hold-out parts."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One readable picture of good parts.

    Attributes:
        path: where it lies.
        name: relative to the folder of good pictures; what reports print.
        sha256: of the file's bytes.
        hw: (height, width) in pixels.
    """

    path: Path
    name: str
    sha256: str
    hw: tuple[int, int]

    def read(self) -> U8Array:
        """Return the pixels, uint8 (h, w, 3) BGR."""
        return read_picture(self.path)


@dataclass(frozen=True, slots=True)
class GoodPictures:
    """All of them, with warnings for a person.

    Attributes:
        folder: where they were found.
        pictures: sorted by name; duplicates (same bytes) are in it once.
        warnings: sentences for the terminal and the report.
        elsewhere: what else the data set holds, counted by folder; empty for nothing.
    """

    folder: Path
    pictures: tuple[Picture, ...]
    warnings: tuple[str, ...]
    elsewhere: str = ""


def scan_good_pictures(data: Path, min_pictures: int = MIN_PICTURES) -> GoodPictures:
    """Read every good picture once and return what is usable.

    Raises:
        DataError: the folder is missing, a name in it means bad parts (before anything is read),
            or fewer than `min_pictures` are readable.
    """
    folder = find_good_folder(data)
    seen: dict[str, Picture] = {}
    grey: set[str] = set()
    unreadable: list[str] = []
    copies = 0
    listing = scan_folder(folder)
    chosen = choose_good(folder, listing.pictures)
    elsewhere = pictures_elsewhere(data, folder)
    for path in chosen.paths:
        name = path.relative_to(folder).as_posix()
        try:
            pixels = read_picture(path)
        except CameraError:
            unreadable.append(name)
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        copies += digest in seen
        hw = (int(pixels.shape[0]), int(pixels.shape[1]))
        seen.setdefault(digest, Picture(path, name, digest, hw))
        if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all():
            grey.add(digest)
    pictures = tuple(sorted(seen.values(), key=lambda p: p.name))
    if len(pictures) < min_pictures:
        raise DataError(
            f"{folder} holds {len(pictures)} different readable pictures, at least {min_pictures} "
            f"are needed (a few hundred are better){_besides(chosen.passed_over)}: take more "
            "pictures of good parts."
        )
    warnings = _warnings(pictures, unreadable, copies, len(grey))
    left_out = (*_left_out(listing.left_out), *_not_taken(chosen.passed_over, elsewhere))
    return GoodPictures(folder, pictures, (*left_out, *warnings), told_counts(elsewhere))


def _besides(passed_over: Counter[str]) -> str:
    return f"; not taken: {told_counts(passed_over)}" if passed_over else ""


def _not_taken(passed_over: Counter[str], elsewhere: Counter[str]) -> tuple[str, ...]:
    """Return a warning about pictures that are not trained on, where that is not the usual."""
    usual = [name for name in elsewhere if name.split("/")[0].lower() in NEVER_TRAINED]
    counts = passed_over + Counter({n: c for n, c in elsewhere.items() if n not in usual})
    return (f"not taken for good parts: {told_counts(counts)}",) if counts else ()


def _left_out(items: Sequence[LeftOut]) -> tuple[str, ...]:
    """Return a warning about what is no picture; `.txt` files may be a person's labels."""
    told = told_left_out([item for item in items if not item.name.lower().endswith(".txt")])
    return (f"left out: {told}",) if told else ()


def _warnings(
    pictures: tuple[Picture, ...], unreadable: list[str], copies: int, grey: int
) -> tuple[str, ...]:
    warnings = []
    if 0 < grey < len(pictures):
        warnings.append(
            f"{grey} of {len(pictures)} pictures are grey, the others in colour: take all of them "
            "the way the line's camera will"
        )
    if unreadable:
        warnings.append(f"{len(unreadable)} pictures cannot be read: {', '.join(unreadable[:5])}")
    if copies:
        warnings.append(f"{copies} pictures are byte-identical copies of others and count once")
    if len(pictures) < FEW_PICTURES:
        warnings.append(
            f"only {len(pictures)} good pictures: the threshold rests on few hold-out parts"
        )
    sizes = Counter(p.hw for p in pictures)
    if len(sizes) > 1:
        common = ", ".join(f"{w}×{h} ({n})" for (h, w), n in sizes.most_common(3))
        warnings.append(f"pictures have {len(sizes)} different sizes: {common}")
    return tuple(warnings)


def digests_of(pictures: Sequence[Picture]) -> list[str]:
    """Return every picture's SHA-256, in their order: the key of what was learnt from them."""
    return [p.sha256 for p in pictures]
