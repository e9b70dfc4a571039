"""Everything a build needs to know of a folder of pictures, from reading each of them once.

Nothing is judged here: `dataset.py` refuses and warns, `edge-export check-data` shows all of it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from calibration.parts.groups import groups_of, thumbnail
from edge_app.cameras.picture_figures import grey_range, sparse_grey
from edge_app.cameras.picture_health import BLACK_BELOW, WHITE_ABOVE
from edge_app.cameras.picture_listing import LeftOut, scan_folder
from edge_app.cameras.pictures import load_picture
from edge_app.errors import CameraError
from edge_app.records import F32Array, U8Array
from export.data.layouts import choose_good, find_good_folder, pictures_elsewhere
from export.data.picture import Picture

BLACK, WHITE, EVEN = "almost black", "almost white", "the same grey level everywhere"


@dataclass(slots=True)
class Looks:
    """What was noticed while reading, by name.

    Attributes:
        unreadable: name → why.
        copies: name → the picture whose bytes it repeats.
        blank: name → BLACK, WHITE or EVEN.
        grey: names of pictures without colour.
        notes: what the reader did (`edge_app.cameras.pictures`) → number of pictures.
        depths: bits of a sample in the file → number of pictures.
        endings: `.png` → number of pictures.
    """

    unreadable: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    blank: dict[str, str] = field(default_factory=dict)
    grey: set[str] = field(default_factory=set)
    notes: Counter[str] = field(default_factory=Counter)
    depths: Counter[int] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """A folder of good parts and what lies round it.

    Attributes:
        root: the data set's folder, as it was named.
        folder: where the good parts are.
        pictures: sorted by name, each with its group; the same bytes are in it once.
        thumbs: (48, 48) float32 of every picture, as `groups.thumbnail` gives them.
        looks: what was noticed.
        left_out: files and folders there that are no pictures.
        passed_over: pictures there that are not taken, by folder or reason.
        elsewhere: pictures of the data set outside that folder, by folder.
    """

    root: Path
    folder: Path
    pictures: tuple[Picture, ...]
    thumbs: tuple[F32Array, ...]
    looks: Looks
    left_out: tuple[LeftOut, ...]
    passed_over: Counter[str]
    elsewhere: Counter[str]

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """(height, width) → number of pictures."""
        return Counter(p.hw for p in self.pictures)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The names of near-duplicates, largest group first; pictures of their own are left out."""
        by_part: dict[str, list[str]] = {}
        for picture in self.pictures:
            by_part.setdefault(picture.part, []).append(picture.name)
        several = [tuple(names) for names in by_part.values() if len(names) > 1]
        return tuple(sorted(several, key=lambda names: (-len(names), names)))


def survey_good(data: Path) -> Survey:
    """Read every picture of good parts below `data` once.

    Raises:
        DataError: no such folder, or a name in it means bad parts; before a picture is opened.
        CameraUnavailable: it holds no picture at all, or cannot be listed.
    """
    folder = find_good_folder(data)
    listing = scan_folder(folder)
    chosen = choose_good(folder, listing.pictures)
    seen: dict[str, Picture] = {}
    thumbs: dict[str, F32Array] = {}
    looks = Looks()
    for path in chosen.paths:
        _look(path, folder, seen, thumbs, looks)
    pictures = _grouped(sorted(seen.values(), key=lambda p: p.name), thumbs)
    return Survey(
        data,
        folder,
        pictures,
        tuple(thumbs[p.sha256] for p in pictures),
        looks,
        listing.left_out,
        chosen.passed_over,
        pictures_elsewhere(data, folder),
    )


def _look(
    path: Path,
    folder: Path,
    seen: dict[str, Picture],
    thumbs: dict[str, F32Array],
    looks: Looks,
) -> None:
    name = path.relative_to(folder).as_posix()
    try:
        loaded = load_picture(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (CameraError, OSError) as error:
        looks.unreadable[name] = str(error)
        return
    looks.notes.update(loaded.notes)
    looks.depths[loaded.bits] += 1
    looks.endings[path.suffix.lower()] += 1
    if digest in seen:
        looks.copies[name] = seen[digest].name
        return
    pixels = loaded.pixels_hwc
    seen[digest] = Picture(path, name, digest, (int(pixels.shape[0]), int(pixels.shape[1])))
    thumbs[digest] = thumbnail(pixels)
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(
        pixels[..., 1], pixels[..., 2]
    ):
        looks.grey.add(name)
    blank = _blank(pixels)
    if blank:
        looks.blank[name] = blank


def _blank(pixels_hwc: U8Array) -> str:
    """Return why a picture can hold no part, "" where it can."""
    darkest, brightest = grey_range(sparse_grey(pixels_hwc))
    if brightest < BLACK_BELOW:
        return BLACK
    if darkest > WHITE_ABOVE:
        return WHITE
    return EVEN if brightest - darkest < BLACK_BELOW else ""


def _grouped(pictures: list[Picture], thumbs: dict[str, F32Array]) -> tuple[Picture, ...]:
    """Return the pictures, each with the smallest digest among its near-duplicates."""
    numbers = groups_of([thumbs[p.sha256] for p in pictures], lambda i: pictures[i].read())
    smallest: dict[int, str] = {}
    for picture, number in zip(pictures, numbers, strict=True):
        smallest[number] = min(smallest.get(number, picture.sha256), picture.sha256)
    return tuple(replace(p, group=smallest[n]) for p, n in zip(pictures, numbers, strict=True))
