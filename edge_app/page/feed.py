"""Inspection's end of the page: tells the page's process what it shows, and never waits for it.

One thread of its own reads copies of the line's state. A page that is dead, hung, attacked or lying
costs this thread's time, one socket and the shared memory of three pictures, and no more.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from edge_app.ipc.frame_ring import FrameRingWriter
from edge_app.ipc.page_link import GiveBack, LineState, PageLink, Picture, Ring, Settings, Watch
from edge_app.ipc.protocol import ProtocolError
from edge_app.page.picture_notes import notes_of
from edge_app.page.source import Drawable, LineSource, LocalSource
from edge_app.page.state import PageState

_log = logging.getLogger(__name__)

STATE_EVERY_S = 0.2
"""The page asks twice a second."""

PICTURE_EVERY_S = 0.04
"""25 pictures a second look smooth; more are not copied, however many people look."""

PATIENCE_S = 30.0
"""A page that starts on a busy machine takes a while to read its first line: its socket is filled
no further meanwhile. One that has not read for so long is hung up on."""

WATCH_S = 3.0
"""A camera that nobody has asked for in this time is not copied any more."""

IDLE_TICK_S = 0.1

MAX_MESSAGES_A_SECOND = 400.0
"""The page gives back at most 25 slots a second and camera and names cameras twice a second."""

REFUSE_S = 5.0
"""After a page that broke the protocol, the next one is not served for this long."""


class PageFeed:
    """Serves one page's process at a time; the newest connection counts.

    Args:
        state: the line's latest copies.
        settings: what the page needs to know of the configuration.
        clock_s: monotonic seconds.
    """

    def __init__(
        self,
        state: PageState,
        settings: Settings,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._settings = settings
        self._clock_s = clock_s
        self._changed = threading.Condition()
        self._next: socket.socket | None = None
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="page-feed", daemon=True)

    @property
    def is_wanted(self) -> bool:
        """Whether the configuration has a page."""
        return self._settings.is_enabled

    def start(self) -> None:
        """Serve what is connected from now on."""
        self._thread.start()

    def adopt(self, connection: socket.socket) -> None:
        """Take over a connected page, in place of the one before."""
        with self._changed:
            before, self._next = self._next, connection
            self._changed.notify()
        if before is not None:
            before.close()

    def stop(self) -> None:
        """Hang up."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(3.0)

    def _run(self) -> None:
        while (connection := self._take()) is not None:
            with suppress(OSError):
                try:
                    self._serve(PageLink(connection, "inspection"))
                except ProtocolError as error:
                    _log.warning("the page's process was hung up on: %s", error)
                    self._pause(REFUSE_S)
                except OSError as error:
                    _log.debug("the page's process has gone: %s", error)
                except Exception:  # no fault here may end inspection or the next page's service
                    _log.exception("the page's feed failed; the page connects again")
                    self._pause(REFUSE_S)
                finally:
                    connection.close()

    def _take(self) -> socket.socket | None:
        """Wait for the next connection; None: the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._next is not None or self._is_stopping)
            connection, self._next = self._next, None
            if self._is_stopping and connection is not None:
                connection.close()
            return None if self._is_stopping else connection

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopping, seconds)

    def _serve(self, link: PageLink) -> None:
        link.send(self._settings)
        page = _ConnectedPage(link, self._state, self._clock_s)
        try:
            while self._next is None and not self._is_stopping:
                if not page.turn():
                    return
        finally:
            page.close()


class _ConnectedPage:
    """One connection's share of the feed: what was sent, what is watched, which slots are out."""

    def __init__(self, link: PageLink, state: PageState, clock_s: Callable[[], float]) -> None:
        self._link, self._state, self._clock_s = link, state, clock_s
        self._source: LineSource = LocalSource(state)
        self._watched_until_s: dict[str, float] = {}
        self._sent: dict[str, int] = {}
        self._due_s: dict[str, float] = {}
        self._alerts_version: int | None = None
        self._state_due_s = 0.0
        self._read_s = clock_s()
        self._ring: FrameRingWriter | None = None
        self._generation = 0
        self._allowance = _Allowance(clock_s)

    def turn(self) -> bool:
        """Read what came, send what is due; False once the page has hung up.

        Raises:
            OSError: the connection broke, or the page does not read.
            ProtocolError: the page breaks the protocol.
        """
        is_watched = bool(self._watched_until_s)
        messages = self._link.receive(PICTURE_EVERY_S / 2 if is_watched else IDLE_TICK_S)
        if messages is None:
            return False
        self._allowance.spend(len(messages))
        for message in messages:
            self._take(message)
        now_s = self._clock_s()
        if not self._link.has_room:
            if now_s - self._read_s > PATIENCE_S:
                raise OSError(f"it has not read for {PATIENCE_S:g} s")
            return True
        self._read_s = now_s
        if now_s >= self._state_due_s:
            self._state_due_s = now_s + STATE_EVERY_S
            self._send_state()
        for camera in self._watched(now_s):
            self._send_picture(camera, now_s)
        return True

    def close(self) -> None:
        """Let the shared memory go."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def _take(self, message: Watch | GiveBack) -> None:
        if isinstance(message, GiveBack):
            if self._ring is not None:
                self._ring.give_back(message.generation, message.slot)
            return
        until_s = self._clock_s() + WATCH_S
        known = [camera for camera in message.cameras if self._state.sequence(camera) is not None]
        self._watched_until_s.update(dict.fromkeys(known, until_s))

    def _watched(self, now_s: float) -> list[str]:
        for camera in [c for c, until_s in self._watched_until_s.items() if until_s < now_s]:
            del self._watched_until_s[camera]
            self._sent.pop(camera, None)  # whoever looks next gets even a picture that was sent
        return list(self._watched_until_s)

    def _send_state(self) -> None:
        version = self._state.alerts_version
        is_new = version != self._alerts_version
        self._alerts_version = version
        alerts = self._source.alerts() if is_new else None
        state = {**self._source.state(), "health": self._source.health()}
        self._link.send(LineState(state=state, alerts=alerts))

    def _send_picture(self, camera: str, now_s: float) -> None:
        """Copy a camera's newest picture if it is new, due, and the page has taken the last."""
        if now_s < self._due_s.get(camera, 0.0):
            return
        if self._ring is not None and not self._ring.has_room:
            return
        if self._state.sequence(camera) == self._sent.get(camera, 0):
            return
        drawable = self._source.picture(camera)
        if drawable is None:
            return
        self._due_s[camera] = now_s + PICTURE_EVERY_S
        if self._put(camera, drawable):
            self._sent[camera] = drawable.sequence

    def _put(self, camera: str, drawable: Drawable) -> bool:
        pixels = drawable.report.frame.pixels_hwc
        notes = notes_of(drawable.report, drawable.map_threshold)
        ring = self._room_for(len(notes) + pixels.nbytes)
        if ring is None:
            return False
        flat = memoryview(np.ascontiguousarray(pixels).reshape(-1).data)
        slot = ring.put([notes, flat])
        h, w = pixels.shape[:2]
        channels = pixels.shape[2] if pixels.ndim == 3 else 0
        self._link.send(
            Picture(
                camera=camera,
                sequence=drawable.sequence,
                generation=ring.generation,
                slot=slot,
                shape=(h, w, channels),
                notes_bytes=len(notes),
            )
        )
        return True

    def _room_for(self, length: int) -> FrameRingWriter | None:
        """Return the segment if it has a slot free; a larger one for a larger picture."""
        if self._ring is not None and length <= self._ring.slot_bytes:
            return self._ring if self._ring.has_room else None
        self.close()
        self._generation += 1
        try:
            self._ring = FrameRingWriter(self._generation, length + length // 8)
        except OSError as error:
            _log.warning("no shared memory for the page's pictures: %s", error.strerror)
            raise
        ring = Ring(generation=self._generation, slot_bytes=self._ring.slot_bytes)
        self._link.send(ring, self._ring.fd)
        return self._ring


class _Allowance:
    """How many messages the page may still send: some at once, so many a second on average."""

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._left = MAX_MESSAGES_A_SECOND
        self._at_s = clock_s()

    def spend(self, count: int) -> None:
        """Count messages.

        Raises:
            ProtocolError: more than anybody needs.
        """
        now_s = self._clock_s()
        grown = self._left + (now_s - self._at_s) * MAX_MESSAGES_A_SECOND
        self._left = min(MAX_MESSAGES_A_SECOND, grown) - count
        self._at_s = now_s
        if self._left < 0:
            raise ProtocolError(f"more than {MAX_MESSAGES_A_SECOND:g} messages a second")
