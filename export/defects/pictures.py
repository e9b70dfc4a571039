"""Pictures of real defects that a person copied out: one sub-folder per kind, or plain files.

They are never part of a data set's `test/`: whoever wants them used names their folder, and
their digests go into the bundle, so that no evaluation counts them. Folders of good parts and of
masks in it are left out and named; a mask beside its picture (`NAME_mask.png`) marks the defect. A
picture that is also among the good parts is refused.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_app.cameras.picture_listing import scan_folder, told_left_out
from edge_app.cameras.pictures import read_picture
from edge_app.errors import CameraError, DataError
from edge_app.records import U8Array
from export.data.crops import FoundPart, find_parts
from export.data.dataset import GoodPictures, Picture
from export.data.layouts import masks_beside, told_counts
from export.data.name_meanings import MASK_FOLDERS, marked_stem, means_good
from export.data.same_picture import copies_among
from export.pose.step import Cutting, cut_all


@dataclass(frozen=True, slots=True)
class DefectPictures:
    """Real defects.

    Attributes:
        pictures: sorted by name.
        classes: per picture, the first sub-folder of its name; "" right inside the folder.
        warnings: what the folder holds besides, counted and named.
    """

    pictures: tuple[Picture, ...] = ()
    classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """Return one phrase for the report and the manifest."""
        counts = Counter(kind or "defect" for kind in self.classes)
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        return f"{len(self.pictures)} real defects ({listed})"


def scan_defects(folder: Path | None) -> DefectPictures:
    """Return the pictures of real defects below `folder`; none for None.

    Raises:
        DataError: the folder is missing, empty, or one of its pictures cannot be read.
    """
    if folder is None:
        return DefectPictures()
    try:
        listing = scan_folder(folder)
        paths, not_taken = _of_defects(folder, listing.pictures)
        pictures = tuple(_picture(path, folder) for path in paths)
    except CameraError as error:
        raise DataError(f"Real defects: {error}") from error
    classes = tuple(_kind(picture.name) for picture in pictures)
    told = [told_left_out(listing.left_out), told_counts(not_taken)]
    warnings = [f"left out of the real defects in {folder.name}/: {what}" for what in told if what]
    return DefectPictures(pictures, classes, tuple(warnings))


def refuse_good_as_defect(good: GoodPictures, *defects: DefectPictures) -> None:
    """Refuse pictures that are among the good parts and among the real defects.

    The same bytes, or the same photograph saved again (export/data/same_picture.py).

    Raises:
        DataError: with both names of each.
    """
    bad = [picture for found in defects for picture in found.pictures]
    names = {picture.sha256: picture.name for picture in good.pictures}
    both = {(names[p.sha256], p.name) for p in bad if p.sha256 in names}
    others = [p for p in bad if p.sha256 not in names]
    copies = copies_among(good.thumbs, lambda i: good.pictures[i].read(), [p.read for p in others])
    both |= {(good.pictures[i].name, others[j].name) for i, j in copies}
    if both:
        named = ", ".join(f"{one} is {other}" for one, other in sorted(both)[:5])
        rest = f" and {len(both) - 5} more" if len(both) > 5 else ""
        raise DataError(
            f"{len(both)} pictures are given as good parts and as real defects (the same file, or "
            f"saved again; good is defect): {named}{rest}. Remove each from the side where it does "
            "not belong."
        )


def _of_defects(folder: Path, listed: Sequence[Path]) -> tuple[list[Path], Counter[str]]:
    """Return the pictures of defective parts, and how many of good parts and masks lie there.

    Raises:
        DataError: there is none.
    """
    if means_good(folder.resolve().name):
        raise DataError(
            f"Real defects: {folder} looks like a folder of good parts. Name the folder of the "
            "defective ones, with one sub-folder per kind."
        )
    not_taken: Counter[str] = Counter()
    beside = masks_beside(listed)
    masks = {mask for found in beside.values() for mask in found}
    paths = []
    for path in listed:
        folders = path.relative_to(folder).parts[:-1]
        other = [n for n, name in enumerate(folders, 1) if _holds_no_defects(name)]
        if other:
            not_taken["/".join(folders[: other[0]]) + "/"] += 1
        elif path not in masks and marked_stem(path.stem):
            not_taken["masks that fit no picture"] += 1
        elif path not in masks:
            paths.append(path)
    if not paths:
        raise DataError(
            f"Real defects: {folder} holds no picture of a defective part; not taken: "
            f"{told_counts(not_taken) or 'masks'}. Expected one sub-folder per kind of defect."
        )
    return paths, not_taken


def _holds_no_defects(folder_name: str) -> bool:
    return means_good(folder_name) or folder_name.lower() in MASK_FOLDERS


def cut_defects(defects: DefectPictures, cutting: Cutting) -> list[U8Array]:
    """Return the upright crops of all defective parts that the finder finds.

    Raises:
        DataError: in none of the pictures a part was found.
    """
    crops, _ = cut_all(cutting, defects.pictures, find_defective(defects, cutting), _silent)
    return crops


def find_defective(defects: DefectPictures, cutting: Cutting) -> list[FoundPart]:
    """Return the defective parts that the finder finds, at least one.

    Raises:
        DataError: in none of the pictures a part was found.
    """
    found = find_parts(cutting.finder, defects.pictures, cutting.fills_frame, _silent)
    if not found.parts:
        raise DataError(
            f"No product was found in any of the {len(defects.pictures)} pictures of real defects: "
            "they must be taken like the good ones, the part wholly inside the picture."
        )
    return found.parts


def _silent(_share: float) -> None:
    """Real defects are few: their step shows no progress of its own."""


def _picture(path: Path, folder: Path) -> Picture:
    pixels = read_picture(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = path.relative_to(folder).as_posix()
    return Picture(path, name, digest, (int(pixels.shape[0]), int(pixels.shape[1])))


def _kind(name: str) -> str:
    folders: Sequence[str] = Path(name).parts[:-1]
    return folders[0] if folders else ""
