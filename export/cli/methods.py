"""`edge-export methods`: what `--method` can name, ours and those that other packages bring."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import add_command

if TYPE_CHECKING:
    from edge_app.host.plugins import Plugin


def add_methods(commands: Any) -> None:
    """Add the command to `edge-export`'s sub-parsers."""
    about = "list the methods that --method can name, and whether a plug-in's can be used"
    parser = add_command(commands, "methods", about, "edge-export methods")
    parser.epilog = (
        "A package of your own can bring a method: docs/tutorial_method.md. Exit code 1 where one "
        f"that is installed cannot be used.\n\n{parser.epilog}"
    )
    parser.set_defaults(run=_methods)


def _methods(_args: argparse.Namespace) -> int:
    from export.methods.names import NAMES
    from export.methods.plugins import method_plugins
    from export.methods.registry import method_of

    lines = [(name, method_of(name).paper) for name in NAMES]
    told = [(plugin.name, *_said(plugin)) for plugin in method_plugins()]
    lines += [(name, said) for name, said, _ in told]
    width = max(len(name) for name, _ in lines)
    for name, said in lines:
        print(f"{name:<{width}}  {said}")
    return 0 if all(is_usable for _, _, is_usable in told) else 1


def _said(plugin: Plugin) -> tuple[str, bool]:
    """Return what there is to say of a plug-in, and whether it can be used; it is imported."""
    from edge_app.errors import DataError
    from export.methods.plugins import plugin_method

    try:
        return f"{plugin_method(plugin).paper} ({plugin.package})", True
    except DataError as error:
        return str(error), False
