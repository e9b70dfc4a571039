"""The page's settings as inspection last told them: served before inspection is there."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import ValidationError

from edge_app.ipc.page_link import Settings

_log = logging.getLogger(__name__)

MAX_BYTES = 256 << 10


class SettingsFile:
    """A file that only the page's account reads: the token is in it.

    Args:
        path: None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Settings | None:
        """Return the settings, None where there are none that can be used."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            with self._path.open("rb") as file:
                return Settings.model_validate_json(file.read(MAX_BYTES))
        except (OSError, ValidationError) as error:
            _log.warning("%s is not used: %s", self._path, error)
            return None

    def write(self, settings: Settings) -> None:
        """Keep the settings; without a disk they are asked for at the next start."""
        if self._path is None or settings == self.read():
            return
        new = self._path.with_suffix(".new")
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(settings.model_dump_json().encode())
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            _log.warning("the page's settings cannot be kept: %s", error)
