"""Where the good parts lie in the folder a person brings, and what else lies there.

| Layout | Good parts |
|---|---|
| MVTec AD | `DIR/train/good` |
| BTAD | `DIR/train/ok` |
| good beside NG, bad, kinds of defects, ... | `DIR/good`, `OK`, `normal`, `gut`, in any case |
| VisA | `DIR/Data/Images/Normal` |
| Kolektor | the pictures beside whose names `NAME_label.bmp` (`_mask`, `_GT`) marks nothing |
| magnetic tiles | the same with `NAME.png` beside `NAME.jpg`, if it holds a few values only |
| plain | all pictures below `DIR` |

Below that folder no name may mean bad: it is refused before a picture is opened. Folders `test` and
`ground_truth` are passed over wherever they lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from edge_app.cameras.picture_listing import list_pictures, why_folder_is_left_out
from edge_app.cameras.pictures import read_values
from edge_app.errors import CameraError, DataError
from export.data.masks import marked_pixels
from export.data.name_meanings import (
    NEVER_TRAINED,
    file_is_no_good,
    folder_is_no_good,
    marked_stem,
    means_good,
    whole_name_is_bad,
)

RIGHT_LAYOUT = (
    "Expected only good parts below it. A folder good (or OK, normal) beside the folders of bad "
    "ones is understood, as are DIR/train/good, VisA's and BTAD's folders and masks beside the "
    "pictures (NAME_mask.png)"
)

FEW_VALUES = 8
"""Numbers in a mask: background, and a few kinds of defect."""

_MAX_NAMED = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pictures that are taken for good parts.

    Attributes:
        paths: in natural order.
        passed_over: folder or reason → number of pictures that are not taken.
    """

    paths: tuple[Path, ...]
    passed_over: Counter[str]


def find_good_folder(data: Path) -> Path:
    """Return the folder of good pictures below `data`.

    Raises:
        DataError: there is none, there are two, or it is a folder that must not be trained on.
    """
    if _is_test_data(data):
        raise DataError(
            f"{data} is a test/ground_truth folder: nothing there is trained on. "
            "Name the data set's folder, the one that holds train/good."
        )
    if not data.is_dir():
        raise DataError(
            f"{data} is no folder. Expected DIR/train/good with pictures of good parts."
        )
    folder = _named_good(data) or data
    _refuse_kind_of_defect(folder)
    return folder


def has_good_folder(data: Path) -> bool:
    """Tell whether a folder inside `data` says that it holds good parts."""
    return any(good_children(base) for base in _places(data))


def choose_good(folder: Path, listed: Iterable[Path]) -> Chosen:
    """Return which of the listed pictures are good parts; only masks beside them are opened.

    Raises:
        DataError: a name below `folder` means bad, or a mask cannot be read.
    """
    passed_over: Counter[str] = Counter()
    paths = []
    for path in listed:
        folders = path.relative_to(folder).parts[:-1]
        never = [n for n, part in enumerate(folders, 1) if part.lower() in NEVER_TRAINED]
        if never:
            passed_over["/".join(folders[: never[0]]) + "/"] += 1
        else:
            paths.append(path)
    masks = masks_beside(paths)
    beside = {mask for found in masks.values() for mask in found}
    pictures = [path for path in paths if path not in beside]
    _refuse_bad_names(folder, pictures)
    marked = {path for path, found in masks.items() if any(_marks_something(m) for m in found)}
    if beside:
        passed_over["masks"] = len(beside)
    if marked:
        passed_over["pictures with a marked mask beside them"] = len(marked)
    return Chosen(tuple(path for path in pictures if path not in marked), passed_over)


def pictures_elsewhere(data: Path, folder: Path) -> Counter[str]:
    """Return how many pictures lie in `data` outside the folder of good ones, by folder.

    Their names are read, nothing else.
    """
    if data == folder:
        return Counter()
    try:
        listed = list_pictures(data)
    except CameraError:  # a folder nobody reads for training need not be readable
        return Counter()
    outside = [path for path in listed if not path.is_relative_to(folder)]
    return Counter(_place(PurePosixPath(path.relative_to(data).as_posix())) for path in outside)


def told_counts(counts: Counter[str]) -> str:
    """Return e.g. `NG/ (40 pictures), Masks/ (12 pictures)`."""
    named = [f"{name} ({n} pictures)" for name, n in sorted(counts.items())]
    rest = named[_MAX_NAMED:]
    return ", ".join(named[:_MAX_NAMED] + ([f"{len(rest)} more"] if rest else []))


def _places(data: Path) -> list[Path]:
    """Return the folders in which a folder of good parts may lie, best first."""
    train, images = child_named(data, "train"), child_named(data, "images")
    visa = child_named(data, "data")
    visa_images = child_named(visa, "images") if visa else None
    return [place for place in (train, data, visa_images, images) if place]


def child_named(folder: Path, name: str) -> Path | None:
    """Return the sub-folder of that name, in any case; the exact one first."""
    if (folder / name).is_dir():
        return folder / name
    return next((p for p in _sub_folders(folder) if p.name.lower() == name), None)


def _sub_folders(folder: Path) -> list[Path]:
    """Return a folder's sub-folders that pictures are looked for in, sorted; none if unreadable."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []
    return [p for p in inside if p.is_dir() and why_folder_is_left_out(p.name) is None]


def _named_good(data: Path) -> Path | None:
    for exact in (data / "train" / "good", data / "good"):
        if exact.is_dir():
            return exact
    for place in _places(data):
        found = good_children(place)
        if len(found) > 1:
            names = ", ".join(p.name for p in found)
            raise DataError(
                f"{place} holds {len(found)} folders that mean good parts: {names}. Expected one. "
                "Put their pictures into one folder, or name the one that is meant with --data."
            )
        if found:
            return found[0]
    return None


def good_children(place: Path) -> list[Path]:
    """Return the sub-folders whose names mean good parts; one that is not `good` has pictures."""
    named = [p for p in _sub_folders(place) if means_good(p.name)]
    return [p for p in named if p.name == "good" or _holds_pictures(p)]


def _holds_pictures(folder: Path) -> bool:
    try:
        return bool(list_pictures(folder))
    except CameraError:
        return False


def _is_test_data(data: Path) -> bool:
    """Tell whether a folder is test data, by whatever way it is named: `.`, a link, `test/good`."""
    real = data.resolve()
    if {data.name.lower(), real.name.lower()} & {*NEVER_TRAINED}:
        return True
    above = real.parent
    is_inside = above.name.lower() in NEVER_TRAINED
    return is_inside and means_good(real.name) and child_named(above.parent, "train") is not None


def _refuse_kind_of_defect(folder: Path) -> None:
    """Refuse `NG`, `test/crack`, and `crack` beside a folder `good`: those are defects."""
    real = folder.resolve()
    beside = real.parent
    if means_good(real.name):
        return
    is_beside_good = any(means_good(p.name) for p in _sub_folders(beside))
    if beside.name.lower() in NEVER_TRAINED or is_beside_good:
        raise DataError(
            f"{folder} looks like a folder of defects (it lies in {beside.name}/, beside good "
            "parts). Name the folder of good parts, or the data set's folder above it."
        )
    if whole_name_is_bad(real.name):
        raise DataError(
            f"{folder} looks like a folder of defects: its name means bad parts. Name the folder "
            "of good parts, or the data set's folder above it; if these are good parts, rename it."
        )


def _refuse_bad_names(folder: Path, pictures: Sequence[Path]) -> None:
    bad: Counter[str] = Counter()
    for path in pictures:
        *folders, name = path.relative_to(folder).parts
        wrong = next((n for n, part in enumerate(folders, 1) if folder_is_no_good(part)), None)
        if wrong is not None:
            bad["/".join(folders[:wrong]) + "/"] += 1
        elif file_is_no_good(name):
            bad["/".join([*folders, name])] += 1
    if not bad:
        return
    named = [n if not n.endswith("/") else f"{n} ({bad[n]} pictures)" for n in sorted(bad)]
    rest = f" and {len(named) - _MAX_NAMED} more" if len(named) > _MAX_NAMED else ""
    raise DataError(
        f"{folder} would be trained on as good parts, but names below it mean something else: "
        f"{', '.join(named[:_MAX_NAMED])}{rest}. {RIGHT_LAYOUT}. Move these pictures out of it; "
        "if they are good parts, rename them."
    )


def masks_beside(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """Return picture → the masks beside it, for those that have any."""
    by_stem: dict[tuple[Path, str], list[Path]] = {}
    for path in paths:
        by_stem.setdefault((path.parent, path.stem.lower()), []).append(path)
    found: dict[Path, list[Path]] = {}
    for path in paths:
        stem = marked_stem(path.stem)
        for picture in by_stem.get((path.parent, stem.lower()), []) if stem else []:
            found.setdefault(picture, []).append(path)
    for alike in by_stem.values():
        masks = [path for path in alike if len(alike) > 1 and _holds_few_values(path)]
        for picture in alike if len(masks) < len(alike) else []:
            if masks and picture not in masks:
                found.setdefault(picture, []).extend(masks)
    return found


def _holds_few_values(path: Path) -> bool:
    """Tell whether a picture can be nothing but a mask; no photograph has so few grey levels."""
    try:
        values = read_values(path)
    except CameraError:  # named as unreadable when it is read as a picture
        return False
    return len(np.unique(values)) <= FEW_VALUES


def _marks_something(mask: Path) -> bool:
    """Tell whether a value is not zero, in the file's own depth: 16-bit masks hold 0 and 1 too."""
    try:
        values = read_values(mask)
    except CameraError as error:
        raise DataError(
            f"The mask {mask} cannot be read, so nobody knows whether its picture shows a good "
            f"part: {error}"
        ) from error
    return bool(marked_pixels(values).any())


def _place(name: PurePosixPath) -> str:
    """Return the folder of a picture, at most three deep; its own name where it lies on top."""
    folders = name.parts[:-1]
    return "/".join(folders[:3]) + "/" if folders else "beside the folder"
