"""A TCP port that fires a camera: a line in, a picture out. For a PLC without a spare output.

One line of text is one trigger; what stands in it is the trigger's id, an empty line leaves the
naming to the device. Each is answered by `fired NUMBER ID`, in order, before its picture is taken;
what cannot be a trigger is answered by `refused: REASON` and fires nothing.
"""

from __future__ import annotations

import contextlib
import logging
import re
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable

from edge_app.errors import ConfigError

MAX_ID = 64
"""Longest trigger id, in characters: it stands in every alert."""

MAX_CLIENTS = 8
IDLE_S = 0.2
LINE_S = 10.0
"""A client has this long for a line that it has begun; between lines it has any time."""

MAX_UNSENT = 4096
"""Bytes of answers kept for a client that does not read them."""

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
            self._server = _Server(address, fire, camera)
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
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], fire: Fire, camera: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.fire, self.camera = fire, camera
        self._lock = threading.Lock()
        self._clients: list[_Client] = []  # oldest first
        super().__init__(address, _Client)

    def join(self, client: _Client) -> bool:
        """Count a client in; False when there are too many.

        Where there are, the newest of an address takes the place of its oldest: a PLC without
        power leaves connections behind that look alive, and comes back from where it was.
        """
        with self._lock:
            if len(self._clients) >= MAX_CLIENTS:
                own = [c for c in self._clients if c.client_address[0] == client.client_address[0]]
                if not own:
                    return False
                self._clients.remove(own[0])
                own[0].hang_up()
                _log.info(
                    "camera %s: a trigger connection of %s takes the place of its oldest one",
                    self.camera,
                    client.client_address[0],
                )
            self._clients.append(client)
            return True

    def leave(self, client: _Client) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._clients.remove(client)

    def hang_up(self) -> None:
        """End every connection."""
        with self._lock:
            for client in self._clients:
                client.hang_up()


class _Client(socketserver.BaseRequestHandler):
    """One connection. Triggers are taken whether or not their answers are read."""

    server: _Server
    request: socket.socket

    def setup(self) -> None:
        self._is_over = self._is_deaf = False
        self._unsent = b""
        self._room = select.poll()
        self._room.register(self.request, select.POLLOUT)
        self.request.settimeout(IDLE_S)
        for level, name, value in _OPTIONS:
            self.request.setsockopt(level, name, value)

    def handle(self) -> None:
        if not self.server.join(self):
            self._answer(f"refused: {MAX_CLIENTS} others are connected")
            return
        try:
            with contextlib.suppress(OSError):
                self._serve()
        finally:
            self.server.leave(self)

    def hang_up(self) -> None:
        """End the connection; what it has sent and nobody has read fires nothing."""
        self._is_over = True
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        begun = b""
        since_s = time.monotonic()
        while not self._is_over:
            try:
                received = self.request.recv(4096)
            except TimeoutError:
                self._flush()
                if begun and time.monotonic() - since_s > LINE_S:
                    self._answer(f"refused: half a line for {LINE_S:g} s")
                    return
                continue
            if not received:
                return
            *lines, rest = (begun + received).split(b"\n")
            for line in lines:
                if self._is_over or not self._take(line):
                    return
            if lines or not begun:
                since_s = time.monotonic()
            begun = rest
            if len(begun) > MAX_ID + 1 and not self._take(begun):
                return

    def _take(self, line: bytes) -> bool:
        """Fire and answer; False after a line that is too long to be a trigger."""
        if len(line) > MAX_ID + 1:  # and a carriage return
            self._answer(f"refused: a trigger is one line of at most {MAX_ID} characters")
            return False
        text = line.decode("ascii", "replace").strip()
        if text and not _ID.fullmatch(text):
            self._answer("refused: an id is made of printable ASCII characters without spaces")
            return True
        number = self.server.fire(text or None)
        self._answer(f"fired {number} {text}".rstrip())
        return True

    def _answer(self, text: str) -> None:
        """Send a line if the client takes it; one that does not read goes without."""
        self._flush()
        if len(self._unsent) < MAX_UNSENT:
            self._unsent += f"{text}\n".encode("ascii")
            self._flush()
            return
        if not self._is_deaf:
            self._is_deaf = True
            _log.warning(
                "camera %s: %s does not read the answers to its triggers; they are left out, the "
                "triggers count",
                self.server.camera,
                self.client_address[0],
            )

    def _flush(self) -> None:
        try:
            while self._unsent and self._room.poll(0):  # `send` itself would wait IDLE_S
                sent = self.request.send(self._unsent, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                self._unsent = self._unsent[sent:]
        except OSError:  # it has gone, as reading will tell
            return


_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768),
)
"""A client that has lost its power or its cable is let go after 25 s; few answers lie in the
kernel for one that does not read."""
