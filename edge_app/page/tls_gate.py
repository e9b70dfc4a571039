"""A port that speaks TLS: who speaks plain HTTP there gets a sentence, who says nothing is hung up.

The gate stands before uvicorn's connection, so that a client in the middle of its handshake is
counted and timed too: at most so many wait at once. Where more come, the one that has waited
longest without a byte goes first, then the one whose handshake has lasted longest.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any, cast

from uvicorn.server import ServerState

from edge_app.page.connections import GuardedConnection

_log = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
MAX_HANDSHAKES = 64
TLS_RECORD = 0x16
"""First byte of a TLS handshake; no method of HTTP begins with it."""

PLAIN = (
    "This page is served over TLS only: open it as https://. Its certificate's fingerprint is in "
    "the page's journal and from `edge-app tls show`.\n"
)
ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    + f"Content-Length: {len(PLAIN)}\r\n\r\n{PLAIN}".encode()
)


class TlsGate(asyncio.Protocol):
    """Takes a connection, looks at its first byte, and hands it on over TLS.

    Args:
        context: how TLS is spoken.
        waiting: handshakes that have not ended, the oldest first; shared by all connections.
        making: arguments of the connection behind the gate.
    """

    def __init__(
        self, context: ssl.SSLContext, waiting: dict[TlsGate, None], making: dict[str, Any]
    ) -> None:
        self._context, self._waiting, self._making = context, waiting, making
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._state: ServerState = making["server_state"]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self.hang_up)
        self._waiting[self] = None
        if len(self._waiting) > MAX_HANDSHAKES:
            silent = (gate for gate in self._waiting if gate._task is None and gate is not self)
            next(silent, next(iter(self._waiting))).hang_up()

    def connection_lost(self, _error: Exception | None) -> None:
        self._leave()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or self._task is not None:
            return
        if data[0] != TLS_RECORD:
            transport.write(ANSWER)
            transport.close()
            return
        transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._shake_hands(transport, data))
        self._state.tasks.add(self._task)
        self._task.add_done_callback(self._state.tasks.discard)

    def hang_up(self) -> None:
        """End a connection whose handshake takes too long."""
        self._leave()
        if self._task is not None:  # asyncio's own wait may have missed that the connection ended
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _shake_hands(self, transport: asyncio.Transport, first: bytes) -> None:
        if transport.is_closing():
            self._leave()
            return
        loop = asyncio.get_running_loop()
        held = _Held()
        starting = asyncio.ensure_future(
            loop.start_tls(
                transport,
                held,
                self._context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        )
        await asyncio.sleep(0)  # it has begun now: its protocol is the transport's from here on
        loop.call_soon(_feed, transport, first)
        try:
            secured = await starting
        except (OSError, ssl.SSLError, asyncio.CancelledError) as error:
            _log.debug("a TLS handshake has failed: %s", error)
            transport.abort()
            return
        finally:
            self._leave()
        if secured is None or secured.is_closing() or held.is_lost:
            transport.abort()
            return
        behind = GuardedConnection(**self._making)
        secured.set_protocol(behind)
        behind.connection_made(secured)
        if held.data:
            behind.data_received(bytes(held.data))

    def _leave(self) -> None:
        self._waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Held(asyncio.Protocol):
    """Keeps what the client said right after its handshake, until the connection is there."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_lost = True


def _feed(transport: asyncio.Transport, data: bytes) -> None:
    """Give the first bytes, which had to be looked at, to the protocol that is there now; to nobody
    where the connection has ended meanwhile."""
    if transport.is_closing():
        return
    protocol = transport.get_protocol()
    if not isinstance(protocol, asyncio.BufferedProtocol):
        cast(asyncio.Protocol, protocol).data_received(data)
        return
    while data:
        room = memoryview(protocol.get_buffer(len(data)))
        count = min(len(room), len(data))
        room[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]


def gate_for(context: ssl.SSLContext) -> Any:
    """Return what uvicorn makes of each connection in place of its own protocol."""
    waiting: dict[TlsGate, None] = {}

    def made(**making: Any) -> TlsGate:
        return TlsGate(context, waiting, making)

    return made
