"""Constructors stay small: arguments that belong together are a record or a Protocol."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("edge_app", "export", "calibration", "deploy")
MAX_ARGUMENTS = 8


@pytest.mark.parametrize("package", PACKAGES)
def test_no_constructor_takes_more_than_eight_arguments(package: str) -> None:
    """`self` not counted, clocks and other defaults counted."""
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                found[f"{path.name}:{node.lineno}"] = len(arguments) - 1
    assert found
    assert {place: n for place, n in found.items() if n > MAX_ARGUMENTS} == {}
