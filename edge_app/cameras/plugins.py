"""Cameras that other packages bring: entry points of the group `cropliq_edge.cameras`.

An entry point's name is the address scheme, its value a module with `EXAMPLE`, `MEANING` and
`driver_of(url)`. The module is imported in this process when an address asks for it, the driver
that it names always runs in a child (`isolation/`): what it does there costs its own camera only.
docs/cameras.md has the contract, examples/camera_plugin/ a whole package.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import metadata
from typing import Protocol, cast

from edge_app.cameras.isolation.camera import IsolatedCamera, IsolatedDriver
from edge_app.cameras.protocol import CameraInfo
from edge_app.errors import CameraUnavailable, EdgeError
from edge_app.records import Frame

log = logging.getLogger(__name__)

GROUP = "cropliq_edge.cameras"

_SCHEME = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point, not imported yet.

    Attributes:
        scheme: its name, before the colon of an address.
        module: what it names.
        package: the distribution that brings it, with its version.
        why_unusable: "" or why it is left out.
    """

    scheme: str
    module: str
    package: str
    why_unusable: str = ""


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


class _PluginBroken(Exception):
    """A plug-in's own code failed; the message names its package."""


def find_plugins(own: Collection[str]) -> tuple[Plugin, ...]:
    """Return every plug-in that is installed, by scheme; imports none. Never raises.

    A scheme that cannot stand in an address, that is one of `own`, or that two packages bring is
    left out: each is returned with the reason.
    """
    try:
        found = [_plugin_of(entry) for entry in metadata.entry_points(group=GROUP)]
    except Exception as error:  # whatever a damaged *.dist-info raises
        log.warning("camera plug-ins cannot be listed: %s: %s", type(error).__name__, error)
        return ()
    return tuple(
        Plugin(p.scheme, p.module, p.package, _why_unusable(p, found, own))
        for p in sorted(found, key=lambda p: (p.scheme, p.package))
    )


def report_of(plugin: Plugin) -> PluginReport:
    """Return what a plug-in says of itself; it is imported. Never raises."""
    example, meaning, problem = "", "", plugin.why_unusable
    if not problem:
        try:
            example, meaning = _described(plugin)
        except _PluginBroken as error:
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
    except _PluginBroken as error:
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


def _plugin_of(entry: metadata.EntryPoint) -> Plugin:
    dist = entry.dist
    package = f"{dist.name} {dist.version}" if dist is not None else "an unknown package"
    return Plugin(entry.name, entry.value, package)


def _why_unusable(plugin: Plugin, found: list[Plugin], own: Collection[str]) -> str:
    said = f"The camera plug-in {plugin.scheme!r} of {plugin.package} is left out: "
    if not _SCHEME.fullmatch(plugin.scheme):
        return f"{said}a name is lower-case letters and digits, since addresses begin with it."
    if plugin.scheme in own:
        return f"{said}CropLiq Edge has cameras of that name. It has to take another."
    others = sorted(p.package for p in found if p.scheme == plugin.scheme and p is not plugin)
    if others:
        return f"{said}{', '.join(others)} brings one of that name too. Uninstall one of them."
    return ""


def _driver_of(plugin: Plugin, url: str) -> IsolatedDriver:
    module = _imported(plugin)
    try:
        driver = module.driver_of(url)
    except EdgeError:
        raise
    except Exception as error:
        raise _broken(plugin, error) from error
    if not isinstance(driver, IsolatedDriver):
        kind = type(driver).__name__
        raise _PluginBroken(
            f"The camera plug-in {plugin.scheme!r} of {plugin.package} cannot be used: its "
            f"driver_of returned {kind}, expected IsolatedDriver. Tell its author."
        )
    return driver


def _described(plugin: Plugin) -> tuple[str, str]:
    module = _imported(plugin)
    try:
        return str(module.EXAMPLE), str(module.MEANING)
    except Exception as error:
        raise _broken(plugin, error) from error


def _imported(plugin: Plugin) -> PluginModule:
    try:
        return cast("PluginModule", importlib.import_module(plugin.module))
    except (Exception, SystemExit) as error:
        raise _broken(plugin, error) from error


def _broken(plugin: Plugin, error: BaseException) -> _PluginBroken:
    return _PluginBroken(
        f"The camera plug-in {plugin.scheme!r} of {plugin.package} cannot be used: it raised "
        f"{type(error).__name__}: {error}. Install a version that fits, or tell its author."
    )
