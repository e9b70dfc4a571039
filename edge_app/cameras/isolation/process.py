"""Starting, hearing and ending the child process of one camera."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from edge_app.cameras.isolation.wire import Message, Wire, WireClosed, WireStuck
from edge_app.errors import CameraUnavailable

log = logging.getLogger(__name__)

SYSTEM_PYTHON = "/usr/bin/python3"
"""Where Debian's and JetPack's python3-gi is installed."""

CLOSE_S = 1.0
"""A driver that is asked to close has this long; then its process is ended."""

KILLED_S = 2.0
"""The kernel ends a killed process at once, unless it hangs inside a kernel driver."""

_PACKAGES = Path(__file__).resolve().parents[3]
_PROGRAM = (
    "import sys; sys.path.append({packages!r}); "
    "from edge_app.cameras.isolation.child import main; main({fd}, {pid})"
)


def python_with(module: str) -> str:
    """Return the Python to run a driver with: this one if it has the module, else the system's.

    PyGObject belongs to the system's Python; a virtual environment sees it only when it was made
    with `--system-site-packages`.
    """
    return sys.executable if importlib.util.find_spec(module) else SYSTEM_PYTHON


class CameraProcess:
    """A running child and the wire to it.

    Args:
        camera: the camera's name, for messages.
        interpreter: the Python that runs it.

    Raises:
        CameraUnavailable: the interpreter is not there.
    """

    def __init__(self, camera: str, interpreter: str = sys.executable) -> None:
        self._camera = camera
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = _PROGRAM.format(packages=str(_PACKAGES), fd=theirs.fileno(), pid=os.getpid())
        try:
            self._process = subprocess.Popen(
                [interpreter, "-I", "-c", program],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what drivers print belongs beside the log, not into our output
            )
        except OSError as error:
            ours.close()
            raise CameraUnavailable(
                f"Camera {camera}: its driver's process cannot be started with {interpreter}: "
                f"{error.strerror}."
            ) from error
        finally:
            theirs.close()
        self._wire = Wire(ours)
        self._heard_s = time.monotonic()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: Message) -> None:
        """Give the child an order.

        Raises:
            CameraUnavailable: it has died, or has not taken its orders for a long time.
        """
        try:
            self._wire.send(message)
        except WireClosed as error:
            raise self._died() from error
        except WireStuck as error:
            self.kill()
            raise CameraUnavailable(
                f"Camera {self._camera}: its driver takes no orders any more; its process was "
                "ended and is started again."
            ) from error

    def receive(self, timeout_s: float, silence_s: float) -> tuple[Message, int | None] | None:
        """Return the child's next message, or None if none came in time.

        Args:
            silence_s: a child not heard of for this long hangs in a driver's call.

        Raises:
            CameraUnavailable: it has died, or hangs; then it was killed.
        """
        silent_until_s = self._heard_s + silence_s
        wait_s = max(0.0, min(timeout_s, silent_until_s - time.monotonic()))
        try:
            received = self._wire.receive(wait_s)
        except WireClosed as error:
            raise self._died() from error
        if received is not None:
            self._heard_s = time.monotonic()
        elif time.monotonic() >= silent_until_s:
            self.kill()
            raise CameraUnavailable(
                f"Camera {self._camera}: a call of its driver has not returned for "
                f"{silence_s:g} s; its process was ended and is started again."
            )
        return received

    def close(self) -> None:
        """End the child: by asking, then by force; may be called twice."""
        self._wire.close()
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            log.warning("camera %s: its driver did not close; its process is ended", self._camera)
            self.kill()

    def kill(self) -> None:
        """End the child by force."""
        self._process.kill()
        try:
            self._process.wait(KILLED_S)
        except subprocess.TimeoutExpired:
            log.error("camera %s: its driver hangs inside the kernel", self._camera)

    def _died(self) -> CameraUnavailable:
        try:
            code = self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.returncode
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return CameraUnavailable(
            f"Camera {self._camera}: its driver's process has ended ({how}); it is started again. "
            "What the driver said stands in the log above."
        )
