"""Evidence pictures as the page's process finds them: in inspection's folder, by its group."""

from __future__ import annotations

from pathlib import Path

from edge_app.alerts.evidence_files import picture_at


class KeptPictures:
    """The pictures in an evidence folder; writes nothing.

    Args:
        folder: inspection's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path_of(self, url_path: str) -> Path | None:
        """Return the file behind "{date}/{name}.jpg", None if that is no picture kept here.

        Raises:
            PermissionError: this account may not read the folder.
        """
        return picture_at(self._folder, url_path)
