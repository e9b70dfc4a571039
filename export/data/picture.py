"""One readable picture of a part: where it lies, its digest, and what its near-duplicates share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_app.cameras.pictures import read_picture
from edge_app.records import U8Array


@dataclass(frozen=True, slots=True)
class Picture:
    """One readable picture of good parts.

    Attributes:
        path: where it lies.
        name: relative to the folder of good pictures; what reports print.
        sha256: of the file's bytes.
        hw: (height, width) in pixels.
        group: the smallest digest among its near-duplicates in the set; "" for its own.
    """

    path: Path
    name: str
    sha256: str
    hw: tuple[int, int]
    group: str = ""

    @property
    def part(self) -> str:
        """What near-duplicates (`calibration/parts/groups.py`) share, whatever their names."""
        return self.group or self.sha256

    def read(self) -> U8Array:
        """Return the pixels, uint8 (h, w, 3) BGR."""
        return read_picture(self.path)
