"""Which label file belongs to which picture: by relative path, never by the file's name alone.

| Looked for, for `DIR/a/images/x.jpg` | By |
|---|---|
| `DIR/a/images/x.txt`, `x.json`; `x.jpg.txt` where `x.png` is there too | YOLO, labelme |
| `DIR/a/labels/x.txt` | Ultralytics, Roboflow |
| `DIR/labels/a/images/x.txt`, `DIR/obj_train_data/...` likewise | `edge-export label`, CVAT |
| `DIR/labels/x.txt`, if no other picture below DIR is called `x` | a person |
| `<image name=".../x.jpg">` in an `annotations.xml` above the picture | CVAT |

Texts that hold no labels (README, notes, class names) are passed over. What cannot be told apart is
refused, with both names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge_app.cameras.picture_listing import scan_folder
from edge_app.errors import CameraError, DataError
from export.data.name_meanings import NEVER_TRAINED
from export.data.review import REVIEW_FILE, told_name
from export.labels.given.cvat import CvatImage, read_cvat
from export.labels.given.foreign import foreign_format
from export.labels.given.labelme import LabelmeFile, read_labelme
from export.labels.given.yolo import NAME_FILES, class_names, is_label_text

LABEL_FOLDERS = ("labels", "label", "annotations", "json")
MAX_BYTES = 256 << 20
_MAX_NAMED = 5


@dataclass(frozen=True, slots=True, eq=False)
class LabelFile:
    """A file of labels.

    Attributes:
        path: where it lies.
        name: relative to the data set, for sentences.
        text: what it holds; of labelme's and CVAT's what it says of the picture.
        labelme: what it says, where it is labelme's.
        image: what it says of the one picture, where it is CVAT's.
    """

    path: Path
    name: str
    text: str
    labelme: LabelmeFile | None = None
    image: CvatImage | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FoundLabels:
    """The label files of a data set.

    Attributes:
        of: picture → its labels.
        names: of the classes, for YOLO's numbers.
        warnings: sentences on what belongs to no picture.
    """

    of: dict[Path, LabelFile]
    names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What all of it hashes to: changed labels are read again."""
        digest = hashlib.sha256(repr(self.names).encode())
        for file in sorted(
            self.of.values(), key=lambda f: (f.name, f.image.name if f.image else "")
        ):
            digest.update(repr((file.name, file.text)).encode(errors="surrogateescape"))
        return digest.hexdigest()


def find_labels(folder: Path, root: Path | None = None) -> FoundLabels:
    """Return the labels of the pictures below `folder`.

    Args:
        folder: of good parts.
        root: the data set's folder, which `folder` is or lies in; None: `folder`.

    Raises:
        DataError: a file cannot be read or could belong to two pictures, a picture has two, none
            of the label files there fits a picture, or labels are of a format that is not read.
    """
    root = root if root is not None and folder.is_relative_to(root) else folder
    try:
        pictures = scan_folder(folder).pictures
    except CameraError:
        return FoundLabels({})
    shelf = _Shelf(root)
    of = _owned(pictures, folder, shelf)
    for picture, file in _cvat(pictures, shelf):
        if picture in of:
            raise _two(picture, of[picture], file, root)
        of[picture] = file
    strays = shelf.strays(file.path for file in of.values())
    if strays and not of:
        raise DataError(
            f"{root} holds {len(strays)} label files, and none is named like a picture of good "
            f"parts: {_named(strays)}. Name each like its picture (000.txt for 000.png), or move "
            "them away to have the products labelled automatically."
        )
    shelf.refuse_foreign()
    warnings = [f"{len(strays)} label files belong to no picture: {_named(strays)}"]
    return FoundLabels(of, shelf.class_names(), tuple(warnings) if strays else ())


class _Shelf:
    """The files of a data set that can hold labels, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inside: dict[Path, tuple[dict[str, Path], list[Path]]] = {}
        self._read: dict[Path, LabelFile | None] = {}

    def files(self, folder: Path) -> dict[str, Path]:
        """Return the files in a folder, by name with the ending in lower case."""
        return self._list(folder)[0]

    def label_folders(self, folder: Path) -> list[Path]:
        """Return the sub-folders for labels."""
        return [p for p in self._list(folder)[1] if _is_label_folder(p.name)]

    def _list(self, folder: Path) -> tuple[dict[str, Path], list[Path]]:
        if folder not in self._inside:
            try:
                inside = sorted(folder.iterdir())
            except OSError:
                inside = []
            files = {p.stem + p.suffix.lower(): p for p in inside if p.is_file()}
            self._inside[folder] = files, [p for p in inside if p.is_dir()]
        return self._inside[folder]

    def label_file(self, path: Path) -> LabelFile | None:
        """Return a file's labels; None where it holds none (notes, other JSON)."""
        if path not in self._read:
            self._read[path] = self._label_file(path)
        return self._read[path]

    def _label_file(self, path: Path) -> LabelFile | None:
        name = self.told(path)
        text = read_text(path, name)
        if path.suffix.lower() == ".json":
            found = read_labelme(text, name)
            # The file may hold the whole picture; what it says of it is enough.
            return LabelFile(path, name, repr(found), found) if found else None
        in_folder = any(map(_is_label_folder, path.relative_to(self.root).parts[:-1]))
        return LabelFile(path, name, text) if in_folder or is_label_text(text) else None

    def told(self, path: Path) -> str:
        return told_name(path.relative_to(self.root).as_posix())

    def places(self) -> Iterator[Path]:
        """Yield the folders looked into so far that are no test data."""
        for folder in list(self._inside):
            inside = folder.relative_to(self.root).parts
            if not any(part.lower() in NEVER_TRAINED for part in inside):
                yield folder

    def strays(self, taken: Iterable[Path]) -> list[str]:
        """Return the label files in folders for labels that are named like no picture at all."""
        used = set(taken)
        try:
            stems = {p.stem for p in scan_folder(self.root).pictures}
        except CameraError:
            stems = set()
        found = []
        for folder in self.places():
            for path in self.files(folder).values() if _is_label_folder(folder.name) else ():
                is_label = path.suffix.lower() == ".txt" and path.name not in NAME_FILES
                known = {path.stem, Path(path.stem).stem} & stems
                if is_label and path not in used and not known:
                    text = path.read_text(encoding="utf-8", errors="replace")
                    found += [self.told(path)] if text.strip() and is_label_text(text) else []
        return found

    def class_names(self) -> tuple[str, ...]:
        """Return the class names of the first file that lists some."""
        for folder in self.places():
            for name in NAME_FILES:
                path = self.files(folder).get(name)
                found = class_names(path) if path else ()
                if found:
                    return found
        return ()

    def refuse_foreign(self) -> None:
        """Refuse labels of formats that are not read."""
        for folder in self.places():
            for path in self.files(folder).values():
                is_read = self._read.get(path) is not None or path.name == REVIEW_FILE
                if path.suffix.lower() in (".json", ".xml") and not is_read:
                    kind = foreign_format(path, MAX_BYTES)
                    if kind:
                        raise DataError(
                            f"{self.told(path)} holds labels as {kind}, which are not read. Export "
                            "them as YOLO-OBB, 'CVAT for images 1.1' or labelme, or move the file "
                            "away to have the products labelled automatically."
                        )


def read_text(path: Path, name: str) -> str:
    """Return a label file's text.

    Raises:
        DataError: it is no text, too large, or cannot be read.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"The label file {name} has more than {MAX_BYTES >> 20} MB. Remove it.")
        return path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"The label file {name} cannot be read as text: {error}.") from error


def _is_label_folder(name: str) -> bool:
    lower = name.lower()
    return lower in LABEL_FOLDERS or (lower.startswith("obj_") and lower.endswith("_data"))


def _owned(pictures: Iterable[Path], folder: Path, shelf: _Shelf) -> dict[Path, LabelFile]:
    """Return picture → the label file that is named like it."""
    # The surest claim first: in its place or in a common folder, with the ending or without.
    claims: list[dict[Path, list[LabelFile]]] = [{}, {}, {}, {}]
    for picture in pictures:
        for place, is_common in _places(picture, folder, shelf):
            for name, rank in ((picture.name, 0), (picture.stem, 1)):
                found = claims[rank + 2 * is_common]
                files = shelf.files(place)
                paths = [p for e in (".txt", ".json") if (p := files.get(name + e)) is not None]
                labels = [f for f in map(shelf.label_file, paths) if f is not None]
                found.setdefault(picture, []).extend(labels)
    of: dict[Path, LabelFile] = {}
    for claim in claims:
        _settle({p: files for p, files in claim.items() if p not in of}, of, shelf.root)
    return of


def _places(picture: Path, folder: Path, shelf: _Shelf) -> Iterator[tuple[Path, bool]]:
    """Yield the folders a picture's labels may lie in; True for one that all share."""
    root, seen = shelf.root, {picture.parent}
    yield picture.parent, False
    parts = picture.parent.relative_to(root).parts
    for depth in range(len(parts), -1, -1):
        is_swapped = depth < len(parts) and parts[depth].lower() == "images"
        for labels in shelf.label_folders(root.joinpath(*parts[:depth])):
            places = [labels.joinpath(*parts[depth:])]
            places += [labels.joinpath(*parts[depth + 1 :])] if is_swapped else []
            new = [place for place in places if place not in seen]
            seen.update(new)
            yield from ((place, False) for place in new)
    for place in dict.fromkeys((folder, root)):
        yield from ((labels, True) for labels in shelf.label_folders(place) if labels not in seen)


def _settle(claims: dict[Path, list[LabelFile]], of: dict[Path, LabelFile], root: Path) -> None:
    """Give every claimed file to its one picture.

    Raises:
        DataError: a file could belong to two pictures, or a picture has two files.
    """
    taken = {file.path for file in of.values()}
    owners: dict[Path, list[Path]] = {}
    for picture, files in claims.items():
        for file in files:
            if file.path not in taken:
                owners.setdefault(file.path, []).append(picture)
    for picture, files in claims.items():
        mine = [f for f in files if f.path in owners and _is_mine(f, picture, owners, root)]
        if len(mine) > 1 and any(f.text != mine[0].text for f in mine):
            raise _two(picture, mine[0], mine[1], root)
        if mine:
            of[picture] = mine[0]


def _is_mine(file: LabelFile, picture: Path, owners: dict[Path, list[Path]], root: Path) -> bool:
    pictures = owners[file.path]
    if len(pictures) == 1:
        return True
    meant = file.labelme.picture if file.labelme else ""
    if sum(p.name == meant for p in pictures) == 1:
        return picture.name == meant
    told = [told_name(p.relative_to(root).as_posix()) for p in pictures]
    raise DataError(
        f"The label file {file.name} could belong to {told[0]} or to {told[1]}. Name it like one "
        f"of them with its ending ({told_name(pictures[0].name)}.txt), below labels/ in the same "
        "sub-folder as the picture."
    )


def _two(picture: Path, one: LabelFile, other: LabelFile, root: Path) -> DataError:
    name = told_name(picture.relative_to(root).as_posix())
    return DataError(
        f"{name} has two label files that differ: {one.name} and {other.name}. Keep one."
    )


def _cvat(pictures: Iterable[Path], shelf: _Shelf) -> Iterator[tuple[Path, LabelFile]]:
    """Yield the pictures that a CVAT file names, and what it says of each."""
    by_name: dict[str, list[Path]] = {}
    for picture in pictures:
        by_name.setdefault(picture.name, []).append(picture)
    shelf.files(shelf.root)
    for folder in list(shelf.places()):
        for path in shelf.files(folder).values():
            if path.suffix.lower() != ".xml":
                continue
            name = shelf.told(path)
            for image in read_cvat(read_text(path, name), name) or ():
                found = _meant(image, by_name, path, shelf)
                if found is not None:
                    yield found, LabelFile(path, name, _text_of(image), image=image)


def _text_of(image: CvatImage) -> str:
    """Return what stands in the file for one picture, for the digest."""
    shapes = [(e.tag, sorted(e.attrib.items())) for e in image.shapes]
    return repr((image.name, image.frame_hw, shapes, image.tags))


def _meant(
    image: CvatImage, by_name: dict[str, list[Path]], file: Path, shelf: _Shelf
) -> Path | None:
    """Return the picture of that name below the file's folder, else the one whose path ends so."""
    wanted = PurePosixPath(image.name).parts
    found = by_name.get(wanted[-1], []) if wanted else []
    for above in (file.parent, file.parent / "images", shelf.root):
        if above.joinpath(*wanted) in found:
            return above.joinpath(*wanted)
    for length in range(len(wanted), 0, -1):
        fits = [p for p in found if p.relative_to(shelf.root).parts[-length:] == wanted[-length:]]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise DataError(
                f"{shelf.told(file)}: image {image.name!r} could be {shelf.told(fits[0])} or "
                f"{shelf.told(fits[1])}. Export the task with the pictures' folders in their names."
            )
    return None


def _named(names: list[str]) -> str:
    more = [f"{len(names) - _MAX_NAMED} more"] if len(names) > _MAX_NAMED else []
    return ", ".join(names[:_MAX_NAMED] + more)
