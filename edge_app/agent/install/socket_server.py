"""Server of the agent's sockets, one a role: one inspection process, the page, people's commands.

Each peer's account is checked before a byte is read, and each role has its own messages.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

from edge_app.errors import ConfigError, EdgeError
from edge_app.ipc.peers import (
    ROOT_UID,
    SOCKET_MODES,
    Peer,
    Role,
    account_of,
    listen,
    may_play,
    peer_of,
    role_socket,
)
from edge_app.ipc.protocol import (
    FEATURES,
    TO_AGENT,
    Answer,
    Bye,
    Change,
    DecideCommand,
    FeaturesCommand,
    Hello,
    InstallCommand,
    PeerMessage,
    PeerSocket,
    Requester,
    SelectCommand,
    SlotsCommand,
    known_to,
)

_log = logging.getLogger(__name__)

BACKLOG = 8

FIRST_MESSAGE_S = 10.0
"""A peer that connects says at once what it wants."""

MAX_PEERS = {Role.INSPECTION: 4, Role.PAGE: 8, Role.PEOPLE: 32}
"""Connections at once, a thread each: no role can use up what another needs."""

MESSAGES: dict[Role, tuple[type[PeerMessage], ...]] = {
    Role.INSPECTION: (Hello, FeaturesCommand),
    Role.PAGE: (SlotsCommand, SelectCommand, FeaturesCommand),
    Role.PEOPLE: (
        InstallCommand,
        SelectCommand,
        DecideCommand,
        SlotsCommand,
        FeaturesCommand,
    ),
}
"""What a role may say first."""

COMMANDS = MESSAGES[Role.PEOPLE]

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
        path: people's socket; the other roles' lie beside it (`role_socket`). Stale files in
            their places are removed.
    """

    def __init__(self, path: Path, handler: ConnectionHandler) -> None:
        self._path = path
        self._handler = handler
        self._lock = threading.Lock()
        self._inspection: PeerSocket | None = None
        self._features: tuple[str, ...] = ()
        self._peers: dict[PeerSocket, Role] = {}
        self._listeners: dict[Role, socket.socket] = {}
        self._refused: Counter[Role] = Counter()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: a socket cannot be made.
        """
        try:
            for role in Role:
                path = role_socket(self._path, role)
                self._listeners[role] = listen(path, SOCKET_MODES[role], BACKLOG)
        except OSError as error:
            self.stop()
            raise ConfigError(
                f"The agent's socket {path} cannot be made: {error.strerror or error}. Give the "
                "service's user its folder, or set agent.socket."
            ) from error
        for role, listener in self._listeners.items():
            thread = threading.Thread(
                target=self._accept, args=(role, listener), name=f"agent-{role.value}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Close every connection."""
        listeners, self._listeners = self._listeners, {}
        for role, listener in listeners.items():
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            role_socket(self._path, role).unlink(missing_ok=True)
        with self._lock:
            peers = list(self._peers)
        for peer in peers:
            peer.close()
        for thread in self._threads:
            thread.join(timeout=2.0)

    def order(self, line: PeerMessage) -> bool:
        """Send a message to the inspection process; False when it is not connected."""
        with self._lock:
            peer, features = self._inspection, self._features
        if peer is None:
            return False
        try:
            peer.send(known_to(line, features))
        except OSError as error:
            _log.warning("inspection cannot be reached: %s", error)
            peer.close()
            return False
        return True

    def _accept(self, role: Role, listener: socket.socket) -> None:
        while role in self._listeners:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed by `stop`
            if not self._is_welcome(role, connection):
                connection.close()
                continue
            connection.settimeout(FIRST_MESSAGE_S)
            peer = PeerSocket(connection, TO_AGENT)
            with self._lock:
                self._peers[peer] = role
            name = f"peer-{connection.fileno()}"
            thread = threading.Thread(
                target=self._serve, args=(role, peer, connection), name=name, daemon=True
            )
            thread.start()

    def _is_welcome(self, role: Role, connection: socket.socket) -> bool:
        """Check the peer's account and the role's number of connections; say a refusal once."""
        who = peer_of(connection)
        with self._lock:
            count = sum(peer_role is role for peer_role in self._peers.values())
        if not may_play(role, who.uid):
            why = f"process {who.pid} of user {who.uid} may not speak as {role.value}"
        elif count >= MAX_PEERS[role]:
            why = f"{count} connections are open already"
        else:
            return True
        self._refused[role] += 1
        level = logging.WARNING if self._refused[role] == 1 else logging.DEBUG
        _log.log(level, "%s socket: connection refused: %s", role.value, why)
        return False

    def _serve(self, role: Role, peer: PeerSocket, connection: socket.socket) -> None:
        try:
            first = peer.receive()
            connection.settimeout(None)
            if first is None:
                return
            if not isinstance(first, MESSAGES[role]):
                peer.send(Answer(is_ok=False, text=_not_here(role, first)))
            elif isinstance(first, Hello):
                self._serve_inspection(peer, first)
            elif isinstance(first, FeaturesCommand):
                peer.send(Answer(is_ok=True, text=" ".join(FEATURES)))
            else:
                self._serve_command(peer, _signed(role, first, peer_of(connection)))
        except (OSError, EdgeError) as error:
            if self._listeners:
                _log.warning("%s socket: connection closed: %s", role.value, error)
        finally:
            with self._lock:
                self._peers.pop(peer, None)
            peer.close()

    def _serve_inspection(self, peer: PeerSocket, hello: Hello) -> None:
        with self._lock:
            before, self._inspection = self._inspection, peer
            self._features = hello.features
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
        if is_current and self._listeners:
            _log.info("inspection has %s", "stopped" if is_planned else "ended unexpectedly")
            self._handler.inspection_gone(is_planned)

    def _serve_command(self, peer: PeerSocket, command: PeerMessage) -> None:
        """Execute a command; the connection stays open for its answers until the peer closes it."""
        self._handler.commanded(command, peer.send)
        while peer.receive() is not None:
            pass  # nothing more is expected; wait for the end of the connection


def _signed(role: Role, command: PeerMessage, who: Peer) -> PeerMessage:
    """Return a change with its author: named by the page; of people the kernel knows who it is."""
    if role is Role.PAGE or not isinstance(command, Change):
        return command
    kind: Literal["root", "person"] = "root" if who.uid == ROOT_UID else "person"
    by = Requester(kind=kind, name=account_of(who.uid)[:64], via="console")
    return command.model_copy(update={"by": by})


def _not_here(role: Role, message: PeerMessage) -> str:
    kind = getattr(message, "type", type(message).__name__)
    return f"The agent takes no {kind!r} on the socket for {role.value}; each role has its own."
