"""The pictures of an evaluation: found, hashed, and freed of what the bundle has already seen.

`DIR/test/good`, `DIR/test/<kind>` and `DIR/ground_truth/<kind>/<stem>_mask.png` (MVTec AD), also
named `<stem>` or with `_label` or `_GT`, of any format, or beside the picture (Kolektor); or the
folders `good` and `<kind>` right inside DIR; also VisA's `DIR/Data/Images` and `DIR/Data/Masks`. A
folder OK, normal, gut or i.O., in any case, holds good parts too; folders of masks are no kinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.cameras.picture_listing import scan_folder, told_left_out, why_folder_is_left_out
from edge_app.errors import CameraUnavailable, DataError
from export.data.layouts import child_named, good_children, masks_beside
from export.data.name_meanings import MASK_FOLDERS, marked_stem, means_good
from export.evaluation.near_training import near_duplicates

GOOD = "good"
NO_KINDS = ("train", *MASK_FOLDERS)
"""Folders beside the good parts that hold no kind of defect, in any case."""


@dataclass(frozen=True, slots=True)
class TestPicture:
    """One picture to be judged.

    Attributes:
        name: relative to the folder of kinds, e.g. "scratch/001.png".
        kind: the folder's name; GOOD for good parts, whatever their folder is called.
        sha256: of the file's bytes.
        mask: the file that marks the defect's pixels, if there is one.
    """

    __test__ = False  # not a test case for pytest

    path: Path
    name: str
    kind: str
    sha256: str
    mask: Path | None

    @property
    def is_good(self) -> bool:
        return self.kind == GOOD


@dataclass(frozen=True, slots=True)
class TestPictures:
    """What is to be judged, and what was left out because the bundle rests on it.

    Attributes:
        near_training: those of `kept` that show a good part nearly as the bundle has seen it.
    """

    __test__ = False

    kept: tuple[TestPicture, ...]
    excluded: tuple[TestPicture, ...]
    warnings: tuple[str, ...] = ()
    near_training: tuple[TestPicture, ...] = ()


def scan_test_pictures(data: Path, seen_sha256: Collection[str]) -> TestPictures:
    """Return the pictures below `data`, good ones first, kinds in order of their names.

    Args:
        seen_sha256: digests of the pictures that trained the bundle or set its threshold.

    Raises:
        DataError: no such folders, or fewer than one good and one bad picture remain.
    """
    root, mask_folder = _folders(data)
    masks = _Masks(mask_folder, root)
    folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    kinds = [name for name in folders if not _is_passed_over(name)]
    left_out = _no_kinds(folders)
    found = [
        p
        for kind in sorted(kinds, key=lambda name: (not means_good(name), name != GOOD))
        for p in _of(root, kind, masks, left_out)
    ]
    left_out += _unused(mask_folder, found)
    kept = tuple(p for p in found if p.sha256 not in seen_sha256)
    excluded = tuple(p for p in found if p.sha256 in seen_sha256)
    good = sum(p.is_good for p in kept)
    if good == 0 or good == len(kept):
        raise DataError(
            f"{good} good and {len(kept) - good} defective pictures remain of {data}, at least one "
            f"of each is needed; {len(excluded)} were left out because the bundle was trained or "
            f"calibrated on them{_named(excluded)}. Add pictures that the bundle has not seen."
        )
    judged_good = [p for p in kept if p.is_good]
    near = near_duplicates([p.path for p in judged_good], data, seen_sha256)
    seen_nearly = tuple(judged_good[index] for index in sorted(near))
    return TestPictures(kept, excluded, tuple(left_out), seen_nearly)


def _folders(data: Path) -> tuple[Path, Path]:
    """Return the folder that holds `good` and the kinds, and the folder of masks."""
    inside_visa = child_named(data, "data")
    visa = child_named(inside_visa, "images") if inside_visa else None
    for root, above, masks in (
        (child_named(data, "test"), data, "ground_truth"),
        (data, data.parent if data.name.lower() == "test" else data, "ground_truth"),
        (visa, inside_visa, "masks"),
    ):
        if root and above and good_children(root):
            return root, child_named(above, masks) or above / masks
    raise DataError(
        f"{data} holds no test pictures: expected DIR/test/good and DIR/test/<kind>, or DIR/good "
        f"(OK, normal) and DIR/<kind>, got {_content(data)}."
    )


def _content(data: Path) -> str:
    if not data.is_dir():
        return "no folder of that name"
    names = sorted(p.name for p in data.iterdir())
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "") if names else "an empty folder"


def _no_kinds(folders: Sequence[str]) -> list[str]:
    """Return a sentence about folders that are no kinds; `train` and `ground_truth` are usual."""
    named = [
        n for n in folders if _is_passed_over(n) and n.lower() not in ("train", "ground_truth")
    ]
    return [f"no kinds of defect, left out: {', '.join(f'{n}/' for n in named)}"] if named else []


def _is_passed_over(name: str) -> bool:
    return name.lower() in NO_KINDS or why_folder_is_left_out(name) is not None


def _of(root: Path, kind: str, masks: _Masks, left_out: list[str]) -> list[TestPicture]:
    try:
        listing = scan_folder(root / kind)
    except CameraUnavailable:  # a folder without pictures is no kind
        return []
    if listing.left_out:
        left_out.append(f"left out of {kind}/: {told_left_out(listing.left_out)}")
    beside = masks_beside(listing.pictures)
    no_parts = {mask for found in beside.values() for mask in found}
    return [
        TestPicture(
            path,
            path.relative_to(root).as_posix(),
            GOOD if means_good(kind) else kind,
            hashlib.sha256(path.read_bytes()).hexdigest(),
            None if means_good(kind) else masks.of(path, beside.get(path, []), left_out),
        )
        for path in listing.pictures
        if path not in no_parts
    ]


class _Masks:
    """The masks below a folder, each sub-folder listed once."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self._root = folder, root
        self._inside: dict[Path, dict[str, list[Path]]] = {}

    def of(self, picture: Path, beside: Sequence[Path], left_out: list[str]) -> Path | None:
        """Return a picture's mask: beside it, or in its place below the folder of masks."""
        place = self.folder / picture.relative_to(self._root).parent
        alone = [mask for masks in self._list(place / picture.stem).values() for mask in masks]
        named = self._list(place).get(picture.stem, [])
        found = list(dict.fromkeys([*beside, *named, *alone]))
        if len(found) > 1:
            name = picture.relative_to(self._root).as_posix()
            left_out.append(f"{name} has {len(found)} masks ({found[0].name}, ...): not used")
            return None
        return found[0] if found else None

    def _list(self, folder: Path) -> dict[str, list[Path]]:
        """Return stem of the marked picture → masks right inside a folder."""
        if folder not in self._inside:
            inside: dict[str, list[Path]] = {}
            try:
                pictures = scan_folder(folder, recursive=False).pictures
            except CameraUnavailable:  # no such folder, or no picture in it
                pictures = ()
            for path in pictures:
                inside.setdefault(marked_stem(path.stem) or path.stem, []).append(path)
            self._inside[folder] = inside
        return self._inside[folder]


def _unused(masks: Path, found: Sequence[TestPicture]) -> list[str]:
    """Return a sentence about masks that fit no picture; all of them in a set without one."""
    try:
        there = scan_folder(masks).pictures
    except CameraUnavailable:
        return []
    used = {p.mask for p in found}
    unused = [p for p in there if p not in used and not means_good(p.parent.name)]
    if not unused:
        return []
    names = ", ".join(p.relative_to(masks.parent).as_posix() for p in unused[:3])
    more = f", {len(unused) - 3} more" if len(unused) > 3 else ""
    which = (
        f"none of the {len(there)} masks fits" if not used - {None} else "masks that fit no picture"
    )
    return [f"{which}: {names}{more}. Expected {masks.name}/<kind>/<picture's name>_mask.png"]


def _named(pictures: tuple[TestPicture, ...], most: int = 5) -> str:
    if not pictures:
        return ""
    names = ", ".join(p.name for p in pictures[:most])
    return f" ({names}{', ...' if len(pictures) > most else ''})"
