"""Basler's pylon, in the child. PYLON_CAMEMU=2 in the environment gives two emulated cameras."""

from __future__ import annotations

from typing import Any

from edge_app.cameras.genicam_settings import GenicamSettings
from edge_app.cameras.isolation.raw import RawFrame, Settings
from edge_app.cameras.pixel_format import name_of_code, stride_of
from edge_app.errors import CameraUnavailable, FrameCorrupt, FrameTimeout

TRIGGER_READY_MS = 1000
"""How long the camera may be busy with the frame before."""

NO_BLOCK_ID = (1 << 64) - 1

_PYLON_NAMES = {"RGB8": "RGB8Packed", "BGR8": "BGR8Packed", "BGRa8": "BGRA8Packed"}
"""Older cameras and the emulation call these otherwise than PFNC does."""


class BaslerSource:
    """Implements `raw.RawSource`."""

    def __init__(self, settings: GenicamSettings) -> None:
        self._settings = settings
        self._camera: Any = None
        self._ns_per_tick = 1.0

    def open(self) -> None:
        try:
            from pypylon import genicam, pylon
        except ImportError as error:
            raise CameraUnavailable(
                "Basler cameras need pylon's Python package, which is not installed: "
                "pip install 'cropliq-edge[basler]'."
            ) from error
        self._pylon, self._genicam = pylon, genicam
        try:
            info = self._find()
            self._camera = pylon.InstantCamera(pylon.TlFactory.GetInstance().CreateDevice(info))
            self._camera.Open()
        except genicam.GenericException as error:
            raise CameraUnavailable(
                f"Basler camera {self._settings.device or '(first)'} cannot be opened: "
                f"{_said(error)}. Another program may hold it."
            ) from error
        self._apply()
        self._camera.StartGrabbing(pylon.GrabStrategy_OneByOne)

    def read(self, timeout_s: float) -> RawFrame:
        camera, pylon = self._camera, self._pylon
        if camera.IsCameraDeviceRemoved():
            raise CameraUnavailable("The Basler camera was unplugged. Check its cable and power.")
        try:
            result = camera.RetrieveResult(round(timeout_s * 1e3), pylon.TimeoutHandling_Return)
        except self._genicam.GenericException as error:
            raise CameraUnavailable(f"The Basler camera failed: {_said(error)}") from error
        if not result.IsValid():
            raise FrameTimeout("pylon had no frame in time")
        try:
            if not result.GrabSucceeded():
                raise FrameCorrupt(f"pylon: {result.ErrorDescription}")
            return self._frame_of(result)
        finally:
            result.Release()

    def trigger(self) -> None:
        try:
            self._camera.WaitForFrameTriggerReady(
                TRIGGER_READY_MS, self._pylon.TimeoutHandling_ThrowException
            )
            self._camera.ExecuteSoftwareTrigger()
        except self._genicam.GenericException as error:
            raise CameraUnavailable(
                f"The Basler camera takes no trigger: {_said(error)}"
            ) from error

    def close(self) -> None:
        if self._camera is not None:
            self._camera.Close()
            self._camera = None

    def _frame_of(self, result: Any) -> RawFrame:
        is_known, stride = result.GetStride()
        pixel_format = name_of_code(result.PixelType)
        if not is_known:  # rows that end inside a byte, or with padding behind that
            stride = stride_of(pixel_format, result.Width, result.PaddingX)
        ticks, block_id = result.TimeStamp, result.BlockID
        return RawFrame(
            data=result.GetBuffer(),
            hw=(result.Height, result.Width),
            stride=stride,
            pixel_format=pixel_format,
            device_ns=round(ticks * self._ns_per_tick) if ticks else None,
            frame_id=None if block_id == NO_BLOCK_ID else block_id,
        )

    def _find(self) -> Any:
        """Return the wanted device's description, or the first one's."""
        wanted = self._settings.device
        found = self._pylon.TlFactory.GetInstance().EnumerateDevices()
        for info in found:
            address = info.GetIpAddress() if info.IsIpAddressAvailable() else ""
            names = (info.GetSerialNumber(), info.GetUserDefinedName(), address)
            if not wanted or wanted in names:
                return info
        seen = ", ".join(info.GetFriendlyName() for info in found) or "none"
        raise CameraUnavailable(
            f"There is no Basler camera {wanted or 'at all'}; found: {seen}. Check cable, power "
            "and network, and that the serial number in the address is the camera's."
        )

    def _apply(self) -> None:
        """Write the settings into the camera."""
        wanted = self._settings
        if wanted.features_file is not None:
            self._load_features(wanted.features_file)
        if wanted.pixel_format is not None:
            self._set("pixel_format", self._name_here(wanted.pixel_format), "PixelFormat")
        if wanted.region_xywh is not None:
            x, y, w, h = wanted.region_xywh
            pairs = (("OffsetX", 0), ("OffsetY", 0), ("Width", w), ("Height", h), ("OffsetX", x))
            for node, value in (*pairs, ("OffsetY", y)):
                self._set("region", value, node)
        if wanted.exposure_us is not None:
            self._set("exposure_us", wanted.exposure_us, "ExposureTime", "ExposureTimeAbs")
        if wanted.gain is not None:
            self._set("gain", wanted.gain, "Gain", "GainRaw")
        if wanted.fps is not None:
            self._set("fps", True, "AcquisitionFrameRateEnable")
            self._set("fps", wanted.fps, "AcquisitionFrameRate", "AcquisitionFrameRateAbs")
        self._set("trigger", "FrameStart", "TriggerSelector")
        self._set("trigger", "Off" if wanted.trigger == "off" else "On", "TriggerMode")
        if wanted.trigger != "off":
            self._set("trigger", "Software" if wanted.is_fired else wanted.trigger, "TriggerSource")
        ticks = self._camera.GetNodeMap().GetNode("GevTimestampTickFrequency")
        if self._genicam.IsReadable(ticks) and ticks.GetValue():
            self._ns_per_tick = 1e9 / ticks.GetValue()

    def _load_features(self, file: str) -> None:
        """Write a feature file into the camera, every value checked by reading it back."""
        try:
            self._pylon.FeaturePersistence.Load(file, self._camera.GetNodeMap(), True)
        except self._genicam.GenericException as error:
            raise CameraUnavailable(
                f"The Basler camera does not take the feature file {file}: {_said(error)}. "
                "Save it anew with pylon Viewer, from this very model."
            ) from error

    def _name_here(self, pixel_format: str) -> str:
        """Return what this camera calls a format."""
        older = _PYLON_NAMES.get(pixel_format, pixel_format)
        return older if older in self._camera.PixelFormat.Symbolics else pixel_format

    def _set(self, option: str, value: object, *nodes: str) -> None:
        """Write a value into the first of these nodes that the camera has.

        Raises:
            CameraUnavailable: it has none of them, or refuses the value; says its limits.
        """
        node_map = self._camera.GetNodeMap()
        for name in nodes:
            node = node_map.GetNode(name)
            if not self._genicam.IsWritable(node):
                continue
            try:
                is_integer = isinstance(node, self._genicam.IInteger)
                node.SetValue(round(value) if is_integer and isinstance(value, float) else value)
            except (self._genicam.GenericException, TypeError) as error:
                raise CameraUnavailable(
                    f"The Basler camera refuses {option} = {value!r}: {_said(error)}"
                ) from error
            return
        raise CameraUnavailable(
            f"The Basler camera cannot set {option}: it has no writable {' or '.join(nodes)}. "
            "Leave the option out."
        )


def _said(error: Exception) -> str:
    """Return what pylon says, without where in its own code it says so."""
    return str(error).partition(" : ")[0].rstrip(" .")


def make_source(settings: Settings) -> BaslerSource:
    """Return the driver for settings made by `GenicamSettings.as_json`."""
    return BaslerSource(GenicamSettings.from_json(settings))
