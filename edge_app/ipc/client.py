"""Client of the agent's socket: one command, and the agent's messages in reply."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_app.errors import ConfigError, EdgeError
from edge_app.ipc.protocol import TO_PEER, Answer, FeaturesCommand, PeerMessage, PeerSocket
from edge_app.ipc.unix_socket import connected_to

FEATURES_S = 1.0
"""An agent answers at once; inspection does not start later than that for one that hangs."""


def replies(
    socket_path: Path, command: PeerMessage, timeout_s: float | None = None
) -> Iterator[PeerMessage]:
    """Yield the agent's messages in reply to a command until it closes the connection.

    Args:
        timeout_s: for each message; None waits without limit.

    Raises:
        ConfigError: the agent is not there.
        TimeoutError: nothing came in time; the command continues.
    """
    with _connected(socket_path, timeout_s) as agent:
        agent.send(command)
        while (line := agent.receive()) is not None:
            yield line


def ask(socket_path: Path, command: PeerMessage, timeout_s: float | None = None) -> Answer:
    """Return the agent's answer to a command.

    Raises:
        ConfigError: the agent is not there, or ended before it answered.
        TimeoutError: see `replies`.
    """
    for line in replies(socket_path, command, timeout_s):
        if isinstance(line, Answer):
            return line
    raise ended()


def features_of(socket_path: Path, timeout_s: float = FEATURES_S) -> frozenset[str]:
    """Return what the agent knows that an earlier one does not (`protocol.FEATURES`); nothing where
    it does not answer."""
    try:
        answer = ask(socket_path, FeaturesCommand(), timeout_s)
    except (OSError, EdgeError):  # an earlier agent has hung up
        return frozenset()
    return frozenset(answer.text.split()) if answer.is_ok else frozenset()


def ended() -> ConfigError:
    """Return the error for an agent that closed the connection before its answer."""
    return ConfigError("The agent ended before it answered; see its journal.")


@contextmanager
def _connected(socket_path: Path, timeout_s: float | None) -> Iterator[PeerSocket]:
    connection = connect_to_agent(socket_path)
    connection.settimeout(timeout_s)
    agent = PeerSocket(connection, TO_PEER)
    try:
        yield agent
    finally:
        agent.close()


def connect_to_agent(path: Path) -> socket.socket:
    """Return a socket that is connected to the agent.

    Raises:
        ConfigError: it does not run, or this user may not connect.
    """
    try:
        return connected_to(path)
    except OSError as error:
        raise ConfigError(
            f"The agent does not answer on {path}: {error.strerror}. Start `edge-app agent` (as a "
            "service: systemctl start edge-app-agent), and run this as a user of its group."
        ) from error
