"""Drivers that misbehave on purpose; run in the isolated child, so the faults are real.

`make_source({"odd": NAME, ...})` chooses one. Standard library only, like every driver.
"""

from __future__ import annotations

import os
import time
from typing import Any

from edge_app.cameras.isolation.raw import RawFrame
from edge_app.errors import CameraUnavailable, EndOfStream, FrameCorrupt, FrameTimeout

HW = (4, 6)


class Steady:
    """A grey 6 x 4 picture every `period_s`; frame n has grey level n."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.count = 0
        self.pending = 0

    def open(self) -> None:
        pass

    def read(self, timeout_s: float) -> RawFrame:
        time.sleep(self.settings.get("period_s", 0.01))
        self.count += 1
        return self.picture()

    def picture(self) -> RawFrame:
        data = bytes([self.count % 256]) * (HW[0] * HW[1])
        stamp_ns = round(time.monotonic_ns() * self.settings.get("rate", 1))
        return RawFrame(data, HW, HW[1], "Mono8", stamp_ns, self.count)

    def trigger(self) -> None:
        self.pending += 1

    def close(self) -> None:
        pass


class Fired(Steady):
    """Shows a picture for each trigger, except every `lose_every`-th."""

    def read(self, timeout_s: float) -> RawFrame:
        if not self.pending:
            time.sleep(timeout_s)
            raise FrameTimeout("nothing")
        self.pending = 0
        self.count += 1
        if self.count == self.settings.get("hang_at"):
            time.sleep(3600)
        if self.count % self.settings.get("lose_every", 10**9) == 0:
            raise FrameCorrupt("three packets are missing")
        return self.picture()


class Hangs(Steady):
    """The second read never returns."""

    def read(self, timeout_s: float) -> RawFrame:
        if self.count == 1:
            time.sleep(3600)
        return super().read(timeout_s)


class HangsAtOpen(Steady):
    def open(self) -> None:
        time.sleep(3600)


class HangsAtClose(Steady):
    def close(self) -> None:
        time.sleep(3600)


class Crashes(Steady):
    """Dies as a driver dies of a segmentation fault: without a word."""

    def read(self, timeout_s: float) -> RawFrame:
        if self.count == 2:
            os.abort()
        return super().read(timeout_s)


class Unplugged(Steady):
    def read(self, timeout_s: float) -> RawFrame:
        if self.count == 2:
            raise CameraUnavailable("The cable was pulled. Plug it in again.")
        return super().read(timeout_s)


class Absent(Steady):
    def open(self) -> None:
        raise CameraUnavailable("There is no such camera. Plug it in.")


class Raises(Steady):
    def open(self) -> None:
        raise ZeroDivisionError("a bug in the driver")


class Silent(Steady):
    def read(self, timeout_s: float) -> RawFrame:
        time.sleep(timeout_s)
        raise FrameTimeout("nothing")


class Ends(Steady):
    def read(self, timeout_s: float) -> RawFrame:
        if self.count == 2:
            raise EndOfStream("all shown")
        return super().read(timeout_s)


class HalfFrame(Steady):
    """Every second frame lacks its lower half."""

    def picture(self) -> RawFrame:
        whole = super().picture()
        if self.count % 2:
            return whole
        return RawFrame(whole.data[: HW[0] * HW[1] // 2], HW, HW[1], "Mono8", None, self.count)


class WrongFormat(Steady):
    def picture(self) -> RawFrame:
        return RawFrame(b"\0" * 24, HW, HW[1], "Confidence8", None, self.count)


class Gaps(Steady):
    """The camera counts 1, 2, 5, 6, 9, ...: two of four are lost on the way."""

    def picture(self) -> RawFrame:
        whole = super().picture()
        frame_id = self.count + 2 * ((self.count - 1) // 2)
        return RawFrame(whole.data, HW, HW[1], "Mono8", None, frame_id)


class Grows(Steady):
    """The picture's size changes with every frame."""

    def picture(self) -> RawFrame:
        h, w = HW[0] * self.count, HW[1] * self.count
        return RawFrame(bytes([self.count]) * (h * w), (h, w), w, "Mono8", None, self.count)


def make_source(settings: dict[str, Any]) -> Steady:
    kind: type[Steady] = globals()[settings["odd"]]
    return kind(settings)
