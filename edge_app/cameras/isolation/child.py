"""The child process: opens one driver and passes on what it gives, until nobody listens.

Everything here runs in one thread. While the driver returns, a message goes out at least every
`READ_SLICE_S`; when it does not, silence is what tells the parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import socket
import sys
from typing import cast

from edge_app.cameras.isolation.frame_ids import FrameIdGaps
from edge_app.cameras.isolation.raw import PictureAwaited, PictureSpoilt, RawFrame, RawSource
from edge_app.cameras.isolation.ring import RingWriter
from edge_app.cameras.isolation.wire import Message, Wire, WireClosed
from edge_app.errors import CameraUnavailable, EdgeError, FrameCorrupt, FrameTimeout
from edge_app.secret_text import mask

READ_SLICE_S = 0.25
"""Longest single wait for a frame: a driver that returns is heard of four times a second."""

PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


class Courier:
    """Carries one open source's frames to the parent.

    Args:
        is_fired: frames come only for a trigger of ours, one at a time.
        trigger_timeout_s: how long a fired frame may take.
        wraps_after: see FrameIdGaps.
    """

    def __init__(
        self,
        wire: Wire,
        source: RawSource,
        *,
        is_fired: bool,
        trigger_timeout_s: float,
        wraps_after: int | None,
    ) -> None:
        self._wire, self._source = wire, source
        self._is_fired = is_fired
        self._slices = max(1, round(trigger_timeout_s / READ_SLICE_S))
        self._gaps = FrameIdGaps(wraps_after)
        self._ring: RingWriter | None = None
        self._dropped = 0

    def run(self) -> None:
        """Go on until the parent closes its end (WireClosed) or the driver fails (its error)."""
        while True:
            if self._is_fired:
                self._serve_one_trigger()
            else:
                self._take_orders(0.0)
                self._read_once(None)

    def _serve_one_trigger(self) -> None:
        number = self._take_orders(READ_SLICE_S)
        if number is None:
            self._wire.send({"is": "alive"}, may_wait=True)
            return
        self._discard_late_frames()
        self._source.trigger()
        for _ in range(self._slices):
            if self._read_once(number):
                return
        seconds = self._slices * READ_SLICE_S
        self._say_lost(number, f"no frame within {seconds:g} s of its trigger")

    def _discard_late_frames(self) -> None:
        """A frame whose trigger was given up must not be taken for the next one's."""
        with contextlib.suppress(FrameTimeout):
            while True:
                with contextlib.suppress(FrameCorrupt):
                    self._source.read(0.0)

    def _take_orders(self, timeout_s: float) -> int | None:
        """Take slots back; return the next trigger's number as soon as there is one."""
        while (received := self._wire.receive(timeout_s)) is not None:
            order = received[0]
            if order["do"] == "trigger":
                return int(order["number"])
            if self._ring is not None:
                self._ring.give_back(order["ring"], order["slot"])
        return None

    def _read_once(self, number: int | None) -> bool:
        """Read for one slice and pass on what came; tell whether a frame came or was lost."""
        try:
            raw = self._source.read(READ_SLICE_S)
        except FrameTimeout as error:
            is_data = isinstance(error, PictureAwaited)
            self._wire.send({"is": "alive", "data": is_data}, may_wait=True)
            return False
        except FrameCorrupt as error:
            self._gaps.told_as_lost()
            self._say_lost(number, str(error), isinstance(error, PictureSpoilt))
            return True
        missing = self._gaps.missing_before(raw.frame_id)
        if missing and not self._is_fired:
            self._say_missed(missing, "lost on the way from the camera")
        self._pass_on(raw, number)
        return True

    def _pass_on(self, raw: RawFrame, number: int | None) -> None:
        slot = self._ring_for(len(raw.data)).put(raw.data)
        if slot is None:
            self._dropped += 1
            if number is not None:
                self._say_lost(number, "nobody took the frames before it")
            return
        if self._dropped and not self._is_fired:
            self._say_missed(self._dropped, "it came faster than frames were taken")
        self._dropped = 0
        assert self._ring is not None
        self._wire.send(
            {
                "is": "frame",
                "slot": slot,
                "length": len(raw.data),
                "hw": raw.hw,
                "stride": raw.stride,
                "pixel_format": raw.pixel_format,
                "device_ns": raw.device_ns,
                "number": number,
            },
            may_wait=True,
        )

    def _ring_for(self, length: int) -> RingWriter:
        """Return a ring whose slots are large enough; a larger one is announced."""
        ring = self._ring
        if ring is not None and ring.slot_bytes >= length:
            return ring
        generation = ring.generation + 1 if ring is not None else 0
        if ring is not None:
            ring.close()
        self._ring = RingWriter(generation, max(1, length))
        news = {"is": "ring", "generation": generation, "slot_bytes": self._ring.slot_bytes}
        self._wire.send(news, self._ring.fd, may_wait=True)
        return self._ring

    def _say_lost(self, number: int | None, why: str, is_data: bool = False) -> None:
        """One frame came, but not whole."""
        message: Message = {"is": "lost", "number": number, "why": why, "data": is_data}
        self._wire.send(message, may_wait=True)

    def _say_missed(self, count: int, why: str) -> None:
        """So many frames are known of only by the gap they left."""
        self._wire.send({"is": "missed", "count": count, "why": why}, may_wait=True)


def serve(wire: Wire) -> None:
    """Do what the first message says: open a driver and carry its frames."""
    received = wire.receive(None)
    assert received is not None
    order = received[0]
    source: RawSource | None = None
    try:
        module = importlib.import_module(order["driver"])
        source = cast("RawSource", module.make_source(order["settings"]))
        source.open()
        wire.send({"is": "opened"}, may_wait=True)
        Courier(
            wire,
            source,
            is_fired=order["is_fired"],
            trigger_timeout_s=order["trigger_timeout_s"],
            wraps_after=order["wraps_after"],
        ).run()
    except WireClosed:
        return
    except Exception as error:
        with contextlib.suppress(WireClosed):
            wire.send(_failure_of(error), may_wait=True)
    finally:
        if source is not None:
            source.close()


def _failure_of(error: Exception) -> Message:
    if isinstance(error, EdgeError):
        return {"is": "failed", "kind": type(error).__name__, "why": str(error)}
    why = mask(f"the driver raised {type(error).__name__}: {error}")
    return {"is": "failed", "kind": CameraUnavailable.__name__, "why": why}


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel end this process when the thread that started it is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it went before we asked
        sys.exit(0)


def main(fd: int, parent_pid: int) -> None:
    """Serve over an inherited socket; stop signals are the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with_parent(parent_pid)
    try:
        serve(Wire(socket.socket(fileno=fd)))
    finally:
        sys.stderr.flush()
        os._exit(0)  # a lost camera's driver would wait for it again while Python tidies up
