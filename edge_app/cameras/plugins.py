"""Cameras that other packages bring: entry points of the group `cropliq_edge.cameras`.

An entry point's name is the address scheme, its value a module with `EXAMPLE`, `MEANING` and
`driver_of(url)`. The module is imported in this process when an address asks for it, the driver
that it names always runs in a child (`isolation/`): what it does there costs its own camera only.
docs/cameras.md has the contract, examples/camera_plugin/ a whole package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.protocol import CameraInfo
from edge_app.errors import CameraUnavailable, EdgeError
from edge_app.host.plugins import Plugin, PluginBroken, PluginKind, broken, imported
from edge_app.records import Frame

CAMERAS = PluginKind(
    group="cropliq_edge.cameras",
    noun="camera",
    name_pattern="[a-z][a-z0-9]*",
    name_rule="lower-case letters and digits, since addresses begin with it",
)


@dataclass(frozen=True, slots=True)
class PluginReport:
    """What a plug-in is, for people.

    Attributes:
        plugin: the plug-in.
        example: a whole address; "" where it does not load.
        meaning: one sentence about it.
        problem: "" or why it cannot be used.
    """

    plugin: Plugin
    example: str
    meaning: str
    problem: str


class PluginModule(Protocol):
    """What an entry point's module has."""

    EXAMPLE: str
    MEANING: str

    def driver_of(self, url: str) -> IsolatedDriver:
        """Return what runs in the child for an address; ConfigError if it is wrong."""


def report_of(plugin: Plugin) -> PluginReport:
    """Return what a plug-in says of itself; it is imported. Never raises."""
    example, meaning, problem = "", "", plugin.why_unusable
    if not problem:
        try:
            example, meaning = _described(plugin)
        except PluginBroken as error:
            problem = str(error)
    return PluginReport(plugin, example, meaning, problem)


def open_plugin(plugin: Plugin, url: str, name: str) -> IsolatedCamera | UnusableCamera:
    """Return a plug-in's camera, not yet opened; its driver will run in a child.

    One that is left out or does not load is a camera that is never there, with the reason: it must
    not keep the other cameras from being inspected.

    Raises:
        ConfigError: the plug-in refuses the address.
    """
    if plugin.why_unusable:
        return UnusableCamera(url, plugin.why_unusable)
    try:
        return IsolatedCamera(_driver_of(plugin, url), name)
    except PluginBroken as error:
        return UnusableCamera(url, str(error))


class UnusableCamera:
    """Stands for a camera whose plug-in does not load. Implements `protocol.Camera`.

    Args:
        url: its address.
        why: what every attempt to open it says.
    """

    def __init__(self, url: str, why: str) -> None:
        self._url, self.why = url, why

    def open(self, resume_after: int | None = None) -> None:
        del resume_after
        raise CameraUnavailable(self.why)

    def read(self, timeout_s: float) -> Frame:
        del timeout_s
        raise CameraUnavailable(self.why)

    def close(self) -> None:
        """There is nothing to close."""

    def describe(self) -> CameraInfo:
        return CameraInfo(self._url, "live", None, is_numbered=False, can_resume=False)


def _driver_of(plugin: Plugin, url: str) -> IsolatedDriver:
    module = _module_of(plugin)
    try:
        driver = module.driver_of(url)
    except EdgeError:
        raise
    except Exception as error:
        raise broken(plugin, error) from error
    if not isinstance(driver, IsolatedDriver):
        kind = type(driver).__name__
        raise PluginBroken(
            f"{plugin.label} cannot be used: its driver_of returned {kind}, expected "
            "IsolatedDriver. Tell its author."
        )
    return driver


def _described(plugin: Plugin) -> tuple[str, str]:
    module = _module_of(plugin)
    try:
        return str(module.EXAMPLE), str(module.MEANING)
    except Exception as error:
        raise broken(plugin, error) from error


def _module_of(plugin: Plugin) -> PluginModule:
    return cast("PluginModule", imported(plugin, plugin.value))
