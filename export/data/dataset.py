"""The pictures of good parts a person brings: found, read, hashed, and nothing else touched.

`DIR/train/good`, `DIR/good` or `DIR` itself holds them. Nothing under a folder named `test` or
`ground_truth` is ever opened.
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

MIN_PICTURES = 20
"""Fewer good parts than this cannot both fit a density and be held back for a threshold."""

FEW_PICTURES = 100
"""Below this the report warns: the threshold rests on a handful of hold-out parts."""

FORBIDDEN_FOLDERS = ("test", "ground_truth")


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
    """

    folder: Path
    pictures: tuple[Picture, ...]
    warnings: tuple[str, ...]


def find_good_folder(data: Path) -> Path:
    """Return the folder of good pictures below `data`.

    Raises:
        DataError: there is none, or it is a folder that must not be trained on.
    """
    if data.name in FORBIDDEN_FOLDERS:
        raise DataError(
            f"{data} is a {'/'.join(FORBIDDEN_FOLDERS)} folder: nothing there is trained on. "
            "Name the data set's folder, the one that holds train/good."
        )
    for candidate in (data / "train" / "good", data / "good", data):
        if candidate.is_dir():
            _refuse_kind_of_defect(candidate)
            return candidate
    raise DataError(f"{data} is no folder. Expected DIR/train/good with pictures of good parts.")


def _refuse_kind_of_defect(folder: Path) -> None:
    """Refuse `test/crack`, and `crack` beside a folder `good`: those are defects."""
    beside = folder.absolute().parent
    if folder.name != "good" and (beside.name in FORBIDDEN_FOLDERS or (beside / "good").is_dir()):
        raise DataError(
            f"{folder} looks like a folder of defects (it lies in {beside.name}/, beside good "
            "parts). Name the folder of good parts, or the data set's folder above it."
        )


def scan_good_pictures(data: Path, min_pictures: int = MIN_PICTURES) -> GoodPictures:
    """Read every good picture once and return what is usable.

    Raises:
        DataError: the folder is missing, or fewer than `min_pictures` are readable.
    """
    folder = find_good_folder(data)
    seen: dict[str, Picture] = {}
    grey: set[str] = set()
    unreadable: list[str] = []
    copies = 0
    listing = scan_folder(folder)
    for path in listing.pictures:
        name = path.relative_to(folder).as_posix()
        if any(part in FORBIDDEN_FOLDERS for part in Path(name).parts[:-1]):
            continue
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
            "are needed (a few hundred are better): take more pictures of good parts."
        )
    warnings = _warnings(pictures, unreadable, copies, len(grey))
    return GoodPictures(folder, pictures, (*_left_out(listing.left_out), *warnings))


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
