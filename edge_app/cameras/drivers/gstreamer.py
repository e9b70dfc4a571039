"""Any GStreamer pipeline, in the child. Needs PyGObject, the system Python's."""

from __future__ import annotations

from typing import Any

from edge_app.cameras.isolation.raw import RawFrame, Settings
from edge_app.errors import CameraUnavailable, FrameTimeout

TAIL = "videoconvert ! video/x-raw,format=BGR ! appsink name=cropliq max-buffers=4 sync=false"
"""Ends every pipeline. Four buffers: a slow reader holds the pipeline back and loses nothing."""

INSTALL = (
    "apt-get install python3-gi gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base "
    "gstreamer1.0-plugins-good"
)

START_NS = 1_000_000_000
"""A pipeline that cannot start says so at once; one that is slow to start goes on in `read`."""

FAILURE_NS = 1_000_000_000
"""How long the reason of a failed start may take to arrive."""


class GstreamerSource:
    """Implements `raw.RawSource`."""

    def __init__(self, pipeline: str) -> None:
        self._text = f"{pipeline} ! {TAIL}"
        self._pipeline: Any = None

    def open(self) -> None:
        try:
            import gi

            gi.require_version("Gst", "1.0")
            from gi.repository import GLib, Gst
        except (ImportError, ValueError) as error:
            raise CameraUnavailable(
                f"GStreamer cameras need GStreamer for Python ({error}): {INSTALL}."
            ) from error
        self._gst = Gst
        Gst.init([])
        try:
            self._pipeline = Gst.parse_launch(self._text)
        except GLib.Error as error:
            raise CameraUnavailable(
                f"The GStreamer pipeline cannot be built: {error.message}. A missing element comes "
                f"with a plugin package ({INSTALL}; on a Jetson nvidia-l4t-gstreamer)."
            ) from error
        self._sink = self._pipeline.get_by_name("cropliq")
        self._pipeline.set_state(Gst.State.PLAYING)
        outcome, _, _ = self._pipeline.get_state(START_NS)
        if outcome == Gst.StateChangeReturn.FAILURE:
            raise self._gone(self._next_message(FAILURE_NS))

    def read(self, timeout_s: float) -> RawFrame:
        sample = self._sink.emit("try-pull-sample", round(timeout_s * 1e9))
        if sample is None:
            message = self._next_message(0)
            if message is not None:
                raise self._gone(message)
            raise FrameTimeout("GStreamer had no frame in time")
        buffer, caps = sample.get_buffer(), sample.get_caps().get_structure(0)
        h, w = caps.get_value("height"), caps.get_value("width")
        is_stamped = buffer.pts != self._gst.CLOCK_TIME_NONE
        return RawFrame(
            data=buffer.extract_dup(0, buffer.get_size()),
            hw=(h, w),
            stride=-(-w * 3 // 4) * 4,  # GStreamer's own rule for BGR without a video meta
            pixel_format="BGR8",
            device_ns=buffer.pts if is_stamped else None,
        )

    def trigger(self) -> None:
        raise CameraUnavailable("A GStreamer pipeline runs free; it takes no trigger.")

    def close(self) -> None:
        if self._pipeline is not None:
            self._pipeline.set_state(self._gst.State.NULL)
            self._pipeline = None

    def _next_message(self, timeout_ns: int) -> Any:
        kinds = self._gst.MessageType.ERROR | self._gst.MessageType.EOS
        return self._pipeline.get_bus().timed_pop_filtered(timeout_ns, kinds)

    def _gone(self, message: Any) -> CameraUnavailable:
        """Return what the pipeline says of its end."""
        if message is None:
            return CameraUnavailable("The GStreamer pipeline does not start and does not say why.")
        if message.type == self._gst.MessageType.EOS:
            return CameraUnavailable("The GStreamer pipeline has ended; it is started again.")
        error, details = message.parse_error()
        where = (details or "").splitlines()[-1:] or [""]
        return CameraUnavailable(
            f"GStreamer element {message.src.get_name()}: {error.message} {where[0]}".strip()
        )


def make_source(settings: Settings) -> GstreamerSource:
    """Return the driver for `{"pipeline": TEXT}`."""
    return GstreamerSource(settings["pipeline"])
