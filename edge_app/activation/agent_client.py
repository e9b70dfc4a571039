"""Client of the agent's socket in the inspection process: connect, say hello, receive messages.

The agent may come and go; inspection does not depend on it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edge_app.errors import EdgeError
from edge_app.ipc.client import features_of
from edge_app.ipc.peers import Role, role_socket
from edge_app.ipc.protocol import (
    AUTHOR,
    FEATURES,
    TO_PEER,
    Answer,
    Bye,
    Hello,
    Order,
    PeerMessage,
    PeerSocket,
    Progress,
)
from edge_app.ipc.unix_socket import connected_to

_log = logging.getLogger(__name__)

RETRY_S = 1.0
"""A local socket costs nothing to try; an agent that starts is found within a second."""


class AgentConnection:
    """Keeps the connection to the agent.

    Args:
        path: the agent's socket; inspection's own lies beside it.
        hello: makes the first message of every connection.
    """

    def __init__(self, path: Path, hello: Callable[[], Hello]) -> None:
        self._path, self._hello = role_socket(path, Role.INSPECTION), hello
        self._peer: PeerSocket | None = None
        self._stop = threading.Event()
        self._is_logged = False
        self._agent_asks_features = False
        self._thread = threading.Thread(target=self._run, name="agent-connection", daemon=True)
        self._on_order: Callable[[Order], None] = lambda _order: None
        self._on_lost: Callable[[], None] = lambda: None

    def greet(self) -> None:
        """Send hello with what is about to be loaded, if the agent runs; its messages wait until
        `start`."""
        self._peer = self._connect()

    def start(self, on_order: Callable[[Order], None], on_lost: Callable[[], None]) -> None:
        """Begin to receive messages.

        Args:
            on_order: takes every message; must return at once.
            on_lost: called when a connection has ended.
        """
        self._on_order, self._on_lost = on_order, on_lost
        self.tell(self._greeting())  # another model than announced may have been loaded
        self._thread.start()

    def stop(self, is_planned: bool = True) -> None:
        """End; a planned end sends `bye` and does not count as a crash."""
        self._stop.set()
        if is_planned:
            self.tell(Bye())
        peer = self._peer
        if peer is not None:
            peer.close()
        if self._thread.ident is not None:
            self._thread.join(timeout=2.0)

    @property
    def is_connected(self) -> bool:
        """Whether the agent is there now."""
        return self._peer is not None

    def tell(self, line: PeerMessage) -> None:
        """Send a message, if the agent is connected; a later one learns all it needs from hello."""
        peer = self._peer
        if peer is None:
            return
        try:
            peer.send(line)
        except OSError as error:
            _log.debug("agent: %s", error)
            peer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            peer = self._peer or self._connect()
            if peer is not None:
                self._serve(peer)
            self._stop.wait(RETRY_S)

    def _connect(self) -> PeerSocket | None:
        peer = None
        try:
            peer = PeerSocket(connected_to(self._path), TO_PEER)
            self._agent_asks_features = AUTHOR in features_of(self._path)
            peer.send(self._greeting())
        except OSError as error:
            if peer is not None:
                peer.close()
            level = logging.DEBUG if self._is_logged else logging.WARNING
            _log.log(
                level, "no agent at %s: %s; inspection continues without it", self._path, error
            )
            self._is_logged = True
            return None
        _log.info("agent connected")
        self._is_logged = False
        return peer

    def _greeting(self) -> Hello:
        """Return hello with what this release knows, to an agent that knows what that is."""
        features = FEATURES if self._agent_asks_features else ()
        return self._hello().model_copy(update={"features": features})

    def _serve(self, peer: PeerSocket) -> None:
        self._peer = peer
        try:
            while (line := peer.receive()) is not None:
                if not isinstance(line, Progress | Answer):
                    self._on_order(line)  # type: ignore[arg-type]
        except (OSError, EdgeError) as error:
            if not self._stop.is_set():
                _log.warning("agent: %s", error)
        finally:
            self._peer = None
            peer.close()
            self._on_lost()
