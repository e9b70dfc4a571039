"""Messages between the camera and its child process: JSON over a Unix socket that keeps borders."""

from __future__ import annotations

import json
import os
import select
import socket
from typing import Any

Message = dict[str, Any]

MAX_BYTES = 65_536
"""The longest message is an error's text; a frame's message has about 200 bytes."""


class WireClosed(Exception):
    """The other process has closed its end, or has died."""


class WireStuck(Exception):
    """The other process no longer takes what it is sent."""


class Wire:
    """One end of the socket. Sending and receiving may be done by two threads."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: Message, fd: int | None = None, *, may_wait: bool = False) -> None:
        """Send a message, with a file descriptor if one is given.

        Args:
            may_wait: wait while the other side is busy; otherwise that is an error.

        Raises:
            WireClosed: nobody is there.
            WireStuck: the other side has not taken what it was sent before.
        """
        flags = socket.MSG_NOSIGNAL | (0 if may_wait else socket.MSG_DONTWAIT)
        data = json.dumps(message).encode()
        try:
            socket.send_fds(self._end, [data], [] if fd is None else [fd], flags)
        except BlockingIOError as error:
            raise WireStuck("The other process does not read its messages.") from error
        except OSError as error:
            raise WireClosed("The other process has gone.") from error

    def receive(self, timeout_s: float | None) -> tuple[Message, int | None] | None:
        """Return the next message and the descriptor it carries; None if none came in time.

        Raises:
            WireClosed: nobody is there and all messages are read.
        """
        try:
            if not select.select([self._end], [], [], timeout_s)[0]:
                return None
            data, fds = self._next()
        except (OSError, ValueError) as error:  # ValueError: closed here
            raise WireClosed("The connection was reset.") from error
        if not data:
            raise WireClosed("The other process has closed its end.")
        for extra in fds[1:]:
            os.close(extra)
        return json.loads(data), fds[0] if fds else None

    def _next(self) -> tuple[bytes, list[int]]:
        """Take one message; a reset is raised before the messages that were sent ahead of it."""
        try:
            return socket.recv_fds(self._end, MAX_BYTES, 1)[:2]
        except ConnectionResetError:  # it left without reading all of ours; its last words are here
            return socket.recv_fds(self._end, MAX_BYTES, 1)[:2]

    def close(self) -> None:
        """Close this end; may be called twice."""
        self._end.close()
