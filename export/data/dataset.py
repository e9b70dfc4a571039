"""The pictures of good parts a person brings: found, read, hashed, and nothing else touched.

`layouts.py` says where they lie. Nothing under a folder named `test` or `ground_truth` is opened.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_app.cameras.picture_listing import LeftOut, scan_folder, told_left_out
from edge_app.cameras.pictures import load_picture, read_picture
from edge_app.errors import CameraError, DataError
from edge_app.records import F32Array, U8Array
from export.data.groups import groups_of, thumbnail
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
        group: the smallest digest among its near-duplicates in the set; "" for its own.
    """

    path: Path
    name: str
    sha256: str
    hw: tuple[int, int]
    group: str = ""

    @property
    def part(self) -> str:
        """What near-duplicates (export/data/groups.py) have in common, whatever their names."""
        return self.group or self.sha256

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
        thumbs: (48, 48) float32 of every picture, as `groups.thumbnail` gives them.
    """

    folder: Path
    pictures: tuple[Picture, ...]
    warnings: tuple[str, ...]
    elsewhere: str = ""
    thumbs: tuple[F32Array, ...] = field(default=(), compare=False, repr=False)

    @property
    def parts(self) -> int:
        """How many different parts there are, near-duplicates counted once."""
        return len({p.part for p in self.pictures})


def scan_good_pictures(data: Path, min_pictures: int = MIN_PICTURES) -> GoodPictures:
    """Read every good picture once and return what is usable.

    Raises:
        DataError: the folder is missing, a name in it means bad parts (before anything is read),
            or fewer than `min_pictures` are readable.
    """
    folder = find_good_folder(data)
    seen: dict[str, Picture] = {}
    thumbs: dict[str, F32Array] = {}
    grey: set[str] = set()
    notes: Counter[str] = Counter()
    unreadable: list[str] = []
    copies = 0
    listing = scan_folder(folder)
    chosen = choose_good(folder, listing.pictures)
    elsewhere = pictures_elsewhere(data, folder)
    for path in chosen.paths:
        name = path.relative_to(folder).as_posix()
        try:
            loaded = load_picture(path)
        except CameraError:
            unreadable.append(name)
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        copies += digest in seen
        pixels = loaded.pixels_hwc
        notes.update(loaded.notes)
        hw = (int(pixels.shape[0]), int(pixels.shape[1]))
        seen.setdefault(digest, Picture(path, name, digest, hw))
        thumbs.setdefault(digest, thumbnail(pixels))
        if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all():
            grey.add(digest)
    pictures = _grouped(sorted(seen.values(), key=lambda p: p.name), thumbs)
    good = GoodPictures(
        folder,
        pictures,
        (),
        told_counts(elsewhere),
        tuple(thumbs[p.sha256] for p in pictures),
    )
    _refuse_too_few(good, min_pictures, chosen.passed_over)
    return replace(
        good,
        warnings=(
            *_left_out(listing.left_out),
            *_not_taken(chosen.passed_over, elsewhere),
            *(f"{count} pictures have {note}" for note, count in sorted(notes.items())),
            *_warnings(good, unreadable, copies, len(grey)),
        ),
    )


def _grouped(pictures: list[Picture], thumbs: dict[str, F32Array]) -> tuple[Picture, ...]:
    """Return the pictures, each with the smallest digest among its near-duplicates."""
    numbers = groups_of([thumbs[p.sha256] for p in pictures], lambda i: pictures[i].read())
    smallest: dict[int, str] = {}
    for picture, number in zip(pictures, numbers, strict=True):
        smallest[number] = min(smallest.get(number, picture.sha256), picture.sha256)
    return tuple(replace(p, group=smallest[n]) for p, n in zip(pictures, numbers, strict=True))


def _refuse_too_few(good: GoodPictures, needed: int, passed_over: Counter[str]) -> None:
    if len(good.pictures) < needed:
        raise DataError(
            f"{good.folder} holds {len(good.pictures)} different readable pictures, at least "
            f"{needed} are needed (a few hundred are better){_besides(passed_over)}: take more "
            "pictures of good parts."
        )
    if good.parts < needed:
        raise DataError(
            f"{good.folder} holds {len(good.pictures)} pictures, but they show only {good.parts} "
            f"different parts or moments, at least {needed} are needed: frames of a video and "
            f"re-saved copies count once{_alike(good.pictures)}. Take pictures of more parts."
        )


def _alike(pictures: Sequence[Picture]) -> str:
    """Return e.g. ` (a.png, b.png and c.png are one)`: the largest group."""
    by_part: dict[str, list[str]] = {}
    for picture in pictures:
        by_part.setdefault(picture.part, []).append(picture.name)
    largest = max(by_part.values(), key=len)
    *most, last = largest[:3] if len(largest) <= 3 else [*largest[:3], f"{len(largest) - 3} more"]
    return f" ({', '.join(most)} and {last} are one)" if most else ""


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


def _warnings(good: GoodPictures, unreadable: list[str], copies: int, grey: int) -> tuple[str, ...]:
    pictures, warnings = good.pictures, []
    if 0 < grey < len(pictures):
        warnings.append(
            f"{grey} of {len(pictures)} pictures are grey, the others in colour: take all of them "
            "the way the line's camera will"
        )
    if unreadable:
        warnings.append(f"{len(unreadable)} pictures cannot be read: {', '.join(unreadable[:5])}")
    if copies:
        warnings.append(f"{copies} pictures are byte-identical copies of others and count once")
    if good.parts < len(pictures):
        warnings.append(
            f"{len(pictures)} pictures show {good.parts} different parts or moments: near-"
            f"duplicates{_alike(pictures)} stay on one side of the hold-out split"
        )
    if good.parts < FEW_PICTURES:
        warnings.append(
            f"only {good.parts} good pictures: the threshold rests on few hold-out parts"
        )
    sizes = Counter(p.hw for p in pictures)
    if len(sizes) > 1:
        common = ", ".join(f"{w}×{h} ({n})" for (h, w), n in sizes.most_common(3))
        warnings.append(f"pictures have {len(sizes)} different sizes: {common}")
    return tuple(warnings)


def digests_of(pictures: Sequence[Picture]) -> list[str]:
    """Return every picture's SHA-256, in their order: the key of what was learnt from them."""
    return [p.sha256 for p in pictures]
