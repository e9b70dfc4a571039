"""Finds, by reading the source, every place that takes structured bytes from outside.

A site is `module:function` (or `module:Class.method`) whose body calls one of PARSERS. A parser
added here makes every place that uses it a site.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("edge_app", "deploy", "calibration")
PARSERS = frozenset({"json.loads", "json.load", "model_validate_json", "validate_json"})


def consumer_sites(root: Path = ROOT) -> set[str]:
    """Return the sites of all packages."""
    return {
        f"{module}:{function}"
        for package in PACKAGES
        for file in sorted((root / package).rglob("*.py"))
        for module in [".".join(file.relative_to(root).with_suffix("").parts)]
        for function in _parsing_functions(ast.parse(file.read_text(encoding="utf-8")), "")
    }


def _parsing_functions(node: ast.AST, name: str) -> Iterator[str]:
    """Yield the innermost named functions below a node that call a parser."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}" if name else child.name
            yield from _parsing_functions(child, inner)
        else:
            if isinstance(child, ast.Call) and _called(child.func) in PARSERS:
                yield name or "<module>"
            yield from _parsing_functions(child, name)


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        if isinstance(function.value, ast.Name) and function.value.id == "json":
            return f"json.{function.attr}"
        return function.attr
    return ""
