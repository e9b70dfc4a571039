"""A real GigE Vision camera on loopback: Aravis' own fake, as a process. One on a machine."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

ADDRESS = "127.0.0.1"

_START_S = 0.3
"""The program says nothing when it is ready; it answers after about 50 ms here."""


class GigeCamera:
    """Runs the fake camera; several test runs on one machine take turns (its port is fixed).

    Args:
        lost_per_thousand: packets of the stream that do not arrive.
    """

    def __init__(self, lost_per_thousand: int = 0) -> None:
        self._command = [
            "arv-fake-gv-camera-0.8", "-i", ADDRESS, "-s", "GV01", "-r", str(lost_per_thousand),
        ]  # fmt: skip
        self._lock = (Path(tempfile.gettempdir()) / "cropliq-gige-camera.lock").open("w")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> GigeCamera:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._lock.close()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        time.sleep(_START_S)

    def kill(self) -> None:
        """Pull the plug."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(5.0)
