"""A TCP port that fires a camera: a line in, a picture out. For a PLC without a spare output.

One line of text is one trigger; what stands in it is the trigger's id, an empty line leaves the
naming to the device. Each is answered by `fired NUMBER ID`, in order, before its picture is taken;
what cannot be a trigger is answered by `refused: REASON` and fires nothing.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import socketserver
import threading
from collections.abc import Callable

from edge_app.errors import ConfigError

MAX_ID = 64
"""Longest trigger id, in characters: it stands in every alert."""

MAX_CLIENTS = 8
IDLE_S = 0.2
_ID = re.compile(r"[\x21-\x7e]{1,64}")
_log = logging.getLogger(__name__)

Fire = Callable[[str | None], int]
"""Fires under an id and returns the part's number, e.g. `IsolatedCamera.fire`."""


class TriggerPort:
    """Listens from the moment it is made; fires after `start`.

    Args:
        camera: its name, for messages.
        address: (host, port); port 0 takes any free one.
        fire: called in a thread of the client's connection.

    Raises:
        ConfigError: the port cannot be opened.
    """

    def __init__(self, camera: str, address: tuple[str, int], fire: Fire) -> None:
        self._camera = camera
        try:
            self._server = _Server(address, fire)
        except OSError as error:
            raise ConfigError(
                f"Camera {camera}: its triggers are to come in at {address[0]}:{address[1]}, which "
                f"cannot be opened: {error}. Choose another trigger_listen."
            ) from error
        serve = self._server.serve_forever
        name = f"triggers-{camera}"
        self._thread = threading.Thread(target=serve, args=(IDLE_S,), name=name, daemon=True)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Take triggers from now on."""
        _log.info("camera %s is triggered through port %d", self._camera, self.port)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection; nothing is fired afterwards."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    """Clients in threads of their own, a few at a time."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], fire: Fire) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.fire = fire
        self._lock = threading.Lock()
        self._clients: set[_Client] = set()
        super().__init__(address, _Client)

    def join(self, client: _Client) -> bool:
        """Count a client in; False when there are too many."""
        with self._lock:
            if len(self._clients) >= MAX_CLIENTS:
                return False
            self._clients.add(client)
            return True

    def leave(self, client: _Client) -> None:
        with self._lock:
            self._clients.discard(client)

    def hang_up(self) -> None:
        """End every connection."""
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            with contextlib.suppress(OSError):
                client.request.shutdown(socket.SHUT_RDWR)


class _Client(socketserver.StreamRequestHandler):
    """One connection."""

    server: _Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        if not self.server.join(self):
            self._answer(f"refused: {MAX_CLIENTS} others are connected")
            return
        try:
            with contextlib.suppress(ConnectionError):
                while line := self.rfile.readline(MAX_ID + 3):
                    self._answer(self._fire(line))
                    if not line.endswith(b"\n"):
                        return
        finally:
            self.server.leave(self)

    def _fire(self, line: bytes) -> str:
        if not line.endswith(b"\n"):
            return f"refused: a trigger is one line of at most {MAX_ID} characters"
        text = line.decode("ascii", "replace").strip()
        if text and not _ID.fullmatch(text):
            return "refused: an id is made of printable ASCII characters without spaces"
        number = self.server.fire(text or None)
        return f"fired {number} {text}".rstrip()

    def _answer(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):
            self.wfile.write(f"{text}\n".encode("ascii"))
