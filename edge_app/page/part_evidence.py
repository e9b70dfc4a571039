"""What is kept of a part beside its frame: the upright crop, the map, and the sidecar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from edge_app.alerts.evidence_files import crop_of, map_of, place_of, sidecar_of


class EvidenceFiles(Protocol):
    """Finds evidence pictures."""

    def path_of(self, url_path: str) -> Path | None:
        """Return the file behind "{date}/{name}.jpg", None if that is no picture kept here."""


class PartEvidence:
    """Finds what is kept of parts.

    Args:
        files: None: nothing is kept.
    """

    def __init__(self, files: EvidenceFiles | None) -> None:
        self._files = files

    def crop(self, part: Mapping[str, Any]) -> Path | None:
        """Return a part's crop, None if there is none, or no longer.

        Raises:
            PermissionError: this account may not read the folder.
        """
        place = place_of(str(part["evidence_url"] or ""))
        return None if place is None else self._picture(crop_of(place))

    def sidecar(self, part: Mapping[str, Any]) -> Path | None:
        """Return the sidecar of a part's frame or crop, None if neither is there.

        Raises:
            PermissionError: this account may not read the folder.
        """
        return self._beside(part, sidecar_of)

    def map(self, part: Mapping[str, Any]) -> Path | None:
        """Return a part's map, None if there is none, or no longer.

        Raises:
            PermissionError: this account may not read the folder.
        """
        return self._beside(part, map_of)

    def _beside(self, part: Mapping[str, Any], name: Callable[[Path], Path]) -> Path | None:
        place = place_of(str(part["evidence_url"] or ""))
        if place is None:
            return None
        picture = self._picture(place) or self._picture(crop_of(place))
        if picture is None:
            return None
        path = picture.parent / name(place).name
        return path if path.is_file() and not path.is_symlink() else None

    def _picture(self, place: Path) -> Path | None:
        return self._files.path_of(place.as_posix()) if self._files is not None else None
