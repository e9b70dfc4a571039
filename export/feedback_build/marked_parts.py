"""The parts of a pulled feedback set that a build can use, each checked against its record."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calibration.parts.groups import groups_of, thumbnail
from edge_app.cameras.pictures import read_picture
from edge_app.errors import DataError, FrameCorrupt
from edge_app.records import F32Array, U8Array
from export.feedback.records import PROVENANCE_FILE, Provenance, read_provenance

FALSE_ALARM = "false alarm"
CONFIRMED_GOOD = "confirmed good"


@dataclass(frozen=True, slots=True)
class MarkedPart:
    """One part that people marked, with its whole picture.

    Attributes:
        record: where it comes from and who said what; its `use` is good or defect.
        path: its picture, with the bytes that the device recorded.
        group: the smallest digest among its near-duplicates in the set.
    """

    record: Provenance
    path: Path
    group: str

    @property
    def is_good(self) -> bool:
        """People say that it is good."""
        return self.record.use == "good"

    @property
    def cause(self) -> tuple[str, str, str]:
        """What one bad afternoon has in common: device, camera, and why people looked at it."""
        why = FALSE_ALARM if self.record.verdict == "NG" else CONFIRMED_GOOD
        return self.record.device, self.record.camera, why

    @property
    def is_false_alarm(self) -> bool:
        """People say that it is good, and the device alarmed it."""
        return self.is_good and self.cause[2] == FALSE_ALARM

    @property
    def hour(self) -> str:
        """The hour in which it was judged, as the device wrote it."""
        return self.record.captured_at[:13]

    def read(self) -> U8Array:
        """Return the pixels, uint8 (h, w, 3) BGR."""
        return read_picture(self.path)

    def words(self) -> str:
        """Return file, part and people, for a sentence about it."""
        who = ", ".join(self.record.reviewers) or "nobody named"
        return f"{self.record.file} (part {self.record.part_id}, marked by {who})"


@dataclass(frozen=True, slots=True)
class MarkedParts:
    """A feedback set as a build sees it.

    Attributes:
        parts: good ones and defects, sorted by the digest of their pictures.
        left_out: why → parts: of another product, disputed, without a picture, damaged.
        damaged: files with other bytes than their record says.
        proposals: of `parts`, those that no engineer has accepted.
    """

    parts: tuple[MarkedPart, ...]
    left_out: Counter[str] = field(default_factory=Counter)
    damaged: tuple[str, ...] = ()
    proposals: int = 0

    @property
    def goods(self) -> tuple[MarkedPart, ...]:
        """The parts that people call good."""
        return tuple(p for p in self.parts if p.is_good)

    @property
    def defects(self) -> tuple[MarkedPart, ...]:
        """The parts that people call defective."""
        return tuple(p for p in self.parts if not p.is_good)


def read_marked_parts(folder: Path, product: str) -> MarkedParts:
    """Return the parts of one product in what `edge-export pull` made.

    Raises:
        DataError: it is no such set, or holds no good part and no defect of the product.
        OSError: it cannot be read.
    """
    if not (folder / PROVENANCE_FILE).is_file():
        raise DataError(
            f"--feedback {folder} has no {PROVENANCE_FILE}: expected the folder that edge-export "
            "pull made."
        )
    left_out: Counter[str] = Counter()
    damaged: list[str] = []
    whole: list[Whole] = []
    others: set[str] = set()
    for record in sorted(read_provenance(folder).values(), key=lambda r: (r.sha256, r.key)):
        why = _why_left_out(record, product)
        if why:
            left_out[why] += 1
            others |= {record.product} if why == OTHER_PRODUCT else set()
            continue
        path = folder / record.file
        pixels = _checked(path, record.sha256)
        if pixels is None:
            damaged.append(record.file)
        else:
            whole.append((record, path, thumbnail(pixels)))
    if not whole:
        raise DataError(_nothing(folder, product, left_out, damaged, others))
    parts = tuple(
        MarkedPart(record, path, group)
        for (record, path, _), group in zip(whole, _groups(whole), strict=True)
    )
    proposals = sum(not p.record.is_accepted for p in parts)
    return MarkedParts(parts, left_out, tuple(damaged), proposals)


Whole = tuple[Provenance, Path, F32Array]
"""A record, its checked picture, and the picture's thumbnail."""

OTHER_PRODUCT = "of another product"

_UNUSED = {
    "disputed": "disputed",
    "unsure": "marked unsure",
    "proposed": "waiting for an engineer",
    "gone": "without a picture: the device no longer keeps it",
}


def _why_left_out(record: Provenance, product: str) -> str:
    if record.use not in ("good", "defect"):
        return _UNUSED.get(record.use, record.use)
    if record.product and record.product != product:
        return OTHER_PRODUCT
    return "" if record.file else _UNUSED["gone"]


def _checked(path: Path, sha256: str) -> U8Array | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != sha256:
        return None
    try:
        return read_picture(path)
    except FrameCorrupt:
        return None


def _groups(whole: Sequence[Whole]) -> list[str]:
    """Return each picture's near-duplicate group, named by its smallest digest.

    Copies and bursts alone are joined: a scratched part and the same part before are two.
    """

    def read(index: int) -> U8Array:
        return read_picture(whole[index][1])

    numbers = groups_of([thumb for _, _, thumb in whole], read)
    first: dict[int, str] = {}
    for number, (record, _, _) in zip(numbers, whole, strict=True):
        first[number] = min(first.get(number, record.sha256), record.sha256)
    return [first[number] for number in numbers]


def _nothing(
    folder: Path, product: str, left_out: Counter[str], damaged: Sequence[str], others: set[str]
) -> str:
    told = [f"{count} {why}" for why, count in sorted(left_out.items())]
    told += [f"{len(damaged)} with other bytes than the device recorded"] if damaged else []
    text = f"--feedback {folder} holds no good part and no defect of {product}"
    text += f": {', '.join(told)}" if told else ""
    if others:
        return f"{text}. Its products are {', '.join(sorted(others))}: name one with --product."
    return f"{text}. Have marks accepted on the devices' pages, then pull again."
