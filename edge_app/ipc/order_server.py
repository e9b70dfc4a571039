"""Takes orders in the inspection process; see `order_schema.py`."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge_app.errors import ConfigError, EdgeError
from edge_app.ipc.order_schema import MAX_LINE_BYTES, ORDER, AnyOrder, OrderAnswer
from edge_app.ipc.peers import SOCKET_MODES, Peer, Role, is_agent, listen, may_play, peer_of
from edge_app.ipc.unix_socket import read_line, stop_listening

_log = logging.getLogger(__name__)

RECEIVE_S = 5.0
"""A peer that connects says at once what it wants, and reads the answer."""

STOP_S = 2.0
"""A stop waits so long for the order in hand: its disk may hang."""

MAX_PEERS = 8
"""Connections at once; the ones above are closed unread."""

BACKLOG = 8

Execute = Callable[[AnyOrder, Peer], OrderAnswer]
"""Carries an order out; raises an EdgeError for what is refused."""


class OrderServer:
    """Listens for orders; each peer's account is checked before a byte is read.

    Args:
        path: the socket; a stale file in its place is removed.
        execute: called in the connection's thread, one order at a time.
    """

    def __init__(self, path: Path, execute: Execute) -> None:
        self.path = path
        self._execute = execute
        self._listener: socket.socket | None = None
        self._places = threading.BoundedSemaphore(MAX_PEERS)
        self._one = threading.Lock()
        self._refused = 0
        self._thread = threading.Thread(target=self._accept, name="orders", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigError: the socket cannot be made.
        """
        try:
            self._listener = listen(self.path, SOCKET_MODES[Role.PAGE], BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"The socket {self.path} for orders cannot be made: {error.strerror or error}. "
                "Its folder must be writable for the account that inspects."
            ) from error
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; the order in hand is finished."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        stop_listening(listener, self._thread, self.path)
        if self._one.acquire(timeout=STOP_S):
            self._one.release()

    def _accept(self) -> None:
        while (listener := self._listener) is not None:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._listener is None:
                    return
                _log.warning("no order can be taken: %s", error)
                time.sleep(1.0)  # no descriptor is free: alarms need them first
                continue
            who = peer_of(connection)
            if not (may_play(Role.PAGE, who.uid) or is_agent(who.uid)):
                self._turn_away(connection, f"user {who.uid} may give no orders")
            elif not self._places.acquire(blocking=False):
                self._turn_away(connection, f"{MAX_PEERS} connections are open already")
            else:
                threading.Thread(
                    target=self._serve, args=(connection, who), name="order", daemon=True
                ).start()

    def _turn_away(self, connection: socket.socket, why: str) -> None:
        connection.close()
        self._refused += 1
        _log.log(logging.WARNING if self._refused == 1 else logging.DEBUG, "orders: %s", why)
        time.sleep(0.05)  # at most 20 of them a second cost anything

    def _serve(self, connection: socket.socket, who: Peer) -> None:
        try:
            timeout = struct.pack("ll", int(RECEIVE_S), 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
            line = read_line(connection, time.monotonic() + RECEIVE_S, MAX_LINE_BYTES)
            connection.settimeout(RECEIVE_S)
            connection.sendall(self._answer(line, who).model_dump_json().encode() + b"\n")
        except OSError as error:
            _log.warning("orders: process %d was not answered: %s", who.pid, error)
        finally:
            connection.close()
            self._places.release()

    def _answer(self, line: bytes, who: Peer) -> OrderAnswer:
        try:
            order = ORDER.validate_json(line)
        except (ValidationError, RecursionError) as error:
            return OrderAnswer(is_done=False, text=_words(error))
        with self._one:
            if self._listener is None:
                return OrderAnswer(is_done=False, text="Inspection is stopping: nothing was done.")
            return self._carry_out(order, who)

    def _carry_out(self, order: AnyOrder, who: Peer) -> OrderAnswer:
        try:
            return self._execute(order, who)
        except EdgeError as error:
            return OrderAnswer(is_done=False, text=str(error)[:4000])
        except Exception:  # one order must not end the others
            _log.exception("an order failed")
            return OrderAnswer(is_done=False, text="The order failed; see inspection's journal.")


def _words(error: Exception) -> str:
    """Return why a line is no order, in one sentence."""
    found: list[Any] = (
        list(error.errors(include_url=False)[:3]) if isinstance(error, ValidationError) else []
    )
    what = "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in found)
    return f"This is no order that inspection knows: {what or 'it is nested too deeply'}"[:4000]
