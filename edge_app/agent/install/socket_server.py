"""The agent's end of the socket: one inspection process, and commands that come and go."""

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
    Line,
    LineSocket,
    SelectCommand,
    SlotsCommand,
)

_log = logging.getLogger(__name__)

SOCKET_MODE = 0o660
"""The service's user and group: who may reach the agent is decided by the folder's group."""

BACKLOG = 8

COMMANDS = (InstallCommand, SelectCommand, DecideCommand, SlotsCommand)

Respond = Callable[[Line], None]


class Desk(Protocol):
    """What the agent does with what comes in. Called in the connection's thread."""

    def inspection_came(self, hello: Hello) -> None: ...

    def inspection_said(self, news: Line) -> None: ...

    def inspection_gone(self, is_planned: bool) -> None: ...

    def commanded(self, command: Line, respond: Respond) -> None: ...


class PeerServer:
    """Listens, and tells the desk. The newest inspection process is the one that counts.

    Args:
        path: the socket; a stale file in its place is removed.
    """

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._desk = desk
        self._lock = threading.Lock()
        self._inspection: LineSocket | None = None
        self._peers: set[LineSocket] = set()
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
        """Hang up on everybody."""
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

    def order(self, line: Line) -> bool:
        """Say a line to the inspection process; False when it is not there."""
        peer = self._inspection
        if peer is None:
            return False
        try:
            peer.send(line)
        except OSError as error:
            _log.warning("inspection does not listen: %s", error)
            peer.close()
            return False
        return True

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed by `stop`
            peer = LineSocket(connection, TO_AGENT)
            with self._lock:
                self._peers.add(peer)
            name = f"peer-{connection.fileno()}"
            threading.Thread(target=self._serve, args=(peer,), name=name, daemon=True).start()

    def _serve(self, peer: LineSocket) -> None:
        try:
            first = peer.receive()
            if isinstance(first, Hello):
                self._serve_inspection(peer, first)
            elif isinstance(first, COMMANDS):
                self._serve_command(peer, first)
        except (OSError, EdgeError) as error:
            if self._listener is not None:
                _log.warning("a peer is hung up on: %s", error)
        finally:
            with self._lock:
                self._peers.discard(peer)
            peer.close()

    def _serve_inspection(self, peer: LineSocket, hello: Hello) -> None:
        with self._lock:
            before, self._inspection = self._inspection, peer
        if before is not None:
            before.close()
        _log.info("inspection is there, process %d", hello.pid)
        is_planned = False
        try:
            self._desk.inspection_came(hello)
            while (line := peer.receive()) is not None:
                if isinstance(line, Bye):
                    is_planned = True
                elif isinstance(line, Hello):
                    self._desk.inspection_came(line)
                elif not isinstance(line, COMMANDS):
                    self._desk.inspection_said(line)
        finally:
            self._note_gone(peer, is_planned)

    def _note_gone(self, peer: LineSocket, is_planned: bool) -> None:
        with self._lock:
            is_current = self._inspection is peer
            if is_current:
                self._inspection = None
        if is_current and self._listener is not None:
            _log.info("inspection has %s", "stopped" if is_planned else "ended without a goodbye")
            self._desk.inspection_gone(is_planned)

    def _serve_command(self, peer: LineSocket, command: Line) -> None:
        """Have a command done; the connection stays open for its answers until the peer ends it."""
        self._desk.commanded(command, peer.send)
        while peer.receive() is not None:
            pass  # nothing more is expected; the end of the connection is what is waited for
