"""Unix sockets at paths of any length."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

JOIN_S = 2.0
MOST_BYTES = 107
"""Of a Unix socket's address in Linux; a longer path is reached through its folder."""


def bind_to(listener: socket.socket, path: Path) -> None:
    """Bind a Unix socket to a path.

    Raises:
        OSError: it cannot be made there.
    """
    with _address(path) as address:
        listener.bind(address)


def connected_to(path: Path) -> socket.socket:
    """Return a stream socket that is connected to the one at a path.

    Raises:
        OSError: nobody listens there, or this user may not connect.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def stop_listening(listener: socket.socket, thread: threading.Thread, path: Path) -> None:
    """Close a socket that a thread accepts from, wait for the thread, and remove the file."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(JOIN_S)
    with suppress(OSError):
        path.unlink(missing_ok=True)


def read_line(connection: socket.socket, until_s: float, max_bytes: int) -> bytes:
    """Return one line without its end; what came before the peer closed, if that is less.

    Args:
        until_s: on the monotonic clock.

    Raises:
        OSError: nothing came in time, the connection broke or the line is too long.
    """
    data = bytearray()
    while b"\n" not in data:
        if len(data) > max_bytes:
            raise OSError(f"a line is longer than {max_bytes} bytes")
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left_s)
        piece = connection.recv(max_bytes)
        if not piece:
            break
        data += piece
    return bytes(data.partition(b"\n")[0])


@contextmanager
def _address(path: Path) -> Iterator[str]:
    if len(os.fsencode(path)) <= MOST_BYTES:
        yield os.fspath(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
