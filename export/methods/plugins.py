"""Methods that other packages bring: entry points of the group `cropliq_edge.methods`.

An entry point's name is what a person types after `--method`, its value MODULE:MAKER, where MAKER
is called without arguments and returns a `protocol.Method`. The module is imported when the method
is asked for by that name, and not before; what it does wrong is told with its package's name. A
device never sees it: it gets the graph, which `graph_contract.py` has tried. docs/methods.md has
the contract, examples/method_plugin/ a whole package.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from edge_app.errors import DataError, EdgeError, ModelError
from edge_app.host.plugins import Plugin, PluginBroken, PluginKind, broken, find_plugins, imported
from edge_app.records import JsonObject, U8Array
from export.defects.evidence import CrossFitted
from export.methods.graph_contract import file_problems, first_line, module_problem
from export.methods.names import AUTO, NAMES
from export.methods.protocol import Method, Trained, TrainingSet, TrainSettings, Traits
from export.methods.time_budget import FewerSteps
from export.networks.onnx_export import OPSET
from export.workspace import OnProgress

METHODS = PluginKind(
    group="cropliq_edge.methods",
    noun="method",
    name_pattern="[a-z][a-z0-9]*(-[a-z0-9]+)*",
    name_rule="lower-case letters, digits and single hyphens, since it is typed after --method",
)

ALL = "all"
"""Asks `compare` for every method of ours."""

ORIGIN = "plugin"
"""The figure that says in report and provenance which package trained."""

HELP = "docs/methods.md says what a method must do."

_KINDS = {
    "name": "the entry point's name",
    "paper": "a text: who wrote of it, and where",
    "traits": "export.methods.protocol.Traits",
}

_CROSS_FITS = typing.get_args(typing.get_type_hints(Traits)["cross_fits"])


def method_plugins() -> tuple[Plugin, ...]:
    """Return every method plug-in that is installed; imports none. Never raises."""
    return find_plugins(METHODS, (*NAMES, AUTO, ALL))


def plugin_method(plugin: Plugin) -> PluginMethod:
    """Return the method of a plug-in; its module is imported.

    Raises:
        DataError: it must not be used, does not load, or is no method.
    """
    if plugin.why_unusable:
        raise DataError(plugin.why_unusable)
    try:
        return _loaded(plugin)
    except PluginBroken as error:
        raise DataError(str(error)) from error


class PluginMethod:
    """A plug-in's method. Implements `protocol.Method`; what goes wrong names the package.

    Args:
        plugin: where it comes from.
        method: what it brings, seen to have a method's attributes.
        origin: package, version and digest of its code, for the provenance.
    """

    def __init__(self, plugin: Plugin, method: Method, origin: str) -> None:
        self._plugin, self._method, self.origin = plugin, method, origin
        self.name, self.paper, self.traits = method.name, method.paper, method.traits

    def train(self, data: TrainingSet, settings: TrainSettings, on_progress: OnProgress) -> Trained:
        """Return what the plug-in trained, with its origin; its module has judged two crops.

        Raises:
            DataError: it raised, or what it returned breaks the contract.
        """
        try:
            trained = self._method.train(data, settings, on_progress)
        except (EdgeError, FewerSteps, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise DataError(
                f"{self._plugin.label} failed while training: it raised {type(error).__name__}: "
                f"{first_line(error)}. Use another --method, or tell its author."
            ) from error
        problem = _trained_problem(trained, data, self)
        if problem:
            raise DataError(f"{self._plugin.label} cannot be used: {problem}. {HELP}")
        return replace(trained, about={**(_as_json(trained.about) or {}), ORIGIN: self.origin})

    @contextmanager
    def exporting(self) -> Iterator[None]:
        """Let what goes wrong while the graph is written name the package.

        Raises:
            ModelError: the graph cannot be exported.
        """
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:
            raise ModelError(
                f"The graph that {self._plugin.label[0].lower()}{self._plugin.label[1:]} trained "
                f"cannot be written as ONNX of opset {OPSET}: {type(error).__name__}: "
                f"{first_line(error)}. Use other operations in it, or tell its author. {HELP}"
            ) from error

    def check_file(self, file: Path, graph: torch.nn.Module, crops: U8Array) -> None:
        """Refuse a graph that no device can use.

        Args:
            graph: what the file was exported from.
            crops: uint8 (n, h, w, 3), good ones, n >= 2.

        Raises:
            ModelError: with all that is wrong.
        """
        problems = file_problems(file, graph, crops)
        if problems:
            raise ModelError(
                f"{self._plugin.label} cannot be used: no device can use the graph that it trained "
                f"({'; '.join(problems)}). Use another --method, or tell its author. {HELP}"
            )


def _loaded(plugin: Plugin) -> PluginMethod:
    module_name, _, path = plugin.value.partition(":")
    if not path:
        raise _refused(plugin, f"its entry point is {plugin.value!r}, expected MODULE:MAKER")
    module = imported(plugin, module_name)
    try:
        method = attrgetter(path)(module)()
        problem = _method_problem(method, plugin.name)
    except (Exception, SystemExit) as error:
        raise broken(plugin, error) from error
    if problem:
        raise _refused(plugin, f"{plugin.value} is no method: {problem}")
    origin = f"{plugin.package}, code sha256 {_code_digest(module)}"
    return PluginMethod(plugin, method, origin)


def _refused(plugin: Plugin, why: str) -> PluginBroken:
    return PluginBroken(f"{plugin.label} cannot be used: {why}. Tell its author. {HELP}")


def _method_problem(method: Any, name: str) -> str:
    """Return in which way an object is no `protocol.Method`; "" if it is one."""
    for attribute, kind in (("name", str), ("paper", str), ("traits", Traits)):
        value = getattr(method, attribute, None)
        if not isinstance(value, kind) or value == "":
            return f"its `{attribute}` is {value!r}, expected {_KINDS[attribute]}"
    if method.name != name:
        return f"its `name` is {method.name!r}, its entry point's {name!r}; expected the same"
    if method.traits.cross_fits not in _CROSS_FITS:
        expected = ", ".join(map(repr, _CROSS_FITS))
        return f"its `traits.cross_fits` is {method.traits.cross_fits!r}, expected {expected}"
    try:
        inspect.signature(method.train).bind("data", "settings", "on_progress")
    except (AttributeError, TypeError, ValueError):
        return "it has no `train(data, settings, on_progress)`"
    return ""


def _trained_problem(trained: object, data: TrainingSet, method: PluginMethod) -> str:
    """Return in which way a training's result is not what was asked for; "" if it is."""
    if not isinstance(trained, Trained):
        return f"its `train` returned {type(trained).__name__}, expected protocol.Trained"
    about = _as_json(trained.about)
    if about is None or not isinstance(about.get("settings"), dict):
        return "its `about` is no JSON object with an object `settings` in it"
    if about.get("method") != method.name:
        return f"its `about` names the method {about.get('method')!r}, expected {method.name!r}"
    if not isinstance(about["settings"].get("terms", []), list):
        return "its setting `terms` is no list"
    if not isinstance(trained.graph, torch.nn.Module):
        return f"its graph is {type(trained.graph).__name__}, expected torch.nn.Module"
    needs_folds = data.evidence is not None and method.traits.cross_fits == "itself"
    if needs_folds and not isinstance(trained.cross_fitted, CrossFitted):
        return "its traits say that it judges by folds, and its `cross_fitted` is missing"
    problem = module_problem(trained.graph, data.crops[:2])
    return f"the graph that it trained is no inspector: {problem}" if problem else ""


def _as_json(about: object) -> JsonObject | None:
    """Return an object as a resumed build reads it from its record; None if it is no such thing."""
    try:
        read = json.loads(json.dumps(about, allow_nan=False))
    except (TypeError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _code_digest(module: ModuleType) -> str:
    """Return 16 hex digits that change with any Python file of a plug-in's package.

    By the version alone a kept training would outlive a change by its author.
    """
    if not module.__file__:
        return "unknown"
    file = Path(module.__file__)
    is_package = file.name == "__init__.py" or "." in module.__name__
    files = sorted(file.parent.rglob("*.py")) if is_package else [file]
    digest = hashlib.sha256()
    for each in files:
        if each.is_file():
            digest.update(each.relative_to(file.parent).as_posix().encode() + b"\0")
            digest.update(each.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
