"""Pictures in `edge-app history`: checked against the rows that name them, and copied out."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import OutputError

if TYPE_CHECKING:
    from edge_app.alerts.kept_check import Findings, PictureAccount


def account_words(account: PictureAccount) -> Iterator[str]:
    """Return what became of the pictures, as sentences."""
    said = f"pictures: {account.named} named, {account.whole} whole"
    if account.crops:
        said += f", {account.crops} gone but for the crop"
    if account.gone:
        said += f", {account.gone} gone for age or space"
    yield said
    yield from _finding_words(account.missing, "is missing, although older ones are there")
    yield from _finding_words(account.damaged, "is damaged")


def _finding_words(found: Findings, what: str) -> Iterator[str]:
    for name in found.names:
        yield f"picture {name} {what}"
    if found.count > len(found.names):
        yield f"{found.count - len(found.names)} more such pictures"


@dataclass(slots=True)
class Copied:
    """Pictures that were copied out.

    Attributes:
        frames, crops: files.
        gone: parts whose picture is named and has gone.
    """

    frames: int = 0
    crops: int = 0
    gone: int = 0

    def words(self) -> str:
        """Return the counts as a sentence."""
        return f"{self.frames} pictures and {self.crops} crops; of {self.gone} parts all has gone"


class PictureCopy:
    """A new folder with the pictures of parts; it appears whole or not at all.

    Args:
        evidence: the store's folder.
        out: the new folder.

    Raises:
        OutputError: something has that name.
    """

    def __init__(self, evidence: Path, out: Path) -> None:
        if out.exists():
            raise OutputError(f"{out} exists already. Name a new folder, or remove that one.")
        self._evidence, self._out = evidence, out
        self._part = out.with_name(f".{out.name}.part")
        self.copied = Copied()

    def __enter__(self) -> PictureCopy:
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._part.rename(self._out)
        else:
            shutil.rmtree(self._part, ignore_errors=True)

    def each(self, parts: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Pass parts on, and copy what there is of each: frame, crop, map and sidecar."""
        for part in parts:
            self._copy(part["evidence_url"])
            yield part

    def _copy(self, url: object) -> None:
        from edge_app.alerts.evidence_files import crop_of, map_of, picture_at, place_of, sidecar_of

        place = place_of(url) if isinstance(url, str) else None
        if place is None:
            return
        frame = self._copied(picture_at(self._evidence, place.as_posix()), place)
        crop = self._copied(picture_at(self._evidence, crop_of(place).as_posix()), crop_of(place))
        self.copied.frames += frame
        self.copied.crops += crop
        self.copied.gone += not (frame or crop)
        for beside in (sidecar_of(place), map_of(place)):
            source = self._evidence / beside
            if (frame or crop) and source.is_file() and not source.is_symlink():
                self._copied(source, beside)

    def _copied(self, source: Path | None, place: Path) -> bool:
        if source is None:
            return False
        target = self._part / place
        target.parent.mkdir(exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError:  # the retention was faster
            return False
        return True
