"""Aravis, in the child: GigE Vision and USB3 Vision. Needs PyGObject, the system Python's."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

from edge_app.cameras.genicam_settings import GenicamSettings
from edge_app.cameras.isolation.raw import RawFrame, Settings
from edge_app.cameras.pixel_format import name_of_code, stride_of
from edge_app.errors import CameraUnavailable, FrameCorrupt, FrameTimeout

BUFFERS = 8
"""Frames the stream may hold while Python is busy."""

GVCP_PORT = 3956

GVCP_DISCOVERY = bytes.fromhex("42 11 0002 0000 0001")
"""GigE Vision's DISCOVERY_CMD: key, flags (answer me), command, no payload, request id."""

DISCOVERY_S = 0.5
"""A camera on its own cable answers within milliseconds."""

INSTALL = "apt-get install python3-gi gir1.2-aravis-0.8"


class AravisSource:
    """Implements `raw.RawSource`."""

    def __init__(self, settings: GenicamSettings) -> None:
        self._settings = settings
        self._camera: Any = None
        self._stream: Any = None
        self._is_lost = False

    def open(self) -> None:
        try:
            import gi

            gi.require_version("Aravis", "0.8")
            from gi.repository import Aravis, GLib
        except (ImportError, ValueError) as error:
            raise CameraUnavailable(
                f"GigE Vision and USB3 Vision cameras need Aravis for Python ({error}): {INSTALL}."
            ) from error
        self._aravis, self._error = Aravis, GLib.Error
        try:
            self._camera = Aravis.Camera.new(self._id_of_wanted())
            self._apply()
            self._start()
        except GLib.Error as error:
            raise CameraUnavailable(
                f"GigE or USB3 Vision camera {self._settings.device or '(first)'} cannot be "
                f"opened: {error.message}. Check that no other program holds it; one that was "
                "killed holds it until the camera's heartbeat has run out (usually 3 s)."
            ) from error

    def read(self, timeout_s: float) -> RawFrame:
        if self._is_lost:
            raise CameraUnavailable(
                "The camera does not answer any more. Check its cable, power and network."
            )
        until_s = time.monotonic() + timeout_s
        while (frame := self._take(max(0.0, until_s - time.monotonic()))) is None:
            pass  # with no time left Aravis has no buffer, and that raises
        return frame

    def _take(self, timeout_s: float) -> RawFrame | None:
        """Return the next frame; None for a buffer that Aravis gives back without one.

        Such a buffer was never begun ("cleared", seen once at the start of a stream on a busy
        machine). It stands for no frame: one that was lost shows in the numbers of those behind it,
        and is told by them.
        """
        buffer = self._stream.timeout_pop_buffer(round(timeout_s * 1e6))
        if buffer is None:
            raise FrameTimeout("Aravis had no frame in time")
        try:
            status = buffer.get_status()
            if status == self._aravis.BufferStatus.CLEARED:
                return None
            if status != self._aravis.BufferStatus.SUCCESS:
                raise FrameCorrupt(f"Aravis: {status.value_nick.replace('-', ' ')}")
            hw = (buffer.get_image_height(), buffer.get_image_width())
            pixel_format = name_of_code(buffer.get_image_pixel_format())
            return RawFrame(
                data=buffer.get_data(),
                hw=hw,
                stride=stride_of(pixel_format, hw[1], _padding_of(buffer)),
                pixel_format=pixel_format,
                device_ns=buffer.get_timestamp() or None,
                frame_id=buffer.get_frame_id(),
            )
        finally:
            self._stream.push_buffer(buffer)

    def trigger(self) -> None:
        try:
            self._camera.software_trigger()
        except self._error as error:
            raise CameraUnavailable(f"The camera takes no trigger: {error.message}.") from error

    def close(self) -> None:
        if self._camera is not None and not self._is_lost:
            try:
                self._camera.stop_acquisition()
            except self._error:  # it has gone meanwhile; there is nothing to stop
                self._is_lost = True

    def _start(self) -> None:
        self._camera.get_device().connect("control-lost", self._lost)
        self._stream = self._camera.create_stream(None, None)
        size = self._camera.get_payload()
        for _ in range(BUFFERS):
            self._stream.push_buffer(self._aravis.Buffer.new_allocate(size))
        self._camera.start_acquisition()

    def _lost(self, _device: object) -> None:
        """Called in Aravis' heartbeat thread."""
        self._is_lost = True

    def _apply(self) -> None:
        """Write the settings into the camera; a refused one is named by `_set`."""
        wanted, camera = self._settings, self._camera
        if camera.is_gv_device():
            camera.gv_auto_packet_size()
        if wanted.pixel_format is not None:
            self._set("pixel_format", camera.set_pixel_format_from_string, wanted.pixel_format)
        if wanted.region_xywh is not None:
            self._set("region", camera.set_region, *wanted.region_xywh)
        if wanted.exposure_us is not None:
            self._set("exposure_us", camera.set_exposure_time, wanted.exposure_us)
        if wanted.gain is not None:
            self._set("gain", camera.set_gain, wanted.gain)
        camera.clear_triggers()
        if wanted.fps is not None:
            self._set("fps", camera.set_frame_rate, wanted.fps)
        if wanted.trigger != "off":
            line = "Software" if wanted.is_fired else wanted.trigger
            self._set("trigger", camera.set_trigger, line)

    def _set(self, option: str, setter: Any, *values: object) -> None:
        try:
            setter(*values)
        except self._error as error:
            shown = ",".join(str(value) for value in values)
            hint = f" It offers {', '.join(self._formats())}." if option == "pixel_format" else ""
            raise CameraUnavailable(
                f"The camera refuses {option} = {shown}: {error.message}.{hint}"
            ) from error

    def _formats(self) -> list[str]:
        return list(self._camera.dup_available_pixel_formats_as_strings())

    def _id_of_wanted(self) -> str:
        """Return what Aravis opens the wanted camera by.

        An IP address is asked directly; for a serial number the networks are searched, which
        takes Aravis one second. Without the search it may stream over the wrong interface.
        """
        wanted = self._settings.device
        if re.fullmatch(r"\d+\.\d+\.\d+\.\d+", wanted):
            if not answers_discovery(wanted):
                raise CameraUnavailable(
                    f"No GigE Vision camera answers at {wanted} (UDP port {GVCP_PORT}). Check "
                    "cable, power and address, and that this machine is in the same subnet."
                )
            return wanted
        library, found = self._aravis, []
        library.update_device_list()
        for i in range(library.get_n_devices()):
            found.append(str(library.get_device_id(i)))
            names = (library.get_device_serial_nbr(i), library.get_device_physical_id(i))
            if not wanted or wanted in (found[-1], *names):
                return found[-1]
        raise CameraUnavailable(
            f"There is no GigE or USB3 Vision camera {wanted or 'at all'}; found: "
            f"{', '.join(found) or 'none'}. Check cable, power and network (same subnet); a camera "
            "behind a router is found by its IP address only."
        )


def _padding_of(buffer: Any) -> int:
    """Return the bytes behind each row; an older Aravis does not tell."""
    told = getattr(buffer, "get_image_padding", None)
    return int(told()[0]) if told is not None else 0


def answers_discovery(address: str) -> bool:
    """Tell whether a GigE Vision camera is there: Aravis' own attempt takes 2.5 s to fail."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(DISCOVERY_S)
        try:
            asking.connect((address, GVCP_PORT))
            asking.send(GVCP_DISCOVERY)
            return bool(asking.recv(1024))
        except OSError:
            return False


def make_source(settings: Settings) -> AravisSource:
    """Return the driver for settings made by `GenicamSettings.as_json`."""
    return AravisSource(GenicamSettings.from_json(settings))
