"""Increasing waits between crashes in a row, so that a service that cannot start neither fills the
journal nor uses the cores, and still never gives up.

systemd has RestartSteps for this since version 254; Ubuntu 22.04 and JetPack 6 have 249.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

_log = logging.getLogger(__name__)

FREE_CRASHES = 3
"""This many restarts are immediate: a new bundle that crashes is rolled back after three."""
FIRST_WAIT_S = 1.0
MAX_WAIT_S = 60.0
"""After repairing the cause, people wait at most this long, or restart the service."""
SETTLED_S = 60.0
"""A start that has lasted this long ends a series of crashes."""


class CrashBackoff:
    """Counts starts that did not last, in a file.

    Args:
        file: holds the count; None counts nothing and never waits.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> CrashBackoff:
        """Return the instance for a systemd service, with its count in StateDirectory."""
        folder = environment.get("STATE_DIRECTORY", "")
        is_service = bool(folder and environment.get("NOTIFY_SOCKET"))
        return cls(Path(folder.split(":")[0]) / "starts" if is_service else None)

    def wait(self, stop: threading.Event, tell: Callable[[str], None]) -> bool:
        """Count this start, wait if the last ones did not last; False: stopped while waiting.

        Args:
            tell: shows one line in `systemctl status`.
        """
        crashes = self._read()
        self._write(crashes + 1)
        wait_s = wait_after(crashes)
        if wait_s == 0:
            return not stop.is_set()
        text = f"the last {crashes} starts did not last; the next begins in {wait_s:.0f} s"
        _log.warning("%s", text)
        tell(text)
        return not stop.wait(wait_s)

    def settle_later(self) -> None:
        """Reset the count once this start has lasted."""
        timer = threading.Timer(SETTLED_S, self.clear)
        timer.daemon = True
        timer.start()

    def clear(self) -> None:
        """Reset the count: this start has lasted, or was stopped."""
        self._write(0)

    def _read(self) -> int:
        try:
            return int(self._file.read_text()) if self._file else 0
        except (OSError, ValueError):  # none yet, or truncated by a power cut
            return 0

    def _write(self, count: int) -> None:
        try:
            if self._file:
                self._file.write_text(f"{count}\n")
        except OSError as error:  # a full disk must not prevent the start
            _log.warning("starts are not counted: %s", error)


def wait_after(crashes: int) -> float:
    """Return the wait in seconds after so many crashes in a row: 0, 0, 0, 1, 2, 4 ... 60."""
    if crashes < FREE_CRASHES:
        return 0.0
    return min(MAX_WAIT_S, FIRST_WAIT_S * 2.0 ** min(crashes - FREE_CRASHES, 16))
