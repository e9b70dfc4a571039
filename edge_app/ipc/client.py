"""One question to the agent over its socket, and what it says to that."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_app.errors import ConfigError
from edge_app.ipc.protocol import TO_PEER, Answer, Line, LineSocket


def said(socket_path: Path, command: Line, timeout_s: float | None = None) -> Iterator[Line]:
    """Yield what the agent says to a command until it hangs up.

    Args:
        timeout_s: for each line; None waits as long as it takes.

    Raises:
        ConfigError: the agent is not there.
        TimeoutError: nothing came in time; what was asked for goes on.
    """
    with _connected(socket_path, timeout_s) as agent:
        agent.send(command)
        while (line := agent.receive()) is not None:
            yield line


def ask(socket_path: Path, command: Line, timeout_s: float | None = None) -> Answer:
    """Return the agent's answer to a command.

    Raises:
        ConfigError: the agent is not there, or ended before it answered.
        TimeoutError: see `said`.
    """
    for line in said(socket_path, command, timeout_s):
        if isinstance(line, Answer):
            return line
    raise ended()


def ended() -> ConfigError:
    """Return the error for an agent that hung up before its answer."""
    return ConfigError("The agent ended before it answered; look into its journal.")


@contextmanager
def _connected(socket_path: Path, timeout_s: float | None) -> Iterator[LineSocket]:
    connection = say_to_agent(socket_path)
    connection.settimeout(timeout_s)
    agent = LineSocket(connection, TO_PEER)
    try:
        yield agent
    finally:
        agent.close()


def say_to_agent(path: Path) -> socket.socket:
    """Return a connection to the agent.

    Raises:
        ConfigError: it does not run, or this user may not speak to it.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.fspath(path))
    except OSError as error:
        connection.close()
        raise ConfigError(
            f"The agent does not answer on {path}: {error.strerror}. Start `edge-app agent` (as a "
            "service: systemctl start edge-app-agent), and run this as a user of its group."
        ) from error
    return connection
