"""What other packages bring: entry points of a group, found without importing them.

A kind of plug-in (cameras, methods) says its group and what a name may look like; here stands which
of the installed ones may be used, and how one is imported so that its failure names its package.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PluginKind:
    """One sort of plug-ins.

    Attributes:
        group: of the entry points.
        noun: what one brings, e.g. "camera".
        name_pattern: a regular expression for the whole name.
        name_rule: the same in words, behind "a name is".
    """

    group: str
    noun: str
    name_pattern: str
    name_rule: str


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point, not imported yet.

    Attributes:
        kind: whose group it is in.
        name: the entry point's.
        value: what it names: MODULE or MODULE:OBJECT.
        distribution: that brings it.
        version: the distribution's.
        why_unusable: "" or why it is left out.
    """

    kind: PluginKind
    name: str
    value: str
    distribution: str
    version: str
    why_unusable: str = ""

    @property
    def package(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def label(self) -> str:
        """How a sentence about it begins."""
        return f"The {self.kind.noun} plug-in {self.name!r} of {self.package}"


class PluginBroken(Exception):
    """A plug-in's own code failed; the message names its package."""


def find_plugins(kind: PluginKind, own: Collection[str]) -> tuple[Plugin, ...]:
    """Return every plug-in of a kind that is installed, by name; imports none. Never raises.

    A name that breaks the kind's rule, that is one of `own`, or that two packages bring is left
    out: each is returned with the reason.
    """
    try:
        found = [_plugin_of(kind, entry) for entry in metadata.entry_points(group=kind.group)]
    except Exception as error:  # whatever a damaged *.dist-info raises
        log.warning("%s plug-ins cannot be listed: %s: %s", kind.noun, type(error).__name__, error)
        return ()
    return tuple(
        Plugin(kind, p.name, p.value, p.distribution, p.version, _why_unusable(p, found, own))
        for p in sorted(found, key=lambda p: (p.name, p.package))
    )


def imported(plugin: Plugin, module: str) -> ModuleType:
    """Return a module of a plug-in.

    Raises:
        PluginBroken: it cannot be imported, whatever it raised.
    """
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise broken(plugin, error) from error


def broken(plugin: Plugin, error: BaseException) -> PluginBroken:
    """Return what to raise where a plug-in's own code raised."""
    return PluginBroken(
        f"{plugin.label} cannot be used: it raised {type(error).__name__}: {error}. Install a "
        "version that fits, or tell its author."
    )


def _plugin_of(kind: PluginKind, entry: metadata.EntryPoint) -> Plugin:
    dist = entry.dist
    name, version = (dist.name, dist.version) if dist is not None else ("an unknown package", "")
    return Plugin(kind, entry.name, entry.value, name, version)


def _why_unusable(plugin: Plugin, found: list[Plugin], own: Collection[str]) -> str:
    said = f"{plugin.label} is left out: "
    if not re.fullmatch(plugin.kind.name_pattern, plugin.name):
        return f"{said}a name is {plugin.kind.name_rule}."
    if plugin.name in own:
        return f"{said}CropLiq Edge has {plugin.kind.noun}s of that name. It has to take another."
    others = sorted(p.package for p in found if p.name == plugin.name and p is not plugin)
    if others:
        return f"{said}{', '.join(others)} brings one of that name too. Uninstall one of them."
    return ""
