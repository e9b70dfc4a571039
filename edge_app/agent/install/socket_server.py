"""Server of the agent's socket: one inspection process, and short-lived commands."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edge_app.errors import ConfigError, EdgeError
from edge_app.ipc.protocol import (
    TO_AGENT,
    Bye,
    DecideCommand,
    Hello,
    InstallCommand,
    PeerMessage,
    PeerSocket,
    SelectCommand,
    SlotsCommand,
)

_log = logging.getLogger(__name__)

SOCKET_MODE = 0o660
"""The service's user and group: who may reach the agent is decided by the folder's group."""

BACKLOG = 8

COMMANDS = (InstallCommand, SelectCommand, DecideCommand, SlotsCommand)

Respond = Callable[[PeerMessage], None]


class ConnectionHandler(Protocol):
    """Handles what arrives. Called in the connection's thread."""

    def inspection_came(self, hello: Hello) -> None: ...

    def inspection_said(self, news: PeerMessage) -> None: ...

    def inspection_gone(self, is_planned: bool) -> None: ...

    def commanded(self, command: PeerMessage, respond: Respond) -> None: ...


class PeerServer:
    """Listens, and passes messages to the handler. The newest inspection process counts.

    Args:
        path: the socket; a stale file in its place is removed.
    """

    def __init__(self, path: Path, handler: ConnectionHandler) -> None:
        self._path = path
        self._handler = handler
        self._lock = threading.Lock()
        self._inspection: PeerSocket | None = None
        self._peers: set[PeerSocket] = set()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._accept, name="agent-socket", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the socket cannot be made.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            self._path.chmod(SOCKET_MODE)
        except OSError as error:
            listener.close()
            raise ConfigError(
                f"The agent's socket {self._path} cannot be made: {error.strerror}. Give the "
                "service's user its folder, or set agent.socket."
            ) from error
        listener.listen(BACKLOG)
        self._listener = listener
        self._thread.start()

    def stop(self) -> None:
        """Close every connection."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        self._path.unlink(missing_ok=True)
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            peer.close()
        self._thread.join(timeout=2.0)

    def order(self, line: PeerMessage) -> bool:
        """Send a message to the inspection process; False when it is not connected."""
        peer = self._inspection
        if peer is None:
            return False
        try:
            peer.send(line)
        except OSError as error:
            _log.warning("inspection cannot be reached: %s", error)
            peer.close()
            return False
        return True

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed by `stop`
            peer = PeerSocket(connection, TO_AGENT)
            with self._lock:
                self._peers.add(peer)
            name = f"peer-{connection.fileno()}"
            threading.Thread(target=self._serve, args=(peer,), name=name, daemon=True).start()

    def _serve(self, peer: PeerSocket) -> None:
        try:
            first = peer.receive()
            if isinstance(first, Hello):
                self._serve_inspection(peer, first)
            elif isinstance(first, COMMANDS):
                self._serve_command(peer, first)
        except (OSError, EdgeError) as error:
            if self._listener is not None:
                _log.warning("connection closed: %s", error)
        finally:
            with self._lock:
                self._peers.discard(peer)
            peer.close()

    def _serve_inspection(self, peer: PeerSocket, hello: Hello) -> None:
        with self._lock:
            before, self._inspection = self._inspection, peer
        if before is not None:
            before.close()
        _log.info("inspection connected, process %d", hello.pid)
        is_planned = False
        try:
            self._handler.inspection_came(hello)
            while (line := peer.receive()) is not None:
                if isinstance(line, Bye):
                    is_planned = True
                elif isinstance(line, Hello):
                    self._handler.inspection_came(line)
                elif not isinstance(line, COMMANDS):
                    self._handler.inspection_said(line)
        finally:
            self._note_gone(peer, is_planned)

    def _note_gone(self, peer: PeerSocket, is_planned: bool) -> None:
        with self._lock:
            is_current = self._inspection is peer
            if is_current:
                self._inspection = None
        if is_current and self._listener is not None:
            _log.info("inspection has %s", "stopped" if is_planned else "ended unexpectedly")
            self._handler.inspection_gone(is_planned)

    def _serve_command(self, peer: PeerSocket, command: PeerMessage) -> None:
        """Execute a command; the connection stays open for its answers until the peer closes it."""
        self._handler.commanded(command, peer.send)
        while peer.receive() is not None:
            pass  # nothing more is expected; wait for the end of the connection
