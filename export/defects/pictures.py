"""Pictures of real defects that a person copied out: one sub-folder per kind, or plain files.

They are never part of a data set's `test/`: whoever wants them used names their folder, and
their digests go into the bundle, so that no evaluation counts them.
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
from export.data.dataset import Picture
from export.pose.step import Cutting, cut_all

MASK_SUFFIX = "_mask"
"""`NAME_mask.png` beside `NAME.png` marks its defect and is no picture of a part."""


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
        paths = [p for p in listing.pictures if not p.stem.endswith(MASK_SUFFIX)]
        pictures = tuple(_picture(path, folder) for path in paths)
    except CameraError as error:
        raise DataError(f"Real defects: {error}") from error
    classes = tuple(_kind(picture.name) for picture in pictures)
    told = told_left_out(listing.left_out)
    warnings = (f"left out of the real defects in {folder.name}/: {told}",) if told else ()
    return DefectPictures(pictures, classes, warnings)


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
