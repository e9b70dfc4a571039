"""Whether the pictures that are named somewhere are there, and are what they were."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.alerts.evidence_files import (
    Kind,
    crop_of,
    kind_of,
    map_of,
    picture_at,
    place_of,
    sidecar_of,
)
from edge_app.alerts.sidecar import read_sidecar

SHOWN = 20
"""Findings that are named; more are counted."""

SLACK_NS = 120 * 10**9
"""Pictures are written after their parts' rows, or before, by no more than this."""


@dataclass(frozen=True, slots=True)
class NamedPicture:
    """A picture that a row names.

    Attributes:
        url: as in the alert; its last two parts are day and file.
        recorded_ns: when its part was recorded.
    """

    part_id: str
    url: str
    sha256: str
    recorded_ns: int


@dataclass(slots=True)
class Findings:
    """Pictures with one fault.

    Attributes:
        names: of some, for people; count: of all.
    """

    names: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, name: str) -> None:
        """Take one in."""
        self.count += 1
        if len(self.names) < SHOWN:
            self.names.append(name)

    def take_over(self, other: Findings) -> None:
        """Take in all of another's, which is empty then."""
        self.names += other.names[: SHOWN - len(self.names)]
        self.count += other.count
        other.names, other.count = [], 0


@dataclass(slots=True)
class PictureAccount:
    """What became of the pictures that are named.

    Attributes:
        named: how many are.
        whole: those that are there with the bytes they had.
        crops: those of which the crop is left, whole.
        gone: those older than what is kept, without a crop either.
        missing: gone although older ones of their kind are there.
        damaged: with other bytes than they had, or with a damaged sidecar or crop.
    """

    named: int = 0
    whole: int = 0
    crops: int = 0
    gone: int = 0
    missing: Findings = field(default_factory=Findings)
    damaged: Findings = field(default_factory=Findings)

    @property
    def is_whole(self) -> bool:
        return not self.missing.count and not self.damaged.count


def check_named(folder: Path, named: Iterable[NamedPicture]) -> PictureAccount:
    """Read every picture that is named; a second per 1,000 or so.

    Pictures of a kind go oldest first, so one that is gone is missing where an older one is there.

    Args:
        folder: the store's.
        named: the newest first.
    """
    account = PictureAccount()
    absent: dict[Kind, _Absent] = {}
    for picture in named:
        account.named += 1
        place = place_of(picture.url)
        if place is None:
            account.gone += 1
            continue
        of_kind = absent.setdefault(kind_of(place.name), _Absent())
        path = picture_at(folder, place.as_posix())
        if path is None:
            account.crops += _has_crop(folder, place, picture, account.damaged)
            of_kind.add(picture, place)
            continue
        account.missing.take_over(of_kind.newer_than(picture.recorded_ns))
        if _is_as_it_was(path, picture, account.damaged):
            account.whole += 1
    account.gone += sum(of_kind.count for of_kind in absent.values()) - account.crops
    return account


class _Absent:
    """Pictures of one kind that are not there, while nothing older has been seen."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, str]] = deque()
        self._older = Findings()

    @property
    def count(self) -> int:
        return len(self._recent) + self._older.count

    def add(self, picture: NamedPicture, place: Path) -> None:
        self._settle(picture.recorded_ns)
        self._recent.append((picture.recorded_ns, f"{place} (part {picture.part_id})"))

    def newer_than(self, recorded_ns: int) -> Findings:
        """Return, once, those that are certainly newer."""
        self._settle(recorded_ns)
        found, self._older = self._older, Findings()
        return found

    def _settle(self, recorded_ns: int) -> None:
        while self._recent and self._recent[0][0] > recorded_ns + SLACK_NS:
            self._older.add(self._recent.popleft()[1])


def _has_crop(folder: Path, place: Path, picture: NamedPicture, damaged: Findings) -> bool:
    """Tell whether of a frame that is gone the crop is left as it was."""
    crop = picture_at(folder, crop_of(place).as_posix())
    if crop is None:
        return False
    return _is_crop_whole(crop, sidecar_of(folder / place), picture, damaged)


def _is_as_it_was(path: Path, picture: NamedPicture, damaged: Findings) -> bool:
    """Tell whether a frame, and its sidecar and crop if it has them, are as they were."""
    if _sha256(path) != picture.sha256:
        damaged.add(f"{path.parent.name}/{path.name} (part {picture.part_id})")
        return False
    crop, notes = crop_of(path), sidecar_of(path)
    if not notes.exists() and not crop.exists():
        return True
    return _is_crop_whole(crop, notes, picture, damaged)


def _is_crop_whole(crop: Path, notes: Path, picture: NamedPicture, damaged: Findings) -> bool:
    """Tell whether sidecar, crop and map are as they were."""
    found = read_sidecar(notes)
    cut = found.get("crop") if found is not None else None
    if found is None or found.get("part_id") != picture.part_id:
        damaged.add(f"{notes.parent.name}/{notes.name} (part {picture.part_id})")
        return False
    expected = cut.get("sha256") if isinstance(cut, dict) else None
    if (expected is None) != (not crop.exists()) or (expected and _sha256(crop) != expected):
        damaged.add(f"{crop.parent.name}/{crop.name} (part {picture.part_id})")
        return False
    shown = map_of(notes.with_suffix(".jpg"))
    wanted = found.get("map")
    if isinstance(wanted, dict) and _sha256(shown) != wanted.get("sha256"):
        damaged.add(f"{shown.parent.name}/{shown.name} (part {picture.part_id})")
        return False
    return True


def _sha256(path: Path) -> str:
    """Return a file's hash; "" where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
