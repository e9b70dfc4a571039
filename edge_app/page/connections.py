"""One client's connection: a time limit for every phase, and a place among so many.

A client that is slow in any way costs its own connection: the first byte, the headers, the body
and the reading of the answer each have a limit. When all places are taken, the client that has been
idle longest makes room for the next; idle connections can therefore shut nobody out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

LOG = logging.getLogger(__name__)

MAX_CONNECTIONS = 256

PHASE_S = {"first byte": 10.0, "headers": 10.0, "body": 10.0}
"""How long a client may take. An answer may take as long as it needs, if the client reads it."""

STALLED_S = 20.0
"""A client that reads nothing of what waits for it, 48 kB at least, is hung up on."""

CLOSING_S = 10.0
"""What was still to be sent when the connection was closed must be read by then."""

TICK_S = 1.0

TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 49\r\n\r\nToo many clients ask at once. Try again shortly.\n"
)
BROKEN = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 30\r\n\r\nThis is not an HTTP request. \n"
)


class GuardedConnection(H11Protocol):
    """uvicorn's connection with limits. Runs in the server's event loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.access_log = False
        self._phase = "first byte"
        self._phase_since_s = self._since_s = self.loop.time()
        self._paused_since_s: float | None = None
        self._closing_since_s: float | None = None
        self._tick: asyncio.TimerHandle | None = None
        self.is_evicted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._tick = self.loop.call_later(TICK_S, self._check)
        others = [c for c in self.connections if isinstance(c, GuardedConnection)]
        if sum(not c.is_evicted for c in others) > MAX_CONNECTIONS:
            self._make_room([c for c in others if c is not self and c.is_idle])

    def connection_lost(self, exc: Exception | None) -> None:
        if self._tick is not None:
            self._tick.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except Exception as error:  # a number of 5,000 digits, a byte that is no ASCII
            LOG.warning("a request cannot be read: %s", type(error).__name__)
            self._refuse(BROKEN)
            return
        self._follow()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._paused_since_s = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused_since_s = None

    @property
    def is_idle(self) -> bool:
        """No request of this client is being answered, and it is not hung up on already."""
        return not self.is_evicted and (self.cycle is None or self.cycle.response_complete)

    def _unsupported_upgrade_warning(self) -> None:
        LOG.warning("a client asks for another protocol (upgrade); it is answered in HTTP")

    def _make_room(self, idle: list[GuardedConnection]) -> None:
        """Hang up on the client that has been idle longest; without one, on the newcomer."""
        if not idle:
            LOG.warning("%d clients ask at once; the next one was refused", MAX_CONNECTIONS)
            self._refuse(FULL)
            return
        oldest = min(idle, key=lambda connection: connection._phase_since_s)
        LOG.info("all %d places are taken; the longest idle client was hung up on", MAX_CONNECTIONS)
        oldest.is_evicted = True
        oldest.transport.abort()

    def _refuse(self, answer: bytes) -> None:
        self.is_evicted = True
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()

    def _follow(self) -> None:
        """Note in which phase of a request the client is."""
        phase = self._phase_now()
        if phase != self._phase:
            self._phase, self._phase_since_s = phase, self.loop.time()

    def _phase_now(self) -> str:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return "body"
        if state is not h11.IDLE:
            return "answer"
        if self.conn.trailing_data[0]:
            return "headers"
        return "first byte" if self.cycle is None else "idle"

    def _check(self) -> None:
        """Hang up once a limit is passed."""
        now_s = self.loop.time()
        self._tick = self.loop.call_later(TICK_S, self._check)
        if self.transport.is_closing():
            self._closing_since_s = self._closing_since_s or now_s
            if now_s - self._closing_since_s > CLOSING_S:
                self.transport.abort()
        elif self._paused_since_s is not None and now_s - self._paused_since_s > STALLED_S:
            LOG.info("a client that does not read was hung up on")
            self.transport.abort()
        elif now_s - self._phase_since_s > PHASE_S.get(self._phase, float("inf")):
            LOG.info("a client that does not send was hung up on: %s", self._phase)
            self._refuse(TIMED_OUT)
