"""Where each picture of a feedback set comes from: one line of provenance.jsonl per part."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edge_app.errors import DataError

PROVENANCE_FILE = "provenance.jsonl"
FORMAT = 1
MOST_NAME_CHARS = 60


@dataclass(frozen=True, slots=True)
class Provenance:
    """One part of a feedback set.

    Attributes:
        device: as it was named when it was pulled; with `part_id` the key of the part.
        use: as in `rulings.Ruling`, or "gone": the device no longer keeps the picture.
        file: below the set's folder, with "/"; "" where there is no picture.
        mask: the same for the mask of its defect.
        mask_from: "person", "device" or "".
        sha256: of the picture's bytes, as the device recorded it.
        verdict, score, threshold, threshold_id, product, serial, bundle_sha256: what judged it.
        kept_for: why the device kept the picture: a random sample may set a guaranteed limit, a
            picture kept for its score never.
    """

    device: str
    part_id: str
    captured_at: str
    camera: str
    use: str
    file: str
    mask: str
    mask_from: str
    sha256: str
    verdict: str
    is_suspect: bool
    score: float | None
    threshold: float | None
    threshold_id: str
    product: str
    serial: int
    bundle_sha256: str
    defect_class: str
    reviewers: tuple[str, ...]
    is_accepted: bool
    note: str
    kept_for: tuple[str, ...]
    corners: tuple[tuple[float, float], ...] = ()
    format: int = FORMAT

    @property
    def key(self) -> tuple[str, str]:
        """Return what names the part over all pulls."""
        return self.device, self.part_id

    def line(self) -> bytes:
        """Return the record as one line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_provenance(folder: Path) -> dict[tuple[str, str], Provenance]:
    """Return the last record of every part of a set; {} where there is none.

    A last line that a kill cut off is left out: its part is fetched again.

    Raises:
        DataError: a line is no record, or a later release wrote it.
        OSError: it cannot be read.
    """
    file = folder / PROVENANCE_FILE
    if not file.exists():
        return {}
    lines = file.read_bytes().split(b"\n")
    found: dict[tuple[str, str], Provenance] = {}
    for number, line in enumerate(lines[:-1], 1):
        record = _parsed(line)
        if record is None:
            raise DataError(
                f"{file}, line {number}, is no record of a part. Pull into a new folder: the "
                "decisions are still on the devices."
            )
        found[record.key] = record
    return found


def settle_provenance(folder: Path) -> None:
    """Take a last line away that was cut off, so that the next one begins a line of its own."""
    file = folder / PROVENANCE_FILE
    if not file.exists():
        return
    data = file.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with file.open("r+b") as open_file:
            open_file.truncate(whole)


def _parsed(line: bytes) -> Provenance | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    if found.get("format") != FORMAT:
        raise DataError(
            f"{PROVENANCE_FILE}: format {found.get('format')!r}; this release knows {FORMAT}."
        )
    try:
        return _from(found)
    except (KeyError, TypeError, ValueError):
        return None


def _from(found: Mapping[str, Any]) -> Provenance:
    names = Provenance.__dataclass_fields__
    values = {name: value for name, value in found.items() if name in names}
    for name in ("reviewers", "kept_for"):
        values[name] = tuple(str(v) for v in values[name])
    values["corners"] = tuple((float(x), float(y)) for x, y in values.get("corners", ()))
    for name in ("file", "mask"):
        if not is_inside(str(values[name])):
            raise ValueError(name)
    return Provenance(**values)


def is_inside(name: str) -> bool:
    """Tell whether a name stays below the set's folder; "" does."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def file_stem(device: str, part_id: str) -> str:
    """Return a file name for a part: readable, safe on any disk, and no other part's."""
    plain = re.sub(r"[^0-9A-Za-z._-]+", "_", f"{device}-{part_id}").strip("._") or "part"
    return f"{plain[:MOST_NAME_CHARS]}-{_digest(device, part_id)}"


def folder_name(defect_class: str) -> str:
    """Return a folder name for a defect class."""
    plain = re.sub(r"[^\w.-]+", "_", defect_class).strip("._")[:MOST_NAME_CHARS]
    return plain if plain and plain.lower() != "good" else "defect"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:8]
